#include "shim/base/status.h"

#include <errno.h>

#include <catch2/catch.hpp>
#include <string>

namespace hydra {
namespace {

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) return InvalidArgument("odd");
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  HYDRA_ASSIGN_OR_RETURN(const int half, Half(number));
  HYDRA_RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST_CASE("ErrnoError says operation, object and reason") {
  const absl::Status status = ErrnoError(ENOENT, "open", "/a/b");
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status) == "open /a/b: No such file or directory");
  CHECK(Message(ErrnoError(EPIPE, "socket")) == "socket: Broken pipe");
}

TEST_CASE("ErrnoError has the codes that the engine acts on") {
  CHECK(absl::IsNotFound(ErrnoError(ESRCH, "kill")));
  CHECK(absl::IsAlreadyExists(ErrnoError(EEXIST, "mkdir")));
  CHECK(absl::IsPermissionDenied(ErrnoError(EACCES, "open")));
  CHECK(absl::IsPermissionDenied(ErrnoError(EPERM, "mount")));
  CHECK(absl::IsResourceExhausted(ErrnoError(ENOSPC, "write")));
}

TEST_CASE("Annotate keeps the code and puts the context first") {
  const absl::Status status = Annotate(NotFound("gone"), "read");
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status) == "read: gone");
  CHECK(Annotate(absl::OkStatus(), "read").ok());
}

TEST_CASE("The makers give the codes that they are named for") {
  CHECK(InvalidArgument("x").code() == absl::StatusCode::kInvalidArgument);
  CHECK(AlreadyExists("x").code() == absl::StatusCode::kAlreadyExists);
  CHECK(FailedPrecondition("x").code() ==
        absl::StatusCode::kFailedPrecondition);
  CHECK(Internal("x").code() == absl::StatusCode::kInternal);
  CHECK(Unknown("x").code() == absl::StatusCode::kUnknown);
  CHECK(Unimplemented("x").code() == absl::StatusCode::kUnimplemented);
  CHECK(DataLoss("x").code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("The macros pass errors on and give values") {
  CHECK(*Quarter(8) == 2);
  CHECK(Message(Quarter(7).status()) == "odd");
  CHECK(Message(Quarter(6).status()) == "odd");
}

}  // namespace
}  // namespace hydra
