#include "cmd/hydra/session.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "containerd/task/v2/task.pb.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

namespace task = containerd::task::v2;

constexpr size_t kChunk = 32 << 10;
// While the runtime is at work. With the start it would be in the way of those
// who carry that out; after it the container may have ended.
constexpr std::chrono::milliseconds kPrepareAfter{5};
// So many interrupts say that it does not listen.
constexpr int kMostInterrupts = 3;
constexpr int kForwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                              SIGUSR1, SIGUSR2, SIGALRM, SIGCONT};

sigset_t SignalsOf(const Session::Options& options) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGWINCH);
  if (options.forward_signals) {
    for (const int number : kForwarded) sigaddset(&set, number);
  }
  return set;
}

// For a process that may have ended meanwhile, and needs it no more then.
template <typename Request>
Async<void> Tell(Client* client, const char* method, Request request) {
  (void)co_await client->Begin(kTaskService, method,
                               request.SerializeAsString());
}

}  // namespace

absl::StatusOr<std::shared_ptr<Session>> Session::Make(
    std::shared_ptr<Client> client, Options options) {
  HYDRA_ASSIGN_OR_RETURN(DetachScanner scanner,
                         DetachScanner::Parse(options.detach_keys));
  if (options.terminal && options.input && !options.json &&
      isatty(STDIN_FILENO) != 1) {
    return FailedPrecondition(
        "a terminal with an input: standard input is no terminal; leave out "
        "-t");
  }
  const std::shared_ptr<Session> session(
      new Session(std::move(client), std::move(options), std::move(scanner)));
  HYDRA_RETURN_IF_ERROR(session->WatchSignals());
  return session;
}

Session::Session(std::shared_ptr<Client> client, Options options,
                 DetachScanner scanner)
    : client_(std::move(client)),
      options_(std::move(options)),
      scanner_(std::move(scanner)) {}

Session::~Session() {
  const sigset_t set = SignalsOf(options_);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

absl::Status Session::WatchSignals() {
  const sigset_t set = SignalsOf(options_);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) return ErrnoError(errno, "signalfd");
  HYDRA_ASSIGN_OR_RETURN(
      watch_, client_->loop()->Watch(signals_.get(), EPOLLIN,
                                     [this](uint32_t) { OnSignal(); }));
  return absl::OkStatus();
}

Session::Start Session::StartOfMade() const {
  return {kTaskService, "Start",
          Named<task::StartRequest>().SerializeAsString(), nullptr};
}

absl::StatusOr<Session::End> Session::Run(std::optional<Start> start,
                                          const std::shared_ptr<Feed>& feed) {
  const bool is_raw = options_.terminal && options_.input && !options_.json;
  const std::optional<RawMode> raw =
      is_raw ? std::make_optional<RawMode>() : std::nullopt;
  return Await(client_->loop(), Follow(std::move(start), feed));
}

Async<absl::StatusOr<Session::End>> Session::Follow(
    std::optional<Start> start, std::shared_ptr<Feed> feed) {
  Detach(Wait());
  const EventLoop::Registration prepare =
      client_->loop()->After(kPrepareAfter, [feed] { feed->Prepare(); });
  if (start.has_value()) {
    const absl::StatusOr<std::string> started =
        co_await client_->Begin(start->service, start->method, start->request);
    if (!started.ok()) co_return started.status();
    if (start->on_started != nullptr) {
      absl::Status told = start->on_started(*started);
      if (!told.ok()) co_return told;
    }
  }
  started_ = true;
  // Not before it is told that there is somebody who writes.
  const Future<absl::Status> output = feed->Begin();
  const auto failure = output.OnSet([this](const absl::Status& status) {
    if (!status.ok()) exited_.Set(status);
    if (!status.ok()) left_.Set(true);
  });
  feed->OnStarted();
  if (options_.terminal) Resize();
  if (options_.input) {
    std::thread([self = shared_from_this(), feed] {
      self->ReadInput(feed);
    }).detach();
  }
  EventLoop::Registration limit;
  if (options_.limit.count() > 0) {
    limit = client_->loop()->After(options_.limit, [this] {
      too_late_ = true;
      Send(SIGKILL);
    });
  }
  const bool has_ended = co_await left_;
  End end;
  if (!has_ended) {
    end.detached = true;
    co_return end;
  }
  const absl::StatusOr<uint32_t> exit_status = co_await exited_;
  if (!exit_status.ok()) co_return exit_status.status();
  feed->OnExited();
  (void)co_await output;  // The exit status counts.
  if (too_late_) {
    co_return MakeError(absl::StatusCode::kDeadlineExceeded,
                        "it had not ended after " +
                            std::to_string(options_.limit.count()) +
                            " ms, and was killed");
  }
  end.exit_status = *exit_status;
  co_return end;
}

Async<void> Session::Wait() {
  const absl::StatusOr<std::string> bytes = co_await client_->Begin(
      kTaskService, "Wait", Named<task::WaitRequest>().SerializeAsString());
  const auto response = Client::Parsed<task::WaitResponse>(bytes);
  if (response.ok()) {
    exited_.Set(response->exit_status());
  } else {
    exited_.Set(response.status());
  }
  left_.Set(true);
}

void Session::ReadInput(const std::shared_ptr<Feed>& feed) {
  std::string buffer(kChunk, '\0');
  EventLoop* const loop = client_->loop();
  while (true) {
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    std::string typed(buffer.data(), static_cast<size_t>(n));
    if (options_.terminal) typed = scanner_.Scan(typed);
    if (!typed.empty() && !feed->WriteInput(typed)) return;
    if (scanner_.detached()) {
      loop->Post([self = shared_from_this()] { self->left_.Set(false); });
      return;
    }
  }
  feed->EndInput();
  loop->Post([self = shared_from_this()] {
    // A terminal that has gone is a user who has gone.
    if (self->options_.terminal && !self->options_.json) {
      self->left_.Set(false);
    } else {
      self->CloseInput();
    }
  });
}

void Session::CloseInput() {
  auto request = Named<task::CloseIORequest>();
  request.set_stdin(true);
  Detach(Tell(client_.get(), "CloseIO", std::move(request)));
}

void Session::OnSignal() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof(info)) ==
         static_cast<ssize_t>(sizeof(info))) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH) {
      if (options_.terminal) Resize();
      continue;
    }
    // The terminal has gone, and its user.
    if (signal == SIGHUP && options_.terminal) {
      left_.Set(false);
      return;
    }
    if ((signal == SIGINT || signal == SIGTERM) &&
        ++interrupts_ > kMostInterrupts) {
      left_.Set(false);
      return;
    }
    Send(signal);
  }
}

void Session::Send(int signal) {
  auto request = Named<task::KillRequest>();
  request.set_signal(static_cast<uint32_t>(signal));
  Detach(Tell(client_.get(), "Kill", std::move(request)));
}

void Session::Resize() {
  const std::optional<WindowSize> size = GetWindowSize();
  if (!size.has_value()) return;
  auto request = Named<task::ResizePtyRequest>();
  request.set_width(size->columns);
  request.set_height(size->rows);
  Detach(Tell(client_.get(), "ResizePty", std::move(request)));
}

}  // namespace hydra::command
