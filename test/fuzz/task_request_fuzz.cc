// A ttrpc request's payload, down to the message of the method that it names.

#include <memory>

#include "containerd/task/v2/task.pb.h"
#include "google/protobuf/descriptor.h"
#include "shim/runtime/options.h"
#include "test/fuzz/fuzz_input.h"
#include "ttrpc/ttrpc.pb.h"

namespace task = containerd::task::v2;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ttrpc::Request request;
  const auto text = std::string(hydra::AsText(data + 1, size - 1));
  if (!request.ParseFromString(text)) request.set_payload(text);
  const auto* service =
      task::StateRequest::descriptor()->file()->FindServiceByName("Task");
  const auto* type =
      service->method(data[0] % service->method_count())->input_type();
  const std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()
          ->GetPrototype(type)
          ->New());
  if (!message->ParseFromString(request.payload())) return 0;
  const auto* create = dynamic_cast<task::CreateTaskRequest*>(message.get());
  // Options of the other type may name a file, which is not ours to open.
  if (create != nullptr && hydra::IsType(create->options().type_url(),
                                         "containerd.runc.v1.Options")) {
    (void)hydra::DecodeOptions(create->options());
  }
  return 0;
}
