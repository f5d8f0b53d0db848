#include "shim/task/instance.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/events/outbox.h"

namespace hydra {
namespace {

// Go's zero time, year 1, in seconds of Unix time.
constexpr int64_t kGoZeroTime = -62'135'596'800;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Short, and apart from those of other instances: one directory holds the
// console sockets of an engine's instances, because a socket's path is bounded.
std::string ConsoleSocket(const InstancePaths& paths, uint64_t process) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : paths.directory) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return absl::StrCat(paths.engine_directory, "/.s/", absl::Hex(hash), "-",
                      process);
}

Async<void> AdoptStreams(std::shared_ptr<Stdio> stdio) {
  co_await stdio->Adopt();
}

}  // namespace

google::protobuf::Timestamp ToTimestamp(int64_t nanoseconds) {
  google::protobuf::Timestamp timestamp;
  if (nanoseconds == 0) {
    timestamp.set_seconds(kGoZeroTime);
  } else {
    timestamp.set_seconds(nanoseconds / 1'000'000'000);
    timestamp.set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  }
  return timestamp;
}

Instance::Instance(EventLoop* loop, MonitorClient* monitor, Config config)
    : loop_(loop),
      monitor_(monitor),
      config_(std::move(config)),
      file_(config_.paths.state),
      publisher_(loop, monitor,
                 {config_.engine_ttrpc_address, config_.container_namespace},
                 &record_.outbox(), PublisherHandlers()) {
  record_.set_format_version(kRecordNeeds);
  record_.set_boot_id(BootId());
  record_.set_namespace_(config_.container_namespace);
  record_.set_id(config_.id);
  record_.set_next_process(1);
  record_.set_next_event(1);
}

Publisher::Handlers Instance::PublisherHandlers() {
  Publisher::Handlers handlers;
  handlers.taken = [this](uint64_t) {
    record_.mutable_outbox()->DeleteSubrange(0, 1);
    Touch();
    if (!record_.outbox().empty()) return;
    const uint64_t before =
        std::exchange(dropped_before_, record_.dropped_events());
    if (before != dropped_before_) {
      LogWarning("the engine has all events but those dropped: ",
                 dropped_before_ - before);
    }
  };
  handlers.save = [this] { (void)Save(); };  // Logged there.
  return handlers;
}

absl::Status Instance::Load() {
  absl::StatusOr<state::Record> loaded = file_.Load();
  if (absl::IsNotFound(loaded.status())) return absl::OkStatus();
  if (!loaded.ok()) return loaded.status();
  if (loaded->id() != record_.id() ||
      loaded->namespace_() != record_.namespace_()) {
    return DataLoss("state file " + config_.paths.state + ": of container " +
                    loaded->namespace_() + "/" + loaded->id());
  }
  record_ = *std::move(loaded);
  record_.set_format_version(kRecordNeeds);
  dropped_before_ = record_.dropped_events();
  if (record_.has_container()) TakeOver();
  publisher_.TakeOver(record_.next_event());
  return absl::OkStatus();
}

bool Instance::IsRemoved() const {
  return access(config_.paths.directory.c_str(), F_OK) < 0 && errno == ENOENT;
}

void Instance::TakeOver() {
  MakeRuntime();
  auto take_over = [this](const state::Process& process) {
    auto entry = std::make_shared<Live>(loop_);
    Live& live = *entry;
    live_[process.number()] = std::move(entry);
    if (process.exited_at() != 0 && !process.exit_pending()) {
      live.exited.Set(true);
    } else if (process.start_failed()) {
      live.exited.Set(false);
    }
    // The monitor has the claim, unless it broke with the head before us over
    // something that this one had said before, and read no further.
    if (process.pid() != 0 && process.exited_at() == 0) {
      monitor_->Claim(process.number(), static_cast<int>(process.pid()));
    }
    // One that is being started opens its streams when its request comes again.
    if (process.pid() != 0) {
      live.stdio = MakeStdio(process);
      Detach(AdoptStreams(live.stdio));
    }
  };
  take_over(record_.container().init());
  for (const auto& exec : record_.container().execs()) take_over(exec);
  WatchOom();
}

void Instance::MakeRuntime() {
  Runtime::Config config;
  config.id = config_.id;
  config.container_namespace = config_.container_namespace;
  config.bundle = record_.container().bundle();
  config.options = record_.container().options();
  runtime_ = std::make_shared<Runtime>(loop_, monitor_, std::move(config));
}

state::Container* Instance::container() {
  if (!record_.has_container() ||
      record_.container().init().phase() == state::PHASE_CREATING) {
    return nullptr;
  }
  return record_.mutable_container();
}

state::Process* Instance::FindProcess(std::string_view exec_id) {
  state::Container* known = container();
  if (known == nullptr) return nullptr;
  if (exec_id.empty()) return known->mutable_init();
  for (auto& exec : *known->mutable_execs()) {
    if (exec.exec_id() == exec_id) return &exec;
  }
  return nullptr;
}

state::Process* Instance::FindNumber(uint64_t number) {
  if (!record_.has_container()) return nullptr;
  state::Container* known = record_.mutable_container();
  if (known->init().number() == number) return known->mutable_init();
  for (auto& exec : *known->mutable_execs()) {
    if (exec.number() == number) return &exec;
  }
  return nullptr;
}

state::Container& Instance::AddContainer(state::Container container) {
  const uint64_t number = record_.next_process();
  record_.set_next_process(number + 1);
  container.mutable_init()->set_number(number);
  *record_.mutable_container() = std::move(container);
  live_[number] = std::make_shared<Live>(loop_);
  MakeRuntime();
  Touch();
  return *record_.mutable_container();
}

state::Process& Instance::AddExec(state::Process exec) {
  const uint64_t number = record_.next_process();
  record_.set_next_process(number + 1);
  exec.set_number(number);
  live_[number] = std::make_shared<Live>(loop_);
  Touch();
  state::Process* added = record_.mutable_container()->add_execs();
  *added = std::move(exec);
  return *added;
}

void Instance::RemoveExec(const state::Process& exec) {
  const uint64_t number = exec.number();
  monitor_->ForgetProcess(number);
  live_.erase(number);
  auto* execs = record_.mutable_container()->mutable_execs();
  for (int i = 0; i < execs->size(); ++i) {
    if (execs->Get(i).number() == number) {
      execs->DeleteSubrange(i, 1);
      break;
    }
  }
  Touch();
}

void Instance::RemoveContainer() {
  oom_watch_ = {};
  oom_.reset();
  monitor_->Unstore(kOomStore);
  for (const auto& exec : record_.container().execs()) {
    monitor_->ForgetProcess(exec.number());
  }
  monitor_->ForgetProcess(record_.container().init().number());
  live_.clear();
  record_.clear_container();
  runtime_.reset();
  Touch();
}

void Instance::Emit(std::string_view topic,
                    const google::protobuf::MessageLite& payload,
                    state::EventRank rank) {
  state::Event* event = record_.add_outbox();
  event->set_sequence(record_.next_event());
  record_.set_next_event(record_.next_event() + 1);
  event->set_timestamp(Now());
  event->set_topic(std::string(topic));
  // containerd's type URLs have no "type.googleapis.com/" before the name.
  event->mutable_payload()->set_type_url(payload.GetTypeName());
  payload.SerializeToString(event->mutable_payload()->mutable_value());
  event->set_rank(rank);
  Touch();
  const int dropped = BoundOutbox(record_.mutable_outbox());
  if (dropped == 0) return;
  if (record_.dropped_events() == dropped_before_) {
    LogError("the engine has been away for long, events are dropped from now");
  }
  record_.set_dropped_events(record_.dropped_events() +
                             static_cast<uint64_t>(dropped));
}

absl::Status Instance::Save() {
  absl::Status status = file_.Save(record_);
  if (status.ok()) {
    dirty_ = false;
    save_failed_ = false;
    publisher_.OnSaved();
  } else if (!std::exchange(save_failed_, true)) {
    LogError("state cannot be saved, and would be lost with this process: ",
             Message(status));
  }
  // An event that could not be saved is better told than lost.
  publisher_.Wake(record_.next_event());
  return status;
}

bool Instance::idle() const {
  if (dirty_ || !record_.outbox().empty()) return false;
  if (!record_.has_container()) return true;
  const state::Container& container = record_.container();
  const auto is_moving = [](const state::Process& process) {
    return process.token() != 0;
  };
  return !is_moving(container.init()) &&
         std::none_of(container.execs().begin(), container.execs().end(),
                      is_moving);
}

std::vector<int> Instance::wake_fds() const {
  std::vector<int> fds;
  if (oom_ != nullptr) fds.push_back(oom_->fd());
  return fds;
}

std::shared_ptr<Stdio> Instance::MakeStdio(const state::Process& process) {
  Stdio::Config config;
  config.process = process.number();
  config.terminal = process.terminal();
  config.stdin_name = process.stdin();
  config.stdout_name = process.stdout();
  config.stderr_name = process.stderr();
  config.uid = record_.container().options().io_uid();
  config.gid = record_.container().options().io_gid();
  config.logger_id = process.exec_id().empty() ? config_.id : process.exec_id();
  config.container_namespace = config_.container_namespace;
  const state::Spool& spool = record_.container().spool();
  config.spool.directory = config_.state_directory;
  config.spool.policy = static_cast<link::SpoolPolicy>(spool.policy());
  config.spool.max_bytes = spool.max_bytes();
  config.spool.stall_ms = spool.stall_ms();
  config.console_socket = ConsoleSocket(config_.paths, process.number());
  return std::make_shared<Stdio>(loop_, monitor_, std::move(config));
}

void Instance::OnStream(const link::StreamState& state) {
  auto it = live_.find(Stdio::ProcessOf(state.stream));
  if (it != live_.end() && it->second->stdio != nullptr) {
    it->second->stdio->OnStream();
  }
}

}  // namespace hydra
