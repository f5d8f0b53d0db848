#include "cmd/hydra/feed.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "cmd/hydra/output.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

constexpr size_t kChunk = 64 << 10;
// From the exit, or what came last, to the end of waiting for more.
constexpr int kOutputLimitMs = 10'000;
constexpr std::chrono::seconds kLogLimit{1};

// How many bytes at the end of `text` begin a character of UTF-8 that is not
// whole.
size_t CutOff(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const size_t length = byte >= 0xf0   ? 4
                          : byte >= 0xe0 ? 3
                          : byte >= 0xc0 ? 2
                                         : 1;
    return length > back ? back : 0;
  }
  return 0;
}

bool WriteAll(int fd, std::string_view data) {
  return WriteOutput(fd, data).ok();
}

}  // namespace

const char* StreamName(v1::Stream stream) {
  return stream == v1::STDERR    ? "stderr"
         : stream == v1::CONSOLE ? "console"
                                 : "stdout";
}

bool OutputSink::Write(v1::Stream stream, std::string_view data) {
  const std::lock_guard lock(mutex_);
  if (broken_) return false;
  const bool written =
      json_ ? WriteJson(stream, data)
            : WriteAll(stream == v1::STDERR ? STDERR_FILENO : STDOUT_FILENO,
                       data);
  // Standard error may be closed and standard output not.
  broken_ = !written && (json_ || stream != v1::STDERR);
  return !broken_;
}

bool OutputSink::WriteJson(v1::Stream stream, std::string_view data) {
  std::string& held = held_[stream];
  held.append(data);
  const size_t cut = CutOff(held);
  const std::string whole = held.substr(0, held.size() - cut);
  held.erase(0, whole.size());
  if (whole.empty()) return true;
  Json object = {{"type", "output"}, {"stream", StreamName(stream)}};
  AddData(whole, &object);
  return PrintJson(object).ok();
}

void OutputSink::Flush() {
  const std::lock_guard lock(mutex_);
  for (const auto& [stream, held] : held_) {
    if (held.empty() || broken_) continue;
    Json object = {{"type", "output"}, {"stream", StreamName(stream)}};
    AddData(held, &object);
    broken_ = !PrintJson(object).ok();
  }
  held_.clear();
}

absl::StatusOr<std::shared_ptr<FifoFeed>> FifoFeed::Make(
    std::shared_ptr<Client> client, const std::string& directory, bool terminal,
    bool input, bool json) {
  const std::shared_ptr<FifoFeed> feed(
      new FifoFeed(std::move(client), terminal, json));
  feed->exited_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!feed->exited_.valid()) return ErrnoError(errno, "eventfd");
  const std::string base = directory + "/fifo-" + std::to_string(getpid());
  // Both ways, so that we never wait for a reader, or lose one.
  if (input) HYDRA_RETURN_IF_ERROR(feed->MakeOne(base + "-in", O_RDWR, 0));
  HYDRA_RETURN_IF_ERROR(feed->MakeOne(base + "-out", O_RDONLY | O_NONBLOCK, 1));
  if (!terminal) {
    HYDRA_RETURN_IF_ERROR(
        feed->MakeOne(base + "-err", O_RDONLY | O_NONBLOCK, 2));
  }
  return feed;
}

absl::Status FifoFeed::MakeOne(const std::string& path, int flags, int index) {
  if (mkfifo(path.c_str(), 0600) != 0) {
    return ErrnoError(errno, "make FIFO", path);
  }
  paths_[index] = path;
  fds_[index] = UniqueFd(open(path.c_str(), flags | O_CLOEXEC));
  return fds_[index].valid() ? absl::OkStatus()
                             : ErrnoError(errno, "open FIFO", path);
}

FifoFeed::~FifoFeed() {
  Open(Gate::kOff);
  Unlink();
}

void FifoFeed::Unlink() {
  for (std::string& path : paths_) {
    if (!path.empty()) unlink(path.c_str());
    path.clear();
  }
}

