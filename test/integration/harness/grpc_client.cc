#include "test/integration/harness/grpc_client.h"

#include <grpcpp/generic/generic_stub.h>

#include <vector>

namespace hydra::testing {

std::shared_ptr<grpc::Channel> OwnChannel(const std::string& socket_path) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      "unix:" + socket_path, grpc::InsecureChannelCredentials(), arguments);
}

std::string Flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

GrpcClient::GrpcClient(const std::string& socket_path)
    : channel_(OwnChannel(socket_path)) {}

RawReply GrpcClient::Call(const std::string& service, const std::string& method,
                          const std::string& payload, Milliseconds limit) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  context.set_wait_for_ready(true);
  const grpc::Slice slice(payload);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/" + service + "/" + method,
                                    request, &queue);
  call->StartCall();
  call->Finish(&response, &status, &call);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return {static_cast<Code>(status.error_code()), status.error_message(),
          Flatten(response)};
}

}  // namespace hydra::testing
