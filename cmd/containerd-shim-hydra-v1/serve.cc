#include "cmd/containerd-shim-hydra-v1/serve.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "shim/base/crash_point.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/event/event_loop.h"
#include "shim/link/client.h"
#include "shim/rpc/dispatcher.h"
#include "shim/rpc/instance_service.h"
#include "shim/task/instance.h"
#include "shim/task/keeper.h"
#include "shim/task/task_service.h"

namespace hydra {
namespace {

constexpr std::chrono::milliseconds kQuiet{500};
// Longer than the 10 s between two polls of a kubelet: a head that is needed
// that often costs less when it stays.
constexpr int kIdleSeconds = 30;
// An engine sends Create as soon as `start` has answered.
constexpr std::chrono::seconds kFirstRequestLimit{120};

// Without anything to do, the head ends after this time; 0: never.
std::chrono::seconds RestAfter() {
  const char* text = getenv("HYDRA_IDLE_SECONDS");
  int seconds = kIdleSeconds;
  if (text != nullptr && (!absl::SimpleAtoi(text, &seconds) || seconds < 0)) {
    LogWarning("HYDRA_IDLE_SECONDS=", text, ": not a number of seconds, ",
               kIdleSeconds, " is used");
    seconds = kIdleSeconds;
  }
  return std::chrono::seconds(seconds);
}

// The head and its parts, in the order in which they need each other.
class Head final {
 public:
  Head(EventLoop* loop, std::unique_ptr<MonitorClient> monitor,
       Instance::Config config, std::vector<std::string> trial)
      : loop_(loop),
        monitor_(std::move(monitor)),
        instance_(loop, monitor_.get(), std::move(config)),
        tasks_(&instance_, [this] { ShutDown(); }),
        loaded_(instance_.Load()),
        keeper_(&instance_, &tasks_),
        itself_(&instance_, &tasks_, std::move(trial)),
        dispatcher_(&instance_, &tasks_, &itself_, loaded_) {}

  absl::Status Start();
  // What is left to do once the loop has ended.
  void End();

 private:
  void FinishOrphans(const std::vector<uint64_t>& operations);
  void TrimWhenQuiet();
  void RestWhenIdle();
  bool idle();
  Async<void> EndIfUnused();
  void ShutDown();

