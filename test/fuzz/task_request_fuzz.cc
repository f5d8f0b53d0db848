// A ttrpc request's payload, down to the message of the method that it names.

#include <iterator>
#include <memory>

#include "containerd/task/v2/task.pb.h"
#include "google/protobuf/message_lite.h"
#include "shim/runtime/options.h"
#include "test/fuzz/fuzz_input.h"
#include "ttrpc/ttrpc.pb.h"

namespace task = containerd::task::v2;

using MessagePtr = std::unique_ptr<google::protobuf::MessageLite>;

template <typename Request>
static MessagePtr Make() {
  return std::make_unique<Request>();
}

constexpr MessagePtr (*kRequests[])() = {
    Make<task::StateRequest>,      Make<task::CreateTaskRequest>,
    Make<task::StartRequest>,      Make<task::DeleteRequest>,
    Make<task::PidsRequest>,       Make<task::PauseRequest>,
    Make<task::ResumeRequest>,     Make<task::CheckpointTaskRequest>,
    Make<task::KillRequest>,       Make<task::ExecProcessRequest>,
    Make<task::ResizePtyRequest>,  Make<task::CloseIORequest>,
    Make<task::UpdateTaskRequest>, Make<task::WaitRequest>,
    Make<task::StatsRequest>,      Make<task::ConnectRequest>,
    Make<task::ShutdownRequest>,
};

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  ttrpc::Request request;
  const auto text = std::string(hydra::AsText(data + 1, size - 1));
  if (!request.ParseFromString(text)) request.set_payload(text);
  const MessagePtr message = kRequests[data[0] % std::size(kRequests)]();
  if (!message->ParseFromString(request.payload())) return 0;
  const auto* create = dynamic_cast<task::CreateTaskRequest*>(message.get());
  // Options of the other type may name a file, which is not ours to open.
  if (create != nullptr && hydra::IsType(create->options().type_url(),
                                         "containerd.runc.v1.Options")) {
    (void)hydra::DecodeOptions(create->options());
  }
  return 0;
}
