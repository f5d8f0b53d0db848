#include "shim/task/instance.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/events/outbox.h"
#include "shim/io/sink.h"

namespace hydra {
namespace {

// Go's zero time, year 1, in seconds of Unix time.
constexpr int64_t kGoZeroTime = -62'135'596'800;

// A client's FIFOs are for the run that it has asked for, and may have gone
// with it: the next one writes to the log, and is written to by WriteInput.
std::string NameForNextRun(const std::string& name) {
  return name.starts_with(kClientPrefix) ? kNobodyName : name;
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

int64_t UnixNow() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

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
      log_(loop, this),
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
  told_events_ = record_.next_event();
  if (record_.has_container()) TakeOver();
  publisher_.TakeOver(record_.next_event());
  return absl::OkStatus();
}

bool Instance::IsRemoved() const {
  return access(config_.paths.directory.c_str(), F_OK) < 0 && errno == ENOENT;
}

void Instance::TakeOver() {
  MakeRuntime();
  if (container() != nullptr) made_.Set(true);
  auto take_over = [this](const state::Process& process) {
    auto entry = std::make_shared<Live>(loop_);
    Live& live = *entry;
    live_[process.number()] = std::move(entry);
    if (process.exited_at() != 0 && !process.exit_pending()) {
      live.gone.Set(true);
      const bool is_told =
          !IsReplaced(process) || record_.container().has_native();
      if (is_told) live.exited.Set(true);
    } else if (process.start_failed()) {
      live.exited.Set(false);
    }
    // Until one that replaces another has been created, it has that one's pid.
    const bool has_pid = process.pid() != 0 &&
                         (process.replaces() == 0 || process.exited_at() != 0 ||
                          process.phase() != state::PHASE_STOPPED);
    // The monitor has the claim, unless it broke with the head before us over
    // something that this one had said before, and read no further.
    if (has_pid && process.exited_at() == 0) {
      monitor_->Claim(process.number(), static_cast<int>(process.pid()));
    }
    // One that is being started opens its streams when its request comes again.
    if (has_pid) {
      live.stdio = MakeStdio(process);
      Detach(AdoptStreams(live.stdio));
    }
  };
  take_over(record_.container().init());
  for (const auto& exec : record_.container().execs()) take_over(exec);
  WatchOom();
  log_.TakeOver();
}

void Instance::MakeRuntime() {
  Runtime::Config config;
  config.id = config_.id;
  config.container_namespace = config_.container_namespace;
  const state::Container& container = record_.container();
  config.bundle = container.bundle();
  config.pid_directory = container.pid_directory().empty()
                             ? container.bundle()
                             : container.pid_directory();
  config.options = container.options();
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

void Instance::ReplaceInit() {
  LeaveCgroup();
  state::Process* init = record_.mutable_container()->mutable_init();
  const uint64_t before = init->number();
  state::Process fresh;
  fresh.set_number(record_.next_process());
  record_.set_next_process(fresh.number() + 1);
  fresh.set_replaces(before);
  fresh.set_phase(state::PHASE_STOPPED);
  fresh.set_terminal(init->terminal());
  fresh.set_stdin(NameForNextRun(init->stdin()));
  fresh.set_stdout(NameForNextRun(init->stdout()));
  fresh.set_stderr(NameForNextRun(init->stderr()));
  // The pid stays until there is another: an engine has no task without one.
  fresh.set_pid(init->pid());
  *init = std::move(fresh);
  auto live = std::make_shared<Live>(loop_);
  // Whoever waits for the end of an engine's task waits for this one's now.
  if (!record_.container().has_native()) live->exited = live_[before]->exited;
  live_.erase(before);
  live_[init->number()] = std::move(live);
  monitor_->ForgetProcess(before);
  Touch();
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
  log_.Close();
  LeaveCgroup();
  for (const auto& exec : record_.container().execs()) {
    monitor_->ForgetProcess(exec.number());
  }
  monitor_->ForgetProcess(record_.container().init().number());
  live_.clear();
  record_.clear_container();
  runtime_.reset();
  Touch();
}

state::Event* Instance::AddHistory(
    std::string_view topic, const google::protobuf::MessageLite& payload) {
  state::Event* event = record_.add_history();
  event->set_sequence(record_.next_event());
  record_.set_next_event(record_.next_event() + 1);
  event->set_timestamp(UnixNow());
  event->set_topic(std::string(topic));
  // containerd's type URLs have no "type.googleapis.com/" before the name.
  event->mutable_payload()->set_type_url(payload.GetTypeName());
  payload.SerializeToString(event->mutable_payload()->mutable_value());
  Touch();
  return event;
}

void Instance::EmitOwn(std::string_view topic,
                       const google::protobuf::MessageLite& payload) {
  AddHistory(topic, payload);
  BoundHistory(record_.mutable_history());
}

void Instance::Emit(std::string_view topic,
                    const google::protobuf::MessageLite& payload,
                    state::EventRank rank) {
  state::Event* event = AddHistory(topic, payload);
  event->set_rank(rank);
  *record_.add_outbox() = *event;
  BoundHistory(record_.mutable_history());
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
  if (told_events_ != record_.next_event()) {
    told_events_ = record_.next_event();
    std::exchange(more_events_, {}).Set(true);
  }
  return status;
}

bool Instance::idle() const {
  if (dirty_ || !record_.outbox().empty() || !log_.idle()) return false;
  if (!record_.has_container()) return true;
  const state::Container& container = record_.container();
  // A timer of ours is to start it.
  if (container.has_replacement() || container.native().next_start_at() != 0) {
    return false;
  }
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
  if (log_.wake_fd() >= 0) fds.push_back(log_.wake_fd());
  return fds;
}

std::shared_ptr<Stdio> Instance::MakeStdio(const state::Process& process) {
  Stdio::Config config;
  config.process = process.number();
  config.after = process.replaces();
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
  config.journal = JournalOf(process);
  return std::make_shared<Stdio>(loop_, monitor_, std::move(config));
}

Stdio::Journal Instance::JournalOf(const state::Process& process) const {
  Stdio::Journal journal;
  const uint64_t max_bytes = record_.container().log().max_bytes();
  if (!process.exec_id().empty() || max_bytes == 0) return journal;
  journal.number = 1;
  journal.directory = log_.directory();
  journal.max_bytes = max_bytes;
  return journal;
}

void Instance::OnStream(const link::StreamState& state) {
  auto it = live_.find(Stdio::ProcessOf(state.stream));
  if (it != live_.end() && it->second->stdio != nullptr) {
    it->second->stdio->OnStream();
  } else if (it == live_.end() && state.ended != 0) {
    // Of a process that another has taken the place of.
    monitor_->CloseStream(state.stream);
  }
  // It may have been the last of the log.
  log_.Wake();
}

}  // namespace hydra
