#include "shim/monitor/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "shim/monitor/clock.h"

namespace hydra::monitor {
namespace {

// A pipe's content, and a journal's record.
constexpr size_t kReadSize = link::kJournalMaxRecord;
// PIPE_BUF, and the size that containerd's copiers write.
constexpr size_t kFileWriteSize = 4096;
// With three processes in a row, pipes of 64 KiB make each wait for its
// neighbour all the time. Not larger, and not for all: what stands in a pipe
// that nobody reads is kernel memory.
constexpr uint64_t kWidenAfter = 1 << 20;
constexpr int kWidePipe = 256 << 10;

}  // namespace

void Copy::Start(Poller* poller, EventTag tag, int source, int sink,
                 const Options& options) {
  poller_ = poller;
  tag_ = tag;
  source_ = source;
  sink_ = sink;
  options_ = options;
  splices_ = sink >= 0 && !options.sink_is_file && !options.source_is_console &&
             !options.sink_is_console;
}

void Copy::Stop() {
  if (watched_ >= 0) poller_->Remove(watched_);
  watched_ = -1;
}

Copy::Result Copy::Run() {
  size_t budget = kTurn;
  while (budget > 0) {
    Step step;
    if (!pending_.empty()) {
      step = WritePending();
    } else if (source_ < 0) {
      Stop();
      return Result::kWaiting;
    } else if (splices_ && journal_ == nullptr) {
      step = Splice(&budget);
    } else {
      step = ReadOnce(&budget);
    }
    switch (step) {
      case Step::kDone:
        break;
      case Step::kNoData:
        return WaitFor(true);
      case Step::kNoRoom:
        return WaitFor(false);
      case Step::kSourceEnd:
        return Result::kSourceEnd;
      case Step::kSinkEnd:
        return Result::kSinkEnd;
    }
  }
  return Result::kMore;
}

// Why splice(2) has said EAGAIN, which may be for either of the two: a full
// sink hides that the source is at its end.
Copy::Step Copy::WhyNothing() const {
  pollfd source = {source_, POLLIN, 0};
  if (source_unwatchable_ || poll(&source, 1, 0) < 0) return Step::kNoRoom;
  if ((source.revents & POLLIN) != 0) return Step::kNoRoom;
  return (source.revents & POLLHUP) != 0 ? Step::kSourceEnd : Step::kNoData;
}

Copy::Step Copy::Splice(size_t* budget) {
  const ssize_t n =
      splice(source_, nullptr, sink_, nullptr, *budget, SPLICE_F_NONBLOCK);
  if (n > 0) {
    bytes_ += static_cast<uint64_t>(n);
    *budget -= static_cast<size_t>(n);
    if (!widened_ && bytes_ >= kWidenAfter) WidenPipes();
    return Step::kDone;
  }
  if (n == 0) return Step::kSourceEnd;
  if (errno == EINTR) return Step::kDone;
  if (errno == EAGAIN) {
    const Step step = WhyNothing();
    if (step != Step::kNoRoom || !sink_unwatchable_) return step;
  }
  // EINVAL: not for these two descriptors. Anything else is an error of one of
  // them, and read and write will tell of which.
  splices_ = false;
  return Step::kDone;
}

void Copy::WidenPipes() {
  widened_ = true;
  for (int fd : {source_, sink_}) {
    const int size = fcntl(fd, F_GETPIPE_SZ);
    // No pipe, or above the user's allowance (pipe(7)): it stays as it is.
    if (size > 0 && size < kWidePipe) fcntl(fd, F_SETPIPE_SZ, kWidePipe);
  }
}

ssize_t Copy::ReadSource(int source, bool is_console, char* buffer,
                         size_t size) {
  ssize_t n;
  do {
    n = read(source, buffer, size);
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return n;
  // No slave of the terminal is open now; the next one may come.
  return errno == EAGAIN || (errno == EIO && is_console) ? -EAGAIN : 0;
}

Copy::Step Copy::ReadOnce(size_t* budget) {
  static char buffer[kReadSize];
  const size_t size = options_.sink_is_file ? kFileWriteSize : sizeof(buffer);
  const ssize_t n =
      ReadSource(source_, options_.source_is_console, buffer, size);
  if (n == 0) return Step::kSourceEnd;
  if (n < 0) return source_unwatchable_ ? Step::kSourceEnd : Step::kNoData;
  const std::string_view data(buffer, static_cast<size_t>(n));
  *budget -= std::min(*budget, data.size());
  if (journal_ != nullptr) journal_->Append(journal_tag_, data, UnixNow());
  return Write(data);
}

Copy::Step Copy::WritePending() {
  const std::string data = std::move(pending_);
  pending_.clear();
  return Write(data);
}

Copy::Step Copy::Write(std::string_view data) {
  if (sink_ < 0) {
    (options_.no_sink ? bytes_ : lost_bytes_) += data.size();
    return Step::kDone;
  }
  while (!data.empty()) {
    const ssize_t n = write(sink_, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && !sink_unwatchable_) {
      pending_ = data;
      return Step::kNoRoom;
    }
    if (n <= 0) return OnSinkError(data.size(), n == 0 ? EIO : errno);
    bytes_ += static_cast<uint64_t>(n);
    data.remove_prefix(static_cast<size_t>(n));
  }
  return Step::kDone;
}

void Copy::LeaveSink() {
  if (watched_ == sink_) Stop();
  sink_ = -1;
  splices_ = false;
  options_.no_sink = true;
}

Copy::Step Copy::OnSinkError(size_t size, int error) {
  if (options_.sink_may_leave && error == EPIPE) {
    LeaveSink();
    bytes_ += size;
    return Step::kDone;
  }
  sink_error_ = error;
  lost_bytes_ += size;
  return options_.ends_with_sink ? Step::kSinkEnd : Step::kDone;
}

Copy::Result Copy::WaitFor(bool source) {
  waits_for_source_ = source;
  if (source ? options_.source_is_console : options_.sink_is_console) {
    Stop();
    return Result::kWaiting;
  }
  const int fd = source ? source_ : sink_;
  if (watched_ == fd) return Result::kWaiting;
  Stop();
  const int error =
      poller_->Add(fd, source ? uint32_t{EPOLLIN} : uint32_t{EPOLLOUT}, tag_);
  if (error == EPERM) {
    // Always ready, so it cannot be waited for, and need not.
    (source ? source_unwatchable_ : sink_unwatchable_) = true;
    return Result::kMore;
  }
  if (error != 0) return Result::kRetry;
  watched_ = fd;
  return Result::kWaiting;
}

}  // namespace hydra::monitor
