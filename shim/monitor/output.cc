#include "shim/monitor/output.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

// What is read for the sink or by read(2) at once.
constexpr size_t kChunk = 32 << 10;
// What is spliced at once: a pipe's content.
constexpr size_t kSplice = 256 << 10;
// A disk that was full may have room again.
constexpr int64_t kSpoolRetry = kSecond;
// In a turn. More goes out than comes in, so that a reader who keeps up with
// the container brings the spool to its end.
constexpr size_t kFillTurn = Copy::kTurn / 4;
constexpr size_t kReplayTurn = Copy::kTurn - kFillTurn;

// For bytes that are moved on at once.
char* Buffer() {
  static char buffer[kChunk];
  return buffer;
}

}  // namespace

void Output::Start(Poller* poller, EventTag tag, int source, int sink,
                   const Copy::Options& options, SpoolOptions spool) {
  poller_ = poller;
  tag_ = tag;
  options_ = std::move(spool);
  if (options.sink_is_file || options.no_sink) options_.max_bytes = 0;
  splices_ = !options.source_is_console;
  direct_.Start(poller, tag, source, sink, options);
}

Copy::Result Output::Run() {
  if (!is_spooling_) {
    const Copy::Result result = RunDirect();
    if (!is_spooling_) return result;
  }
  const Copy::Result result = RunSpooling();
  return is_spooling_ || source_ended_ ? result : RunDirect();
}

Copy::Result Output::RunDirect() {
  if (is_blocked_) {
    if (options_.max_bytes > 0) BeginSpooling(MonotonicNow());
    return Copy::Result::kWaiting;
  }
  const uint64_t before = direct_.bytes();
  const Copy::Result result = direct_.Run();
  const bool is_full =
      result == Copy::Result::kWaiting && !direct_.waits_for_source();
  if (!is_full || options_.max_bytes == 0) {
    stall_at_ = kNever;
    return result;
  }
  const int64_t now = MonotonicNow();
  if (stall_at_ == kNever || direct_.bytes() != before) {
    stall_at_ = now + options_.stall_time;
  } else if (now >= stall_at_) {
    BeginSpooling(now);
  }
  return result;
}

void Output::BeginSpooling(int64_t now) {
  UniqueFd file = OpenSpoolFile(options_.directory);
  if (!file.valid()) {
    SpoolFailed(errno);
    stall_at_ = now + kSpoolRetry;
    return;
  }
  spool_.Open(std::move(file), options_.max_bytes);
  direct_.Stop();
  pending_ = direct_.TakePending();
  is_spooling_ = true;
  // Who knows how what was spliced ended.
  in_line_ = true;
  stall_at_ = kNever;
  if (spooled_bytes_ == 0) LogInfo("an output's reader has stalled: spooling");
}

void Output::EndSpooling() {
  Unwatch();
  spool_.Close();
  pending_.clear();
  pending_.shrink_to_fit();
  is_spooling_ = false;
  stall_at_ = kNever;
}

void Output::Stop() {
  direct_.Stop();
  EndSpooling();
}

void Output::SpoolFailed(int error) {
  if (error != spool_error_) {
    LogWarning("spool in %s: %s", options_.directory.c_str(), ErrorName(error));
  }
  spool_error_ = error;
}

Copy::Result Output::RunSpooling() {
  const Step filled = Fill(kFillTurn);
  const uint64_t before = spool_.size() + pending_.size();
  const Step replayed = Replay(kReplayTurn);
  const bool has_failed = filled == Step::kFailed;
  // While it is blocked there is no other way for what is still to come.
  const bool may_end = !is_blocked_ || source_ended_;
  if (spool_.empty() && pending_.empty() && may_end) {
    EndSpooling();
    if (has_failed) stall_at_ = MonotonicNow() + kSpoolRetry;
    return Copy::Result::kSourceEnd;
  }
  stall_at_ = has_failed ? MonotonicNow() + kSpoolRetry : kNever;
  const bool is_full = filled == Step::kFull || has_failed;
  const bool has_room_now = spool_.size() + pending_.size() != before;
  const bool waits_for_source = filled == Step::kNoData && !source_ended_ &&
                                !direct_.options().source_is_console;
  const bool waits_for_sink = replayed == Step::kNoRoom;
  if (!Watch(direct_.source(), EPOLLIN, waits_for_source, &source_watched_) ||
      !Watch(direct_.sink(), EPOLLOUT, waits_for_sink && !is_blocked_,
             &sink_watched_)) {
    return Copy::Result::kRetry;
  }
  const bool has_more =
      !waits_for_sink || filled == Step::kDone || (is_full && has_room_now);
  return has_more ? Copy::Result::kMore : Copy::Result::kWaiting;
}

bool Output::Watch(int fd, uint32_t events, bool wanted, bool* watched) {
  if (wanted == *watched) return true;
  if (!wanted) {
    poller_->Remove(fd);
  } else if (poller_->Add(fd, events, tag_) != 0) {
    return false;
  }
  *watched = wanted;
  return true;
}

void Output::Unwatch() {
  Watch(direct_.source(), EPOLLIN, false, &source_watched_);
  Watch(direct_.sink(), EPOLLOUT, false, &sink_watched_);
}

