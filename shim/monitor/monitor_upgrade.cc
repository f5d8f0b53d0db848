// The monitor's part in its own upgrade: its state out and in, the execution of
// its successor, and the first steps of that. See upgrade.h and state.h.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/base/version.h"
#include "shim/monitor/log.h"
#include "shim/monitor/monitor.h"
#include "shim/monitor/way_back.h"

namespace hydra::monitor {
namespace {

// What was left open for us over execve(2), and was not taken: it belongs to a
// section that we do not know, or to a record that has gone.
void CloseUntaken(const std::vector<int>& taken) {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return;
  std::vector<int> untaken;
  while (const dirent* entry = readdir(directory)) {
    const int fd = atoi(entry->d_name);
    if (fd <= STDERR_FILENO || (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 ||
        std::find(taken.begin(), taken.end(), fd) != taken.end()) {
      continue;
    }
    untaken.push_back(fd);
  }
  closedir(directory);
  for (const int fd : untaken) close(fd);
  for (const int fd : taken) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace

std::vector<const char*> Monitor::Arguments(const char* head) const {
  std::vector<const char*> arguments = {"--directory", options_.directory,
                                        "--socket",    options_.socket_path,
                                        "--head",      head};
  for (const char* cgroup : options_.cgroups) {
    arguments.insert(arguments.end(), {"--cgroup", cgroup});
  }
  arguments.push_back("--");
  arguments.insert(arguments.end(), options_.head_argv.begin() + 1,
                   options_.head_argv.end());
  return arguments;
}

void Monitor::OnUpgrade(const link::Message& message, link::Writer* head) {
  if (!operations_.Begin(message, link::OperationKind::kUpgrade, head)) return;
  auto upgrade = std::make_unique<Upgrade>(
      message, Upgrade::Current{program_, head_path_, head_.pid()});
  if (upgrade_ != nullptr || quit_at_ != kNever) {
    upgrade->Fail(EALREADY, upgrade_ != nullptr
                                ? "another upgrade is under way"
                                : "the instance is about to end");
    operations_.Finish(upgrade->token(), upgrade->step(), upgrade->error(), 0,
                       upgrade->Text(), head);
    return;
  }
  upgrade_ = std::move(upgrade);
  if (upgrade_->phase() == Upgrade::Phase::kTrying) {
    StateWriter state;
    Save(&state);
    upgrade_->Start(state.Finish(), Arguments(upgrade_->new_head().c_str()),
                    &child_file_limit_);
  }
}

void Monitor::OnInspect(const link::Message& message,
                        link::Writer* head) const {
  link::Status status = {};
  status.generation = head_.generation();
  status.deaths = head_.deaths();
  status.connections = server_.connections();
  status.requests = server_.requests();
  status.operations = operations_.size();
  status.processes = processes_.size();
  status.streams = streams_.size();
  status.stored = store_.size();
  status.state_version = kStateVersion;
  status.upgrades = upgrades_;
  status.started_at = started_at_;
  journals_.Describe(&status);
  std::string text(Version());
  text.push_back('\0');
  text.append(program_).push_back('\0');
  head->Add(link::Type::kStatus, message.header.token, message.header.step,
            status, text);
}

void Monitor::RunUpgrade() {
  if (upgrade_ == nullptr) return;
  if (MonotonicNow() >= upgrade_->deadline()) upgrade_->OnDeadline();
  if (upgrade_->phase() == Upgrade::Phase::kTrying ||
      upgrade_->phase() == Upgrade::Phase::kProbation) {
    return;
  }
  if (upgrade_->must_go_back()) GoBack();
  if (upgrade_->phase() == Upgrade::Phase::kPassed && !upgrade_->trial_only()) {
    if (quit_at_ != kNever) {
      upgrade_->Fail(EALREADY, "the instance is about to end");
    } else {
      ExecuteUpgrade();
    }
  }
  FinishUpgrade();
}

void Monitor::ExecuteUpgrade() {
  upgrade_->SetPaused();
  StateWriter writer;
  Save(&writer);
  const int error = upgrade_->Execute(writer.Finish(), writer.fds(),
                                      Arguments(upgrade_->new_head().c_str()));
  upgrade_->SetResumed();
  upgrade_->Fail(
      error, "execute " + upgrade_->new_monitor() + ": " + ErrorName(error));
}

void Monitor::GoBack() {
  upgrade_->SetPaused();
  StateWriter writer;
  Save(&writer);
  const int error =
      upgrade_->GoBack(writer.Finish(), writer.fds(),
                       Arguments(upgrade_->previous().head.c_str()));
  // Then at least with the head that was.
  LogError("execute the program before: %s", ErrorName(error));
  upgrade_->SetResumed();
  UseFormerHead();
  head_.Replace();
}

void Monitor::UseFormerHead() {
  head_path_ = upgrade_->previous().head;
  head_file_ = upgrade_->TakePreviousHead();
  // By its descriptor, as its path may name another by now.
  head_program_ = head_file_.valid()
                      ? "/proc/self/fd/" + std::to_string(head_file_.get())
                      : head_path_;
  head_.SetProgram(head_program_.c_str());
}

void Monitor::FinishUpgrade() {
  if (upgrade_->error() == 0 && !upgrade_->trial_only()) {
    ++upgrades_;
    head_file_.Reset();
    grpc_.Retire();
  }
  if (upgrade_->error() != 0) {
    LogError("upgrade: %s", upgrade_->reason().c_str());
  }
  // One that is leaving would never hear of it; its successor does.
  operations_.Finish(
      upgrade_->token(), upgrade_->step(), upgrade_->error(),
      upgrade_->paused(), upgrade_->Text(),
      head_.state() == HeadState::kReady ? head_.output() : nullptr);
  upgrade_.reset();
}

void Monitor::Save(StateWriter* state) const {
  state->BeginSection(StateSection::kMonitor);
  state->Bytes(Version());
  state->Bytes(program_);
  state->Struct(child_file_limit_);
  state->Signed(started_at_);
  state->Number(upgrades_);
  state->Fd(head_file_);
  state->EndRecord();
  const auto save = [state](StateSection section, const auto& part) {
    state->BeginSection(section);
    part.Save(state);
    state->EndRecord();
  };
  if (upgrade_ != nullptr) save(StateSection::kUpgrade, *upgrade_);
  save(StateSection::kHead, head_);
  save(StateSection::kServer, server_);
  save(StateSection::kOperations, operations_);
  save(StateSection::kProcesses, processes_);
  state->BeginSection(StateSection::kStore);
  state->BeginList();
  for (const auto& [name, fds] : store_) {
    state->BeginRecord();
    state->Number(name);
    state->BeginList();
    for (const UniqueFd& fd : fds) {
      state->BeginRecord();
      state->Fd(fd);
      state->EndRecord();
    }
    state->EndList();
    state->EndRecord();
  }
  state->EndList();
  state->EndRecord();
  save(StateSection::kStreams, streams_);
  save(StateSection::kJournals, journals_);
  save(StateSection::kPublications, publications_);
  save(StateSection::kGrpc, grpc_);
#ifdef HYDRA_TEST_STATE_NEXT
  SaveTestOnly(state);
#endif
}

void Monitor::Load(StateReader* state) {
  if (state->BeginSection(StateSection::kMonitor)) {
    state->Bytes();  // The writer's version, for whoever reads a dump.
    program_ = state->Bytes();
    child_file_limit_ = state->Struct<rlimit>();
    started_at_ = state->Signed();
    upgrades_ = state->Number();
    head_file_ = state->Fd();
  } else {
    state->Fail();
  }
  const auto load = [state](StateSection section, auto* part) {
    if (state->BeginSection(section)) part->Load(state);
  };
  if (state->BeginSection(StateSection::kUpgrade)) {
    upgrade_ = std::make_unique<Upgrade>();
    upgrade_->Load(state);
  }
  load(StateSection::kHead, &head_);
  load(StateSection::kServer, &server_);
  load(StateSection::kOperations, &operations_);
  load(StateSection::kProcesses, &processes_);
  if (state->BeginSection(StateSection::kStore)) {
    state->BeginList();
    while (state->BeginRecord()) {
      std::vector<UniqueFd>& fds = store_[state->Number()];
      state->BeginList();
      while (state->BeginRecord()) {
        fds.push_back(state->Fd());
        state->EndRecord();
      }
      state->EndList();
      state->EndRecord();
    }
    state->EndList();
  }
  load(StateSection::kStreams, &streams_);
  load(StateSection::kJournals, &journals_);
  load(StateSection::kPublications, &publications_);
  load(StateSection::kGrpc, &grpc_);
}

int Monitor::Check(int state_fd, uint64_t* oldest) {
#ifdef HYDRA_TEST_STATE_NEXT
  BreakForTest("test-trial-crash", "test-trial-hang");
#endif
  std::string bytes;
  int error = ReadStateFile(state_fd, &bytes);
  if (error != 0) return error;
  StateReader state(bytes, StateReader::Mode::kTrial);
  *oldest = state.oldest();
  Load(&state);
  if (state.error() != 0) return state.error();
  ExitFileContents exits;
  error = ReadExitFile(kExitFileName, &exits);
  return error == ENOTSUP ? error : 0;
}

int Monitor::Resume(int state_fd, int previous_fd, int failed) {
  const std::vector<const char*> arguments = Arguments(head_path_.c_str());
  WayBack::Prepare(state_fd, previous_fd, arguments);
  WayBack::Arm();
  const int error = TakeOver(state_fd, previous_fd, failed);
  if (error != 0) WayBack::Take(error);
  return error;
}

int Monitor::TakeOver(int state_fd, int previous_fd, int failed) {
  uint64_t oldest = 0;
  {
    Monitor trial(options_);
    const int error = trial.Check(state_fd, &oldest);
    if (error != 0) return error;
  }
  std::string bytes;
  int error = ReadStateFile(state_fd, &bytes);
  if (error != 0) return error;
  error = poller_.Open();
  if (error != 0) return error;
  error = OpenSignals();
  if (error != 0) return error;
  WayBack::Arm();
#ifdef HYDRA_TEST_STATE_NEXT
  BreakForTest("test-crash", "test-hang");
#endif

  // From here on nothing fails that would be a reason to go back.
  StateReader state(bytes, StateReader::Mode::kTake);
  Load(&state);
  WayBack::Disarm();
  LogInfo("resumed as version %s", Version());
  if (upgrade_ != nullptr) ResumeUpgrade(previous_fd, failed);
  CloseUntaken(state.fds());
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // Is kept over execve(2); and if not.
  error = OpenExitFile();
  if (error != 0) LogError("open exit file: %s", ErrorName(error));
  server_.ResumeAll();
  streams_.Resume();
  publications_.Resume();
  grpc_.Resume();
  // A SIGCHLD that waited is gone: setting its default action discards it.
  reap_again_ = true;
  head_.Replace();
  return 0;
}

void Monitor::ResumeUpgrade(int previous_fd, int failed) {
  upgrade_->SetResumed();
  if (failed == 0) {
    program_ = upgrade_->new_monitor();
    upgrade_->BeginProbation(previous_fd);
    return;
  }
  program_ = upgrade_->previous().monitor;
  // If it was the head that failed, the monitor between has said so.
  upgrade_->Fail(
      failed, upgrade_->reason().empty()
                  ? upgrade_->new_monitor() +
                        " could not take over, went back: " + ErrorName(failed)
                  : upgrade_->reason() + ", went back");
  UseFormerHead();
  FinishUpgrade();
}

}  // namespace hydra::monitor
