#include "shim/io/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "shim/base/log.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kReadyLimit{30'000};
constexpr milliseconds kEndLimit{2'000};
constexpr milliseconds kTermLimit{10'000};
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLongestPause{5'000};
// MonitorClient::NewInternalToken() gives higher ones.
constexpr uint64_t kMaxNumber = (uint64_t{1} << 32) - 1;
// Operations beside the program's runs, whose steps count from 1.
constexpr uint32_t kTermStep = 1u << 30;
constexpr uint32_t kKillStep = kTermStep + 1;

}  // namespace

Logger::Logger(EventLoop* loop, MonitorClient* monitor, Config config)
    : loop_(loop),
      monitor_(monitor),
      config_(std::move(config)),
      token_(link::kInternalToken | config_.number),
      alive_(std::make_shared<Logger*>(this)) {}

bool Logger::Owns(uint64_t token) {
  const uint64_t number = token & ~link::kInternalToken;
  return number != token && number <= kMaxNumber;
}

Logger::~Logger() { *alive_ = nullptr; }

Async<absl::Status> Logger::Open() {
  fds_ = monitor_->TakeStored(token_);
  run_ = monitor_->LastStep(token_, kTermStep);
  if (fds_.size() != 4) {
    fds_.clear();
    for (int i = 0; i < 2; ++i) {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC) < 0) co_return ErrnoError(errno, "pipe2");
      fds_.emplace_back(ends[0]);
      fds_.emplace_back(ends[1]);
    }
    std::vector<int> stored;
    for (const auto& fd : fds_) stored.push_back(fd.get());
    monitor_->Store(token_, stored);
  }
  if (run_ == 0) {
    absl::Status started = co_await StartProgram();
    if (!started.ok()) co_return started;
  } else {
    const auto pid = co_await monitor_->Spawn(Run(), SpawnRequest());
    running_ = pid.ok();
  }
  Detach(Supervise(alive_));
  co_return absl::OkStatus();
}

Async<absl::Status> Logger::StartProgram() {
  // What is over is not to be remembered for ever.
  monitor_->ForgetToken(token_);
  ++run_;
  running_ = false;
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) co_return ErrnoError(errno, "pipe2");
  UniqueFd ready_read(ready[0]);
  UniqueFd ready_write(ready[1]);
  SpawnRequest request;
  request.argv.push_back(config_.binary.path);
  for (const auto& argument : config_.binary.arguments) {
    request.argv.push_back(argument);
  }
  request.env.emplace();
  request.env->push_back("CONTAINER_ID=" + config_.container_id);
  request.env->push_back("CONTAINER_NAMESPACE=" + config_.container_namespace);
  request.fds.emplace_back(3, fds_[0].get());
  request.fds.emplace_back(4, fds_[2].get());
  request.fds.emplace_back(5, ready_write.get());
  const absl::StatusOr<int> pid =
      co_await monitor_->Spawn(Run(), std::move(request));
  if (!pid.ok()) {
    co_return Unknown("failed to start binary process " + config_.binary.path +
                      ": " + Message(pid.status()));
  }
  running_ = true;
  ready_write.Reset();
  absl::Status status = co_await WaitReady(std::move(ready_read));
  co_return status;
}

Async<absl::Status> Logger::WaitReady(UniqueFd ready) {
  Future<bool> readable;
  const auto timer = SetAfter(loop_, kReadyLimit, readable);
  auto watch = loop_->Watch(ready.get(), EPOLLIN, [readable](uint32_t) mutable {
    readable.Set(true);
  });
  if (!watch.ok()) co_return watch.status();
  const bool in_time = co_await readable;
  if (!in_time) {
    co_return Unknown("logging binary " + config_.binary.path +
                      ": not ready after 30s");
  }
  char byte;
  const ssize_t n = read(ready.get(), &byte, 1);
  if (n != 1 && config_.binary.must_call_ready) {
    co_return Unknown(
        "logging binary did not call ready (it may have crashed or exited "
        "prematurely)");
  }
  co_return absl::OkStatus();
}

Async<void> Logger::Supervise(std::shared_ptr<Logger*> alive) {
  milliseconds pause = kFirstPause;
  while (*alive != nullptr && !(*alive)->closing_) {
    Logger* const logger = *alive;
    EventLoop* const loop = logger->loop_;
    const auto started = EventLoop::Clock::now();
    if (logger->running_) {
      const Future<ProcessExit> ended = logger->monitor_->ExitOf(logger->Run());
      const ProcessExit exit = co_await ended;
      if (*alive == nullptr || logger->closing_) co_return;
      LogWarning("logging binary ", logger->config_.binary.path,
                 " ended with status ", exit.status(), ", starting it again");
    }
    if (EventLoop::Clock::now() - started > kLongestPause) pause = kFirstPause;
    Future<bool> paused;
    const auto timer = SetAfter(loop, pause, paused);
    co_await paused;
    pause = std::min(pause * 2, kLongestPause);
    if (*alive == nullptr || logger->closing_) co_return;
    const absl::Status status = co_await logger->StartProgram();
    if (!status.ok()) LogError(Message(status));
  }
}

Async<void> Logger::Close() {
  closing_ = true;
  fds_.clear();
  monitor_->Unstore(token_);
  if (!running_) {
    monitor_->ForgetToken(token_);
    co_return;
  }
  const Future<ProcessExit> ended = monitor_->ExitOf(Run());
  const auto term = loop_->After(kEndLimit, [this] {
    monitor_->SignalSpawn({token_, kTermStep}, Run(), SIGTERM);
  });
  const auto kill = loop_->After(kEndLimit + kTermLimit, [this] {
    monitor_->SignalSpawn({token_, kKillStep}, Run(), SIGKILL);
  });
  co_await ended;
  monitor_->ForgetToken(token_);
}

}  // namespace hydra
