// A stream's descriptors, and what is copied between them.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <utility>

#include "shim/monitor/log.h"
#include "shim/monitor/stream.h"

namespace hydra::monitor {
namespace {

using link::StreamKind;

// A regular file never blocks by its nature, and shares the flag with whoever
// else has it open.
void SetNonBlocking(int fd) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0 || S_ISREG(st.st_mode)) return;
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) {
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  }
}

bool IsPath(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_PATH) != 0;
}

UniqueFd OpenPath(int fd, int mode) {
  char name[32];
  snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
  return UniqueFd(open(name, mode | O_NONBLOCK | O_CLOEXEC));
}

}  // namespace

int Streams::SetUp(Stream* stream, link::Message* message) {
  const auto body = message->Body<link::StreamAdd>();
  const uint32_t flags = body.flags;
  size_t taken = 0;
  auto take = [&](bool wanted, UniqueFd* to) {
    if (!wanted) return true;
    if (taken == message->fds.size()) return false;
    *to = std::move(message->fds[taken++]);
    const bool may_leave =
        to == &stream->output_sink && (flags & link::kStreamSinkMayLeave) != 0;
    if (IsPath(to->get())) {
      const bool writes_only = may_leave || to == &stream->held_fifo;
      const int mode = writes_only                  ? O_WRONLY
                       : to == &stream->output_sink ? O_RDWR
                                                    : O_RDONLY;
      *to = OpenPath(to->get(), mode);
      if (!to->valid()) return may_leave && errno == ENXIO;
    }
    SetNonBlocking(to->get());
    return true;
  };
  const bool holds_fifo = (flags & link::kStreamHoldsFifo) != 0;
  Copy::Options options;
  options.sink_is_file = (flags & link::kStreamSinkIsFile) != 0;
  options.sink_may_leave = (flags & link::kStreamSinkMayLeave) != 0;
  Output::SpoolOptions spool;
  spool.directory = message->tail();
  spool.max_bytes = body.spool_max_bytes;
  spool.policy = static_cast<link::SpoolPolicy>(body.spool_policy);
  spool.stall_time = int64_t{body.spool_stall_ms} * kMillisecond;
  switch (stream->kind) {
    case StreamKind::kOutput:
      if (!take(true, &stream->output_source) ||
          !take((flags & link::kStreamNoSink) == 0, &stream->output_sink)) {
        return EINVAL;
      }
      options.no_sink = !stream->output_sink.valid();
      stream->output.Start(poller_, {EventKind::kStreamOutput, stream->serial},
                           stream->output_source.get(),
                           stream->output_sink.get(), options,
                           std::move(spool));
      stream->held = (flags & link::kStreamHeld) != 0;
      RunOutput(stream);
      return 0;
    case StreamKind::kInput:
      if (!take((flags & link::kStreamNoSource) == 0, &stream->input_source) ||
          !take(true, &stream->input_sink) ||
          !take(holds_fifo, &stream->held_fifo)) {
        return EINVAL;
      }
      options.ends_with_sink = true;
      stream->input.Start(poller_, {EventKind::kStreamInput, stream->serial},
                          stream->input_source.get(), stream->input_sink.get(),
                          options);
      RunInput(stream);
      return 0;
    case StreamKind::kConsole: {
      UniqueFd listener;
      const bool has_input = (flags & link::kStreamHasInput) != 0;
      if (!take(true, &listener) ||
          !take((flags & link::kStreamHasOutput) != 0, &stream->output_sink) ||
          !take(has_input && (flags & link::kStreamNoSource) == 0,
                &stream->input_source) ||
          !take(has_input && holds_fifo, &stream->held_fifo)) {
        return EINVAL;
      }
      options.source_is_console = true;
      options.no_sink = !stream->output_sink.valid();
      // The master comes later: SetUpConsole fills it in.
      stream->output.Start(poller_, {EventKind::kStreamOutput, stream->serial},
                           -1, stream->output_sink.get(), options,
                           std::move(spool));
      return stream->receiver.Start(poller_,
                                    {EventKind::kConsoleSetup, stream->serial},
                                    std::move(listener));
    }
  }
  return EINVAL;
}

void Streams::SetUpConsole(Stream* stream) {
  if (stream->master.valid()) return;
  stream->master = stream->receiver.Receive();
  if (!stream->master.valid()) return;
  stream->had_master = true;
  const int master = stream->master.get();
  if (stream->rows != 0 || stream->columns != 0) {
    ResizeConsole(master, stream->rows, stream->columns);
  }
  const int error = poller_->Add(master, EPOLLIN | EPOLLOUT | EPOLLET,
                                 {EventKind::kConsoleMaster, stream->serial});
  if (error != 0) {
    LogError("watch console: %s", ErrorName(error));
    stream->master.Reset();
    stream->setup_error = error;
    End(stream);
    return;
  }
  stream->output.SetSource(master);
  Copy::Options options;
  options.sink_is_console = true;
  stream->input.Start(poller_, {EventKind::kStreamInput, stream->serial},
                      stream->input_source.get(), master, options);
  RunInput(stream);
  RunOutput(stream);
}

}  // namespace hydra::monitor
