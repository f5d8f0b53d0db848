#include "shim/monitor/monitor.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/link/protocol.h"
#include "shim/monitor/log.h"
#include "shim/monitor/process.h"

namespace hydra::monitor {
namespace {

using link::Message;

constexpr int kEventsPerTurn = 32;
constexpr int kMessagesPerTurn = 256;
// More than a socket's buffer holds.
constexpr int kMessagesAtMost = 1 << 16;
constexpr int kReapsPerTurn = 256;

// Everything but the errors of the program itself, which must end it.
sigset_t WatchedSignals() {
  sigset_t set;
  sigfillset(&set);
  for (int signal :
       {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPIPE}) {
    sigdelset(&set, signal);
  }
  return set;
}

unsigned long long Printable(uint64_t number) { return number; }

}  // namespace

Monitor::Monitor(MonitorOptions options)
    : options_(std::move(options)),
      exit_file_(kExitFileName),
      head_(&poller_, options_.head_argv, &child_file_limit_),
      processes_(&exit_file_),
      operations_(&processes_, &child_file_limit_),
      publications_(&poller_, &head_),
      streams_(&poller_, &head_, &journals_),
      server_(&poller_, &head_, UniqueFd(options_.listen_fd),
              options_.socket_path),
      grpc_(&poller_, &server_, &child_file_limit_),
      head_path_(options_.head_argv[0]) {}

int Monitor::OpenSignals() {
  // What was inherited: an ignored SIGCHLD would take every exit away.
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    sigaction(signal, &action, nullptr);
  }
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  const sigset_t watched = WatchedSignals();
  sigprocmask(SIG_SETMASK, &watched, nullptr);
  signals_.Reset(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return errno;
  return poller_.Add(signals_.get(), EPOLLIN, {EventKind::kSignal});
}

int Monitor::OpenExitFile() {
  if (access(kExitFileName, F_OK) < 0) return 0;
  return exit_file_.Open();
}

int Monitor::Open(const char** what) {
  *what = options_.directory;
  if (chdir(options_.directory) < 0) return errno;
  *what = options_.head_argv[0];
  if (access(options_.head_argv[0], X_OK) < 0) return errno;
  // Streams and execs take descriptors; the children keep the limit that the
  // engine was given.
  if (getrlimit(RLIMIT_NOFILE, &child_file_limit_) == 0) {
    rlimit raised = child_file_limit_;
    raised.rlim_cur = raised.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
  }
  program_ = OwnProgram();
  started_at_ = UnixNow();
  *what = "PR_SET_CHILD_SUBREAPER";
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return errno;
  *what = "epoll_create1";
  int error = poller_.Open();
  if (error != 0) return error;
  *what = "signalfd";
  error = OpenSignals();
  if (error != 0) return error;
  *what = kExitFileName;
  error = OpenExitFile();
  if (error != 0) return error;
  *what = "listening socket";
  error = server_.Open();
  if (error != 0 || options_.head_pid == 0) return error;
  *what = "link";
  // It may have ended before we could hear of it.
  reap_again_ = true;
  return head_.Adopt(options_.head_pid, UniqueFd(options_.head_fd));
}

void Monitor::Run() {
  if (head_.state() == HeadState::kDown) head_.Start();
  while (!IsDone()) Turn();
  exit_file_.Delete();
  LogInfo("quit");
}

bool Monitor::IsDone() const {
  if (quit_at_ == kNever) return false;
  const bool children_ended =
      options_.cgroups.empty() || (head_.pid() == 0 && grpc_.ended());
  return (server_.sent_all() && children_ended) || MonotonicNow() >= quit_at_;
}

int Monitor::TimeoutMs() const {
  if (link_has_more_ || reap_again_ || streams_.has_more()) return 0;
  int64_t due = std::min(streams_.due_at(), server_.resume_at());
  due = std::min(due, publications_.deadline());
  if (upgrade_ != nullptr) due = std::min(due, upgrade_->deadline());
  due = std::min(due, quit_at_ == kNever ? head_.next_start() : quit_at_);
  if (due == kNever) return -1;
  const int64_t wait = due - MonotonicNow();
  // Rounded up: a turn too early would find nothing due.
  return wait <= 0 ? 0 : static_cast<int>(wait / kMillisecond) + 1;
}

void Monitor::Turn() {
  if (!server_.FeedHead()) {
    // It may have said something before it went.
    ReadLink(true);
    head_.Kill("the link is broken");
  }
  epoll_event events[kEventsPerTurn];
  const int count = poller_.Wait(events, kEventsPerTurn, TimeoutMs());
  for (int i = 0; i < count; ++i) {
    OnEvent(EventTag::Unpack(events[i].data.u64), events[i].events);
  }
  if (link_has_more_) ReadLink(false);
  if (reap_again_) ReapChildren();
  streams_.RunMore();
  RunDue();
  // It has its last answers.
  if (quit_at_ != kNever && server_.sent_all()) grpc_.End();
  // Last, where nothing is half done: this may be the end of this program.
  RunUpgrade();
}

void Monitor::RunDue() {
  const int64_t now = MonotonicNow();
  if (quit_at_ == kNever && now >= head_.next_start()) head_.Start();
  if (now >= streams_.due_at()) streams_.RunDue(now);
  if (now >= server_.resume_at()) server_.Resume();
  if (now >= publications_.deadline()) publications_.OnDeadline();
}

void Monitor::OnEvent(EventTag tag, uint32_t events) {
  switch (tag.kind) {
    case EventKind::kSignal:
      OnSignals();
      break;
    case EventKind::kListener:
      server_.OnListenReadable();
      break;
    case EventKind::kLink:
      ReadLink(false);
      break;
    case EventKind::kConnection: {
      UniqueFd grpc = server_.OnConnection(tag.id, events);
      if (grpc.valid()) grpc_.Pass(std::move(grpc), head_path_);
      break;
    }
    case EventKind::kGrpc:
      grpc_.OnReadable();
      break;
    case EventKind::kWake:
      WakeHead();
      break;
    case EventKind::kStreamOutput:
    case EventKind::kStreamInput:
    case EventKind::kConsoleSetup:
    case EventKind::kConsoleMaster:
      streams_.OnEvent(tag.kind, tag.id);
      break;
    case EventKind::kEngine:
      publications_.OnEvent(tag.id);
      break;
  }
}

void Monitor::OnSignals() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    switch (info.ssi_signo) {
      case SIGCHLD:
        reap_again_ = true;
        break;
      case SIGUSR1:
        LogState();
        break;
      default:
        LogWarning("signal %u from pid %u ignored", info.ssi_signo,
                   info.ssi_pid);
        break;
    }
  }
}