void FifoFeed::Prepare() {
  if (std::exchange(is_prepared_, true)) return;
  const auto start = [this](int index, v1::Stream stream) {
    if (!fds_[index].valid()) return;
    ++copying_;
    std::thread([gate = gate_, feed = weak_from_this(), index, stream] {
      gate->wait(Gate::kWait);
      if (*gate == Gate::kOff) return;
      const std::shared_ptr<FifoFeed> self = feed.lock();
      if (self != nullptr) self->Copy(index, stream);
    }).detach();
  };
  start(1, terminal_ ? v1::CONSOLE : v1::STDOUT);
  start(2, v1::STDERR);
}

void FifoFeed::Open(Gate gate) {
  *gate_ = gate;
  gate_->notify_all();
}

Future<absl::Status> FifoFeed::Begin() {
  Prepare();
  Open(Gate::kOn);
  return ended_;
}

void FifoFeed::OnExited() {
  const uint64_t one = 1;
  if (write(exited_.get(), &one, sizeof(one)) < 0) abort();  // Not with 1.
}

// False: there is nothing more to come.
bool FifoFeed::AwaitOutput(int fd) const {
  // A read would be at the end before anybody has begun to write; poll is not
  // (fifo(7), poll(2)).
  pollfd entries[] = {{fd, POLLIN, 0}, {exited_.get(), POLLIN, 0}};
  while (true) {
    const bool has_exited = entries[1].revents != 0;
    const int n =
        poll(entries, has_exited ? 1 : 2, has_exited ? kOutputLimitMs : -1);
    if (n < 0 && errno == EINTR) continue;
    if (entries[0].revents != 0) return true;
    if (has_exited) return false;
  }
}

void FifoFeed::Copy(int index, v1::Stream stream) {
  const int fd = fds_[index].get();
  std::string buffer(kChunk, '\0');
  while (AwaitOutput(fd)) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) break;
    if (!sink_.Write(stream, {buffer.data(), static_cast<size_t>(n)})) break;
  }
  // Who still writes is not held up because our own reader has left.
  fds_[index].Reset();
  client_->loop()->Post([self = shared_from_this()] {
    if (--self->copying_ > 0) return;
    self->sink_.Flush();
    self->ended_.Set(absl::OkStatus());
  });
}

bool FifoFeed::WriteInput(std::string_view data) {
  return WriteAll(fds_[0].get(), data);
}

Future<absl::Status> LogFeed::Begin() {
  Detach(Follow());
  return ended_;
}

void LogFeed::OnExited() {
  has_exited_ = true;
  // One that is to be started again does not end.
  limit_ = client_->loop()->After(kLogLimit,
                                  [this] { ended_.Set(absl::OkStatus()); });
}

Async<void> LogFeed::Follow() {
  v1::ReadLogRequest request;
  *request.mutable_start() = start_;
  request.set_wait(true);
  bool goes_on = true;
  while (goes_on) {
    const absl::StatusOr<std::string> bytes = co_await client_->Begin(
        kInstanceService, "ReadLog", request.SerializeAsString());
    const auto response = Client::Parsed<v1::ReadLogResponse>(bytes);
    if (!response.ok()) {
      ended_.Set(response.status());
      co_return;
    }
    for (const v1::LogEntry& entry : response->entries()) {
      goes_on = sink_.Write(entry.stream(), entry.data());
    }
    goes_on = goes_on && !response->ended();
    request.mutable_start()->set_position(response->next());
    if (has_exited_ && goes_on) OnExited();
  }
  sink_.Flush();
  ended_.Set(absl::OkStatus());
}

bool LogFeed::WriteInput(std::string_view data) {
  const auto taken = std::make_shared<std::promise<bool>>();
  std::future<bool> result = taken->get_future();
  client_->loop()->Post(
      [this, taken, piece = std::string(data)] { Detach(Send(piece, taken)); });
  return result.get();
}

Async<void> LogFeed::Send(std::string data,
                          std::shared_ptr<std::promise<bool>> taken) {
  v1::WriteInputRequest request;
  request.set_data(std::move(data));
  const absl::StatusOr<std::string> answer = co_await client_->Begin(
      kInstanceService, "WriteInput", request.SerializeAsString());
  taken->set_value(answer.ok());
}

}  // namespace hydra::command