size_t Output::WriteSink(const char* data, size_t size) {
  if (direct_.sink() < 0) return size;
  ssize_t n;
  do {
    n = write(direct_.sink(), data, size);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return 0;
  if (n < 0 && errno == EPIPE && direct_.options().sink_may_leave) {
    Watch(direct_.sink(), EPOLLOUT, false, &sink_watched_);
    direct_.LeaveSink();
    return size;
  }
  if (n <= 0) {
    sink_error_ = n == 0 ? EIO : errno;
    lost_bytes_ += size;
    return size;
  }
  in_line_ = data[n - 1] != '\n';
  return static_cast<size_t>(n);
}

Output::Step Output::Replay(size_t budget) {
  if (is_blocked_) return Step::kNoRoom;
  while (budget > 0) {
    const uint64_t lost_before = lost_bytes_;
    if (!spool_.empty()) {
      char* const buffer = Buffer();
      const ssize_t n = spool_.Peek(buffer, std::min(budget, kChunk));
      if (n < 0) {
        // The disk does not give them back, and will not: go on behind them.
        SpoolFailed(static_cast<int>(-n));
        const auto lost = std::min<uint64_t>(kChunk, spool_.size());
        lost_bytes_ += lost;
        spool_.Consume(static_cast<size_t>(lost));
        continue;
      }
      const size_t done = WriteSink(buffer, static_cast<size_t>(n));
      if (done == 0) return Step::kNoRoom;
      spool_.Consume(done);
      budget -= done;
      replayed_bytes_ += done - (lost_bytes_ - lost_before);
    } else if (!pending_.empty()) {
      const size_t done = WriteSink(pending_.data(), pending_.size());
      if (done == 0) return Step::kNoRoom;
      pending_.erase(0, done);
      budget -= std::min(budget, done);
      late_bytes_ += done - (lost_bytes_ - lost_before);
    } else {
      return Step::kDone;
    }
  }
  return Step::kDone;
}

Output::Step Output::Fill(size_t budget) {
  while (budget > 0) {
    Step step = Step::kDone;
    if (!pending_.empty()) {
      step = AppendPending();
    } else if (source_ended_) {
      return Step::kNoData;
    } else if (spool_.room() == 0 &&
               options_.policy == link::SpoolPolicy::kBlock) {
      return Step::kFull;
    } else if (splices_ && direct_.journal() == nullptr &&
               (options_.policy == link::SpoolPolicy::kBlock ||
                spool_.room() >= kSplice)) {
      step = FillBySplice(&budget);
    } else {
      // Before something is dropped it must be known for how much.
      step = FillByRead(&budget);
    }
    if (step != Step::kDone) return step;
  }
  return Step::kDone;
}

Output::Step Output::FillBySplice(size_t* budget) {
  const ssize_t n =
      spool_.AppendFrom(direct_.source(), std::min(*budget, kSplice));
  if (n > 0) {
    spooled_bytes_ += static_cast<uint64_t>(n);
    *budget -= static_cast<size_t>(n);
    return Step::kDone;
  }
  if (n == -EAGAIN) return Step::kNoData;
  if (n == 0) {
    source_ended_ = true;
    return Step::kNoData;
  }
  if (n == -EINVAL) {
    splices_ = false;
    return Step::kDone;
  }
  SpoolFailed(static_cast<int>(-n));
  return Step::kFailed;
}

Output::Step Output::FillByRead(size_t* budget) {
  size_t size = std::min(*budget, kChunk);
  if (options_.policy == link::SpoolPolicy::kBlock) {
    size = static_cast<size_t>(std::min<uint64_t>(size, spool_.room()));
  }
  char* const buffer = Buffer();
  const ssize_t n = Copy::ReadSource(
      direct_.source(), direct_.options().source_is_console, buffer, size);
  if (n < 0) return Step::kNoData;
  if (n == 0) {
    source_ended_ = true;
    return Step::kNoData;
  }
  *budget -= static_cast<size_t>(n);
  pending_.assign(buffer, static_cast<size_t>(n));
  if (direct_.journal() != nullptr) {
    direct_.journal()->Append(direct_.journal_tag(), pending_, UnixNow());
  }
  return AppendPending();
}

Output::Step Output::AppendPending() {
  if (options_.policy == link::SpoolPolicy::kDropOldest) {
    const uint64_t dropped = spool_.DropOldest(pending_.size(), in_line_);
    if (dropped > 0 && dropped_bytes_ == 0) {
      LogWarning("a spool is full: its oldest bytes are dropped");
    }
    dropped_bytes_ += dropped;
  }
  if (spool_.room() == 0) return Step::kFull;
  const ssize_t n = spool_.Append(pending_);
  if (n < 0) {
    SpoolFailed(static_cast<int>(-n));
    return Step::kFailed;
  }
  spooled_bytes_ += static_cast<uint64_t>(n);
  pending_.erase(0, static_cast<size_t>(n));
  return Step::kDone;
}

void Output::Describe(link::StreamState* state) const {
  state->bytes = direct_.bytes() + replayed_bytes_ + late_bytes_;
  state->lost_bytes = direct_.lost_bytes() + lost_bytes_ + dropped_bytes_;
  state->sink_error = sink_error_ != 0 ? sink_error_ : direct_.sink_error();
  state->spooled_bytes = spooled_bytes_;
  state->replayed_bytes = replayed_bytes_;
  state->spool_size = spool_.size();
  state->spool_error = spool_error_;
  state->is_spooling = is_spooling_ ? 1 : 0;
}

}  // namespace hydra::monitor
