#include "shim/io/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "shim/base/crash_point.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986, section 2.1; in a query "+" is a space as well.
std::string Unescape(std::string_view text, bool in_query) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 +
                                      HexDigit(text[i + 2])));
      i += 2;
    } else if (in_query && text[i] == '+') {
      out.push_back(' ');
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// The first value of each key, as Go's url.Values has it, but in order.
std::vector<std::string> ParseQuery(std::string_view query) {
  std::vector<std::string> arguments;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    std::string key = Unescape(pair.substr(0, equals), true);
    bool known = false;
    for (size_t i = 0; i < arguments.size(); i += 2) {
      known |= arguments[i] == key;
    }
    if (known) continue;
    arguments.push_back(std::move(key));
    arguments.push_back(
        Unescape(pair.substr(std::min(equals + 1, pair.size())), true));
  }
  return arguments;
}

absl::Status OpenError(int error, const std::string& path) {
  return Annotate(ErrnoError(error, "open", path),
                  "containerd-shim: opening file \"" + path + "\" failed");
}

absl::Status MakeDirectories(const std::string& path) {
  for (size_t i = path.find('/', 1); i != std::string::npos;
       i = path.find('/', i + 1)) {
    const std::string parent = path.substr(0, i);
    if (mkdir(parent.c_str(), 0755) < 0 && errno != EEXIST) {
      return ErrnoError(errno, "mkdir", parent);
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsFifo(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode);
}

absl::StatusOr<SinkName> ParseSinkName(std::string_view name) {
  SinkName sink;
  if (name.empty()) return sink;
  if (name == kNobodyName) {
    sink.kind = SinkKind::kNobody;
    return sink;
  }
  const size_t separator = name.find("://");
  const std::string_view scheme =
      separator == std::string_view::npos ? "" : name.substr(0, separator);
  if (separator == std::string_view::npos) {
    // A plain path: no escapes.
    sink.kind = SinkKind::kFifo;
    sink.path = name;
  } else {
    const std::string_view rest = name.substr(separator + 3);
    const size_t query = std::min(rest.find('?'), rest.size());
    sink.path = Unescape(rest.substr(0, query), false);
    if (scheme == "fifo") {
      sink.kind = SinkKind::kFifo;
    } else if (scheme == "file") {
      sink.kind = SinkKind::kFile;
    } else if (scheme == "hydra") {
      sink.kind = SinkKind::kClient;
    } else if (scheme == "binary" || scheme == "binary-v2") {
      sink.kind = SinkKind::kBinary;
      sink.must_call_ready = scheme == "binary-v2";
      sink.arguments =
          ParseQuery(rest.substr(std::min(query + 1, rest.size())));
    } else {
      return InvalidArgument("unknown STDIO scheme " + std::string(scheme));
    }
  }
  if (!sink.path.starts_with('/')) {
    return InvalidArgument("stdio \"" + std::string(name) +
                           "\": the path is not absolute");
  }
  return sink;
}

absl::StatusOr<OpenedSink> OpenSink(const std::string& path, OpenMode mode) {
  struct stat info;
  if (stat(path.c_str(), &info) < 0) return OpenError(errno, path);
  OpenedSink sink;
  const int fifo_flags = mode == OpenMode::kPath ? O_PATH : O_RDWR;
  const int flags =
      S_ISFIFO(info.st_mode) ? fifo_flags : O_WRONLY | O_APPEND | O_NOCTTY;
  sink.fd.Reset(open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
  if (!sink.fd.valid()) return OpenError(errno, path);
  HYDRA_CRASH_POINT("io.sink_opened");
  sink.is_file = !IsFifo(sink.fd.get());
  return sink;
}

absl::StatusOr<UniqueFd> OpenLogFile(const std::string& path) {
  HYDRA_RETURN_IF_ERROR(MakeDirectories(path));
  UniqueFd fd(open(
      path.c_str(),
      O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644));
  if (!fd.valid()) return OpenError(errno, path);
  return fd;
}

absl::StatusOr<OpenedSource> OpenSource(const std::string& path,
                                        OpenMode mode) {
  OpenedSource source;
  if (mode == OpenMode::kPath) {
    source.fd.Reset(open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!source.fd.valid()) return OpenError(errno, path);
    if (IsFifo(source.fd.get())) {
      source.hold.Reset(fcntl(source.fd.get(), F_DUPFD_CLOEXEC, 0));
      return source;
    }
  }
  source.fd.Reset(
      open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!source.fd.valid()) return OpenError(errno, path);
  HYDRA_CRASH_POINT("io.source_opened");
  if (IsFifo(source.fd.get())) {
    source.hold.Reset(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    if (!source.hold.valid()) return OpenError(errno, path);
  }
  return source;
}

}  // namespace hydra
