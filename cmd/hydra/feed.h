// A container's streams as this command has them: what it writes comes to our
// standard output, and what is typed goes to it.
//
// Main thread, and where it is said threads of its own, which share it and end
// with the program: what they wait for may never come.

#ifndef HYDRA_CMD_HYDRA_FEED_H_
#define HYDRA_CMD_HYDRA_FEED_H_

#include <atomic>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/hydra/client.h"
#include "hydra/v1/log.pb.h"
#include "shim/base/unique_fd.h"
#include "shim/event/async.h"

namespace hydra::command {

// Where output goes: as it is to standard output and error, or as JSON objects
// to standard output. Any thread.
class OutputSink final {
 public:
  explicit OutputSink(bool json) : json_(json) {}

  // Whether it was taken; false from then on.
  bool Write(v1::Stream stream, std::string_view data);
  // Of JSON: a character that was cut off in the middle.
  void Flush();

 private:
  bool WriteJson(v1::Stream stream, std::string_view data);

  const bool json_;
  std::mutex mutex_;
  bool broken_ = false;
  std::map<v1::Stream, std::string> held_;  // The beginning of a character.
};

const char* StreamName(v1::Stream stream);

class Feed {
 public:
  virtual ~Feed() = default;
  // What takes time and can be done before Begin, which does it otherwise.
  virtual void Prepare() {}
  // Output is written from now on. Set when all of it is, or with the error
  // that keeps it from being so.
  virtual Future<absl::Status> Begin() = 0;
  // The process has its streams.
  virtual void OnStarted() {}
  // It has ended: what it wrote is on its way. What holds a stream open beyond
  // that, and writes nothing, is not waited for.
  virtual void OnExited() = 0;
  // In a thread that may wait for it. False: no more is taken.
  virtual bool WriteInput(std::string_view data) = 0;
  // In the same thread: there is no more.
  virtual void EndInput() {}
};

// FIFOs between the container's monitor and this process: for one that is
// being started.
class FifoFeed final : public Feed,
                       public std::enable_shared_from_this<FifoFeed> {
 public:
  // Makes them in `directory`, the instance's.
  static absl::StatusOr<std::shared_ptr<FifoFeed>> Make(
      std::shared_ptr<Client> client, const std::string& directory,
      bool terminal, bool input, bool json);
  FifoFeed(const FifoFeed&) = delete;
  FifoFeed& operator=(const FifoFeed&) = delete;
  ~FifoFeed() override;

  // Empty: there is none.
  const std::string& stdin_path() const { return paths_[0]; }
  const std::string& stdout_path() const { return paths_[1]; }
  const std::string& stderr_path() const { return paths_[2]; }

  void Prepare() override;
  Future<absl::Status> Begin() override;
  void OnStarted() override { Unlink(); }
  void OnExited() override;
  bool WriteInput(std::string_view data) override;
  // Once the instance is asked to, it is at the end when nobody writes.
  void EndInput() override { fds_[0].Reset(); }

 private:
  // What its threads wait for: kOff without a start, when there is no feed.
  enum class Gate { kWait, kOn, kOff };

  FifoFeed(std::shared_ptr<Client> client, bool terminal, bool json)
      : client_(std::move(client)), terminal_(terminal), sink_(json) {}
  absl::Status MakeOne(const std::string& path, int flags, int index);
  void Open(Gate gate);
  void Unlink();
  // In a thread.
  void Copy(int index, v1::Stream stream);
  bool AwaitOutput(int fd) const;

  const std::shared_ptr<Client> client_;
  const bool terminal_;
  OutputSink sink_;
  std::string paths_[3];
  UniqueFd fds_[3];
  UniqueFd exited_;  // An eventfd.
  const std::shared_ptr<std::atomic<Gate>> gate_ =
      std::make_shared<std::atomic<Gate>>(Gate::kWait);
  bool is_prepared_ = false;
  int copying_ = 0;
  Future<absl::Status> ended_;
};

// The instance's log, and WriteInput: for one that runs.
class LogFeed final : public Feed {
 public:
  LogFeed(std::shared_ptr<Client> client, v1::LogStart start, bool json)
      : client_(std::move(client)), start_(std::move(start)), sink_(json) {}

  Future<absl::Status> Begin() override;
  void OnExited() override;
  bool WriteInput(std::string_view data) override;

 private:
  Async<void> Follow();
  Async<void> Send(std::string data, std::shared_ptr<std::promise<bool>> taken);

  const std::shared_ptr<Client> client_;
  const v1::LogStart start_;
  OutputSink sink_;
  EventLoop::Registration limit_;
  bool has_exited_ = false;
  Future<absl::Status> ended_;
};

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_FEED_H_
