// A child process whose input is fed and whose output is collected.
//
// One thread per object; SIGPIPE must be ignored. Nothing here asserts, so that
// worker threads can use it: Catch2's assertions belong to the main thread.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_SESSION_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_SESSION_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shim/base/unique_fd.h"

namespace hydra::testing {

using Milliseconds = std::chrono::milliseconds;

inline constexpr Milliseconds kPatience{30'000};

// Calls `condition` until it is true or `limit` has passed; says which. For
// what the kernel and containerd give no event for.
bool Eventually(const std::function<bool()>& condition,
                Milliseconds limit = kPatience);

struct SessionOptions {
  // The child gets a terminal of its own instead of three pipes, and its
  // standard error comes out of out().
  bool terminal = false;
  // "NAME=value", put before the test's own environment.
  std::vector<std::string> environment;
  std::string directory;
  // Where out and err go instead of pipes; the caller's, -1 for pipes.
  int output_fd = -1;
};

class Session final {
 public:
  // Runs argv[0] as found in $PATH. What cannot be run ends with status 127.
  explicit Session(const std::vector<std::string>& argv,
                   const SessionOptions& options = {});
  // SIGKILLs the child if it still runs, and reaps it.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  pid_t pid() const { return pid_; }
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

  // Queues `data`; it is written while one of the waits below runs.
  void Write(std::string_view data) { input_.append(data); }
  // End of file for the child, once everything queued has been written.
  void CloseInput() { close_input_ = true; }
  void SetWindowSize(unsigned short rows, unsigned short columns);

  // Until `condition`, asked after each read, holds; false at the limit or
  // when the child is gone and it still does not.
  bool ReadUntil(const std::function<bool()>& condition,
                 Milliseconds limit = kPatience);
  // Until out() contains `text`.
  bool ReadUntil(std::string_view text, Milliseconds limit = kPatience);
  // Until the child has ended: its exit code, or 128 + signal; nullopt at the
  // limit, with the child still running.
  std::optional<int> Wait(Milliseconds limit = kPatience);
  void Signal(int signal) const;

 private:
  // One poll of every descriptor; false when the child has ended.
  bool Pump(Milliseconds limit);
  void ReadAvailable(UniqueFd* fd, std::string* into);
  void WriteAvailable();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd in_fd_;
  UniqueFd out_fd_;
  UniqueFd err_fd_;
  std::string input_;
  bool close_input_ = false;
  std::string out_;
  std::string err_;
  std::optional<int> status_;
};

struct Result {
  // Exit code or 128 + signal; -1 if the limit came first.
  int status = -1;
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string input;
  Milliseconds limit = kPatience;
  SessionOptions session;
};

// Runs to the end with `input` and then end of file on standard input.
Result Run(const std::vector<std::string>& argv,
           const RunOptions& options = {});

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_SESSION_H_
