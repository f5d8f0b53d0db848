#include "shim/monitor/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

namespace hydra::monitor {
namespace {

const char* log_name = "";

void WriteLine(const char* level, const char* format, va_list arguments) {
  // Below PIPE_BUF, so that a line goes out whole or not at all.
  char line[1024];
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  size_t size = static_cast<size_t>(
      snprintf(line, sizeof(line),
               "time=\"%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ\" level=%s msg=\"",
               utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
               utc.tm_min, utc.tm_sec, now.tv_nsec, level));
  char text[512];
  vsnprintf(text, sizeof(text), format, arguments);
  for (const char* c = text; *c != '\0' && size < 800; ++c) {
    if (*c == '"' || *c == '\\') line[size++] = '\\';
    line[size++] = static_cast<unsigned char>(*c) < 0x20 ? ' ' : *c;
  }
  size += static_cast<size_t>(snprintf(line + size, sizeof(line) - size,
                                       "\" monitor=%.128s\n", log_name));
  // Dropped if it is not taken: see the header.
  if (write(STDERR_FILENO, line, size) < 0) return;
}

}  // namespace

void OpenLog(const char* name) {
  log_name = name;
  const int flags = fcntl(STDERR_FILENO, F_GETFL);
  if (flags >= 0) fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

void LogInfo(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  WriteLine("info", format, arguments);
  va_end(arguments);
}

void LogWarning(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  WriteLine("warning", format, arguments);
  va_end(arguments);
}

void LogError(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  WriteLine("error", format, arguments);
  va_end(arguments);
}

const char* ErrorName(int error) {
  const char* name = strerrorname_np(error);
  return name != nullptr ? name : "unknown error";
}

}  // namespace hydra::monitor
