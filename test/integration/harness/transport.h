// One way to call a unary method of a service on a shim's socket: ttrpc or
// gRPC. The methods and the messages are the same for both.
//
// One thread per object; nothing asserts.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_TRANSPORT_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_TRANSPORT_H_

#include <string>

#include "test/integration/harness/session.h"

namespace hydra::testing {

// The status codes of google.rpc that the tests name, and one of our own.
enum class Code {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  // No answer: the connection ended or the limit passed.
  kNoAnswer = 99,
};

struct RawReply {
  Code code = Code::kNoAnswer;
  std::string message;
  // The serialised reply message, if the code is kOk.
  std::string payload;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual RawReply Call(const std::string& service, const std::string& method,
                        const std::string& payload,
                        Milliseconds limit = kPatience) = 0;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_TRANSPORT_H_
