#include "test/chaos/engine_client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <vector>

namespace hydra::testing {
namespace {

// Longer than anything takes on a loaded machine; a call that hangs is found.
constexpr std::chrono::seconds kLimit{60};

}  // namespace

EngineClient::EngineClient(const std::string& socket, std::string ns)
    : ns_(std::move(ns)) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  channel_ = grpc::CreateCustomChannel(
      "unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
}

RawReply EngineClient::Call(const std::string& service,
                            const std::string& method,
                            const std::string& payload) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLimit);
  context.set_wait_for_ready(true);
  context.AddMetadata("containerd-namespace", ns_);
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
  RawReply reply;
  reply.code = static_cast<Code>(status.error_code());
  reply.message = status.error_message();
  std::vector<grpc::Slice> slices;
  if (response.Valid() && response.Dump(&slices).ok()) {
    for (const grpc::Slice& part : slices) {
      reply.payload.append(reinterpret_cast<const char*>(part.begin()),
                           part.size());
    }
  }
  return reply;
}

}  // namespace hydra::testing
