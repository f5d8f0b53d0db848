// What an instance does by itself for a container that no engine has: starts it
// again by its policy, tells of its end, and removes itself. And for an exec
// that nobody will delete, because its streams are none of an engine's: forgets
// it when it has ended, and all who wait for it have been told.
//
// What is due is in the record, so that a head that takes over goes on with it.
//
// Loop thread only.

#ifndef HYDRA_TASK_KEEPER_H_
#define HYDRA_TASK_KEEPER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/task/instance.h"
#include "shim/task/task_service.h"

namespace hydra {

class Keeper final {
 public:
  Keeper(Instance* instance, TaskService* tasks);
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // After a takeover: goes on with what is due. `is_pending`: whether the
  // token is of a request that will do so itself.
  void TakeOver(const std::function<bool(uint64_t token)>& is_pending);

 private:
  // The record says that it has ended.
  void OnEnded(const state::Process& process);
  void OnContainerEnded();
  void Notice();
  Async<void> StartAgain();
  Async<void> FinishReplacement(uint64_t token);
  Async<void> Remove();
  Async<void> DeleteExec(std::string exec_id);

  Instance& instance_;
  TaskService& tasks_;
  EventLoop::Registration next_start_;
  bool removing_ = false;
};

// The time at which a process was started, in ticks since the boot (proc(5),
// /proc/PID/stat, field 22); 0 if there is none.
uint64_t StartTimeOf(int pid);

}  // namespace hydra

#endif  // HYDRA_TASK_KEEPER_H_