  EventLoop* const loop_;
  const std::unique_ptr<MonitorClient> monitor_;
  Instance instance_;
  TaskService tasks_;
  const absl::Status loaded_;
  Keeper keeper_;
  InstanceService itself_;
  Dispatcher dispatcher_;
  EventLoop::Registration trim_;
  const std::chrono::seconds rest_after_ = RestAfter();
  EventLoop::Registration rest_;
  EventLoop::Registration unused_;
  bool shut_down_ = false;
};

absl::Status Head::Start() {
  if (!loaded_.ok()) LogError(Message(loaded_));
  const uint64_t generation = monitor_->welcome().generation;
  if (monitor_->welcome().previous_died_at != 0) {
    LogInfo("head ", generation, " takes over");
  }
  MonitorClient::Handlers handlers;
  handlers.on_request = [this](MonitorClient::Request request) {
    unused_ = {};
    dispatcher_.OnRequest(std::move(request));
    TrimWhenQuiet();
  };
  handlers.on_cancelled = [this](uint64_t token) {
    dispatcher_.OnCancelled(token);
  };
  handlers.on_exit = [this](uint64_t process, ProcessExit exit) {
    instance_.OnExit(process, exit);
  };
  handlers.on_stream = [this](const link::StreamState& state) {
    instance_.OnStream(state);
  };
  handlers.on_monitor_lost = [this] {
    if (!shut_down_ && !monitor_->resting()) {
      LogError("the monitor is gone, so am I");
    }
    loop_->Quit();
  };
  if (!instance_.record().has_container()) {
    // A Create is what comes next.
    if (generation == 1) tasks_.ExpectRuntime();
    unused_ =
        loop_->After(kFirstRequestLimit, [this] { Detach(EndIfUnused()); });
  }
  const std::vector<uint64_t> inherited = monitor_->OperationTokens();
  HYDRA_RETURN_IF_ERROR(monitor_->Serve(std::move(handlers)));
  FinishOrphans(inherited);
  RestWhenIdle();
  // A head before us answered Shutdown, and did not come to end the monitor.
  if (!dispatcher_.AnyPending() && !monitor_->inherits_processes() &&
      instance_.IsRemoved()) {
    ShutDown();
  }
  return absl::OkStatus();
}

// What a Create or an exec took for its JSON is given back to the system: the
// head of a container that just runs is what there is most of on a machine.
void Head::TrimWhenQuiet() {
  trim_ = loop_->After(kQuiet, [] { malloc_trim(0); });
}

// Looks once per interval whether anything has happened in it: a timer that
// each message sets anew would cost every message.
void Head::RestWhenIdle() {
  if (rest_after_.count() == 0) return;
  rest_ = loop_->After(rest_after_, [this, traffic = monitor_->traffic()] {
    if (monitor_->traffic() == traffic && idle()) {
      monitor_->Rest(instance_.wake_fds());
    }
    RestWhenIdle();
  });
}

bool Head::idle() {
  // An instance without a container ends itself.
  if (shut_down_ || !instance_.record().has_container()) return false;
  if (!dispatcher_.idle() || !instance_.idle()) return false;
  const std::vector<uint64_t> operations = monitor_->OperationTokens();
  return std::all_of(operations.begin(), operations.end(), Logger::Owns);
}

// The engine that started us died before it could call, and never will.
Async<void> Head::EndIfUnused() {
  LogWarning("no request since the start, this instance is not used and ends");
  const absl::StatusOr<google::protobuf::Empty> ended =
      co_await tasks_.Shutdown(Call(), containerd::task::v2::ShutdownRequest());
  if (!ended.ok()) LogError("end unused instance: ", Message(ended.status()));
}

// Posted, so that the answer to Shutdown goes out before.
void Head::ShutDown() {
  shut_down_ = true;
  loop_->Post([this] { loop_->Quit(); });
}

// What heads before us began for callers who will not ask again: their
// connections are gone.
void Head::FinishOrphans(const std::vector<uint64_t>& operations) {
  auto is_pending = [this](uint64_t token) {
    return dispatcher_.IsPending(token);
  };
  for (const uint64_t token : operations) {
    // A start is completed below; a logger's runs are its own.
    if (!is_pending(token) && !instance_.IsStarting(token) &&
        !Logger::Owns(token)) {
      monitor_->ForgetToken(token);
    }
  }
  Detach(tasks_.FinishOrphans(is_pending));
  keeper_.TakeOver(is_pending);
}

void Head::End() {
  if (!shut_down_) return;
  monitor_->Quit();
  // The monitor may be next on this processor. Somebody waits for what it has
  // to say, and nobody for our end.
  sched_yield();
}

absl::StatusOr<Instance::Config> ConfigOf(const Flags& flags) {
  Instance::Config config;
  config.id = flags.id;
  config.container_namespace = flags.container_namespace;
  InstanceName name;
  name.engine_address = flags.address;
  name.container_namespace = flags.container_namespace;
  name.id = flags.id;
  HYDRA_ASSIGN_OR_RETURN(config.paths, PathsOf(name));
  config.engine_address = flags.address;
  HYDRA_ASSIGN_OR_RETURN(config.state_directory, StateDirectory());
  const char* events = getenv("TTRPC_ADDRESS");
  if (events != nullptr && !flags.address.empty()) {
    config.engine_ttrpc_address = events;
  }
  return config;
}

absl::Status Run(const Flags& flags) {
  HYDRA_ASSIGN_OR_RETURN(Instance::Config config, ConfigOf(flags));
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop,
                         EventLoop::Create());
  HYDRA_ASSIGN_OR_RETURN(
      std::unique_ptr<MonitorClient> monitor,
      MonitorClient::Connect(loop.get(), UniqueFd(link::kLinkFd)));
  HYDRA_CRASH_POINT("head.synchronised");
  Head head(loop.get(), std::move(monitor), std::move(config),
            {"-namespace", flags.container_namespace, "-id", flags.id,
             "-address", flags.address, "check"});
  HYDRA_RETURN_IF_ERROR(head.Start());
  loop->Run();
  head.End();
  return absl::OkStatus();
}

}  // namespace

int Serve(const Flags& flags) {
  HYDRA_ENABLE_CRASH_POINTS();
  HYDRA_CRASH_POINT("head.start");
  signal(SIGPIPE, SIG_IGN);
  // One heap: an arena for each short-lived thread would never be given back.
  mallopt(M_ARENA_MAX, 1);
  SetLogSink(STDERR_FILENO, flags.debug ? LogLevel::kDebug : LogLevel::kInfo);
  SetLogContext("id=" + flags.id + " namespace=" + flags.container_namespace +
                " pid=" + std::to_string(getpid()));
  const absl::Status status = Run(flags);
  if (!status.ok()) LogError("serve: ", Message(status));
  // No destructors: crash-only software ends as it would if it were killed.
  _exit(status.ok() ? 0 : 1);
}

}  // namespace hydra