void Monitor::ReapChildren() {
  reap_again_ = false;
  for (int i = 0; i < kReapsPerTurn; ++i) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const int64_t now = UnixNow();
    if (pid == head_.pid()) {
      OnHeadReaped(status);
      continue;
    }
    if (upgrade_ != nullptr && upgrade_->OnExit(pid, status)) continue;
    if (grpc_.OnExit(pid)) continue;
    link::Writer* head = head_.output();
    const bool is_spawn = operations_.OnExit(pid, status, now, head);
    const bool is_claimed = processes_.OnExit(pid, status, now, head);
    if (is_spawn || is_claimed) {
      WakeHead();
    } else if (operations_.adopting()) {
      processes_.KeepUnclaimed(pid, status, now);
    }
  }
  reap_again_ = true;
}

void Monitor::OnHeadReaped(int wait_status) {
  // What it said before it died still counts.
  ReadLink(true);
  if (upgrade_ != nullptr && head_.state() != HeadState::kLeaving) {
    upgrade_->OnHeadFailed();
  }
  server_.OnHeadDied(head_.HasCrashed(wait_status));
  head_.OnReaped(wait_status);
}

void Monitor::ReadLink(bool all) {
  link_has_more_ = false;
  const int limit = all ? kMessagesAtMost : kMessagesPerTurn;
  for (int i = 0; i < limit; ++i) {
    Message message;
    switch (head_.Next(&message)) {
      case link::Reader::Result::kMessage:
        OnMessage(std::move(message));
        break;
      case link::Reader::Result::kAgain:
        return;
      case link::Reader::Result::kClosed:
        if (quit_at_ != kNever || head_.state() == HeadState::kLeaving) {
          head_.LetEnd();
        } else {
          head_.Kill("it closed the link");
        }
        return;
      case link::Reader::Result::kError:
        head_.KillMisbehaved(ErrorName(errno));
        return;
    }
  }
  link_has_more_ = !all;
}

void Monitor::WakeHead() {
  for (const UniqueFd& fd : wake_) poller_.Remove(fd.get());
  wake_.clear();
  head_.Wake();
}

void Monitor::LogState() const {
  LogInfo("head pid %d, generation %llu, deaths %llu, state %d", head_.pid(),
          Printable(head_.generation()), Printable(head_.deaths()),
          static_cast<int>(head_.state()));
  LogInfo("connections %zu, requests %zu, operations %zu, stored %zu",
          server_.connections(), server_.requests(), operations_.size(),
          store_.size());
  LogInfo("publications %zu", publications_.size());
  LogInfo("processes %zu, unclaimed exits %zu, streams %zu", processes_.size(),
          processes_.unclaimed(), streams_.size());
  streams_.LogState();
}

}  // namespace hydra::monitor
