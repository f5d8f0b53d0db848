#include "shim/base/log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

namespace hydra {
namespace {

std::atomic<int> log_fd{STDERR_FILENO};
std::atomic<LogLevel> minimum_level{LogLevel::kInfo};
std::atomic<uint64_t> dropped_lines{0};

std::string& Context() {
  static auto* context = new std::string;  // Never destroyed: used at exit.
  return *context;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

void AppendQuoted(std::string_view text, std::string& line) {
  line.push_back('"');
  for (char c : text) {
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(c);
    } else if (c == '\n') {
      line.append("\\n");
    } else if (static_cast<unsigned char>(c) < 0x20) {
      line.push_back(' ');
    } else {
      line.push_back(c);
    }
  }
  line.push_back('"');
}

}  // namespace

void SetLogSink(int fd, LogLevel level) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  log_fd = fd;
  minimum_level = level;
}

LogLevel log_level() { return minimum_level; }

void SetLogContext(std::string_view fields) { Context() = fields; }

void Log(LogLevel level, std::string_view message) {
  if (level < minimum_level) return;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char stamp[48];
  const size_t length =
      strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(stamp + length, sizeof(stamp) - length, ".%09ldZ", now.tv_nsec);

  std::string line("time=\"");
  line.append(stamp).append("\" level=").append(LevelName(level));
  line.append(" msg=");
  AppendQuoted(message, line);
  if (!Context().empty()) line.append(" ").append(Context());
  const uint64_t dropped = dropped_lines.load(std::memory_order_relaxed);
  if (dropped > 0) line.append(" dropped=").append(std::to_string(dropped));
  line.push_back('\n');
  // A line up to PIPE_BUF goes out whole or not at all.
  if (write(log_fd, line.data(), line.size()) < 0) {
    dropped_lines.fetch_add(1, std::memory_order_relaxed);
  } else if (dropped > 0) {
    dropped_lines.fetch_sub(dropped, std::memory_order_relaxed);
  }
}

}  // namespace hydra
