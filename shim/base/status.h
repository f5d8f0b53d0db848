// What the project says with absl::Status, and the macros that pass it on.
//
// Text is "operation object: reason", lower case, no full stop; context is
// added where a layer ends, not at every frame.
//
// Any thread.

#ifndef HYDRA_BASE_STATUS_H_
#define HYDRA_BASE_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hydra {

// The one translation of errno. ENOENT and ESRCH become NotFound, EEXIST
// AlreadyExists, EACCES and EPERM PermissionDenied, and so on, as
// absl::ErrnoToStatusCode has it.
absl::Status ErrnoError(int error, std::string_view operation,
                        std::string_view object = {});

// `status` with "context: " put before its message; an OK status is returned
// as it is.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// absl's string_view is a type of its own in Debian's build.
inline std::string Message(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

absl::Status MakeError(absl::StatusCode code, std::string message);

inline absl::Status InvalidArgument(std::string message) {
  return MakeError(absl::StatusCode::kInvalidArgument, std::move(message));
}
inline absl::Status NotFound(std::string message) {
  return MakeError(absl::StatusCode::kNotFound, std::move(message));
}
inline absl::Status AlreadyExists(std::string message) {
  return MakeError(absl::StatusCode::kAlreadyExists, std::move(message));
}
inline absl::Status FailedPrecondition(std::string message) {
  return MakeError(absl::StatusCode::kFailedPrecondition, std::move(message));
}
inline absl::Status Internal(std::string message) {
  return MakeError(absl::StatusCode::kInternal, std::move(message));
}
inline absl::Status Unknown(std::string message) {
  return MakeError(absl::StatusCode::kUnknown, std::move(message));
}
inline absl::Status Unimplemented(std::string message) {
  return MakeError(absl::StatusCode::kUnimplemented, std::move(message));
}
inline absl::Status DataLoss(std::string message) {
  return MakeError(absl::StatusCode::kDataLoss, std::move(message));
}

}  // namespace hydra

#define HYDRA_CONCAT_INNER_(a, b) a##b
#define HYDRA_CONCAT_(a, b) HYDRA_CONCAT_INNER_(a, b)

#define HYDRA_RETURN_IF_ERROR(expr)                                   \
  do {                                                                \
    if (absl::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

#define HYDRA_ASSIGN_OR_RETURN(lhs, expr) \
  HYDRA_ASSIGN_OR_RETURN_IMPL_(HYDRA_CONCAT_(statusor_, __LINE__), lhs, expr)
#define HYDRA_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return std::move(tmp).status();     \
  lhs = *std::move(tmp)

// The same inside a coroutine. `expr` is the whole awaited expression, named
// first in a variable: GCC 12 mistreats temporaries of a co_await in a
// condition.
#define HYDRA_CO_RETURN_IF_ERROR(expr)    \
  do {                                    \
    absl::Status status_ = (expr);        \
    if (!status_.ok()) co_return status_; \
  } while (false)

#define HYDRA_CO_ASSIGN_OR_RETURN(lhs, expr) \
  HYDRA_CO_ASSIGN_OR_RETURN_IMPL_(HYDRA_CONCAT_(statusor_, __LINE__), lhs, expr)
#define HYDRA_CO_ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                                    \
  if (!tmp.ok()) co_return std::move(tmp).status();     \
  lhs = *std::move(tmp)

#endif  // HYDRA_BASE_STATUS_H_
