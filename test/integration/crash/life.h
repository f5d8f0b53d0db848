// The life of one container on a shim with crash points, driven as an engine
// drives it: one connection, kept; every answer waited for; streams read from
// the start.
//
// Each step adds a line to the story, which says all that an engine, a client
// or an operator could see of it, and nothing that differs from one run to the
// next. Two lives are the same if their stories are.
//
// Main thread only. A failure is a line in the story, not an assertion.

#ifndef HYDRA_TEST_INTEGRATION_CRASH_LIFE_H_
#define HYDRA_TEST_INTEGRATION_CRASH_LIFE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "test/integration/crash/drain.h"
#include "test/integration/crash/feed.h"
#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/events.h"

namespace hydra::testing {

// The `occurrence`-th passing of a point by one process, counted from 1.
struct CrashPoint {
  std::string name;
  int occurrence = 0;
  // "NAME OCCURRENCE"
  std::string text() const { return name + ' ' + std::to_string(occurrence); }
};

class Life final {
 public:
  // `engine` and `events` stay the caller's; `id` is used once. `shell` is what
  // the container's init is to do.
  Life(const Containerd* engine, Events* events, const std::string& id,
       const std::string& shell, bool terminal = false);
  ~Life();

  // ---- crashes ----
  // The head is to die at each of `points` in turn; those after the first are
  // counted in the successors. At most two.
  void Arm(const std::vector<CrashPoint>& points);
  // Whether all of them have killed.
  bool AllFired() const;
  // The points passed so far, by heads in the order of their lives.
  std::vector<std::vector<CrashPoint>> Passed() const;

  // ---- steps; an empty `exec` is the init process ----
  void StartShim();
  // With FIFOs as streams; the rootfs is a bind mount of `rootfs`.
  void Create(const std::string& rootfs);
  // With a logging binary for the output.
  void CreateWithLogger(const std::string& rootfs);
  // Of a program that is not there; the next Create is of the right one.
  void CreateNothing(const std::string& rootfs);
  // Hangs up when the head has died of it, and connects anew.
  void CreateAndHangUp(const std::string& rootfs);
  void Exec(const std::string& exec, const std::string& shell,
            bool terminal = false);
  // Of a program that is not there.
  void ExecNothing(const std::string& exec);
  void Start(const std::string& exec = {});
  // Also before the streams are opened by Create or Exec.
  void Input(const std::string& text, const std::string& exec = {});
  // Waits until `text` has come out.
  void Output(const std::string& text, const std::string& exec = {});
  void CloseInput(const std::string& exec = {});
  void Resize(const std::string& exec = {});
  void Pause();
  void Resume();
  void Kill(int signal, const std::string& exec = {});
  // The answer to the Wait that went out before Start.
  void Exit(const std::string& exec = {});
  // Waits until the logger has written `text`.
  void Logged(const std::string& text);
  // All that it has written.
  void LoggedInAll();
  // The streams to their end.
  void End(const std::string& exec = {});
  void State(const std::string& exec = {});
  void Delete(const std::string& exec = {});
  void Shutdown();

  // ---- of a container that no engine has, in native_life.cc ----
  // The instance is nobody's; before StartShim.
  void LeaveEngine() { shim_.LeaveEngine(); }
  // Its output goes to the log.
  void Run();
  void Restart();
  // By two at once: one gives it an hour, the other none.
  void Stop();
  // Waits until so much is in the log.
  void Log(const std::string& text);
  // What it keeps of what has happened.
  void OwnEvents();
  void Remove();

  // What is left on the machine, what files the bundle has, what the engine
  // was told.
  void Aftermath();

  const std::vector<std::string>& story() const { return story_; }

 private:
  struct Streams {
    std::unique_ptr<Feed> in;
    std::unique_ptr<Drain> out;
    std::unique_ptr<Drain> err;
    bool terminal = false;
    uint32_t wait = 0;
    uint32_t pid = 0;
    std::string exited_at;
  };

  void Say(const std::string& line) { story_.push_back(line); }
  void SayReply(const std::string& step, const std::string& exec, Code code,
                const std::string& message);
  void OpenStreams(const std::string& exec, bool terminal);
  void OpenInput(const std::string& exec);
  std::string StreamPath(const std::string& exec, const char* name) const;
  task_api::CreateTaskRequest CreateRequest(const std::string& rootfs) const;
  void DoCreate(const task_api::CreateTaskRequest& request);
  void Connect();
  void SendExec(const std::string& exec, const std::string& program,
                const std::string& shell, bool terminal);
  std::string EventsTold() const;
  std::string BundleFiles() const;

  const Containerd* const engine_;
  Events* const events_;
  BareShim shim_;
  const bool terminal_;
  const std::string crash_directory_;
  // Apart from the bundle, so that what is in that is the shim's.
  const std::string stream_directory_;
  std::unique_ptr<TtrpcClient> client_;
  std::unique_ptr<TaskClient> task_;
  std::map<std::string, Streams> streams_;
  bool undoing_ = false;  // A Create whose caller hung up.
  bool deleted_ = false;
  std::vector<std::string> story_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_CRASH_LIFE_H_
