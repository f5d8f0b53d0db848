#include "shim/base/status.h"

#include <cstring>

#include "absl/strings/string_view.h"

namespace hydra {

absl::Status MakeError(absl::StatusCode code, std::string message) {
  return absl::Status(code, absl::string_view(message.data(), message.size()));
}

absl::Status ErrnoError(int error, std::string_view operation,
                        std::string_view object) {
  std::string text(operation);
  if (!object.empty()) text.append(" ").append(object);
  char buffer[128];
  // The GNU strerror_r, which may return a static string.
  text.append(": ").append(strerror_r(error, buffer, sizeof(buffer)));
  return MakeError(absl::ErrnoToStatusCode(error), std::move(text));
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  std::string text(context);
  text.append(": ").append(Message(status));
  return MakeError(status.code(), std::move(text));
}

}  // namespace hydra
