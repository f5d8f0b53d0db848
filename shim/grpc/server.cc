#include "shim/grpc/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server_posix.h>
#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptors.h"
#include "shim/base/status.h"
#include "shim/grpc/byte_buffer.h"
#include "shim/grpc/grpc_stream.h"
#include "shim/grpc/instance_streams.h"

namespace hydra {
namespace {

// Each has up to three requests with the monitor, which takes 4096 of one
// connection and then reads no more of it, not even that some are cancelled.
constexpr int kMostStreams = 256;

// 0 if it is closed.
ino_t InodeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

// Puts the contracts into the pool where reflection looks; once.
void AddDescriptors() {
  google::protobuf::FileDescriptorSet set;
  const std::string_view encoded = EncodedDescriptors();
  set.ParseFromArray(encoded.data(), static_cast<int>(encoded.size()));
  for (const auto& file : set.file()) {
    // Protobuf's own may be there: their generated code is not lite.
    if (file.name().starts_with("google/protobuf/") &&
        google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
            file.name()) != nullptr) {
      continue;
    }
    // The pool keeps the pointer for ever.
    const auto* bytes = new std::string(file.SerializeAsString());
    google::protobuf::DescriptorPool::InternalAddGeneratedFile(
        bytes->data(), static_cast<int>(bytes->size()));
  }
}

// One call. Lives until gRPC says OnDone, on gRPC's threads; the loop's
// coroutine shares `state`, and finishes the call at most once.
class Reactor final : public grpc::ServerUnaryReactor {
 public:
  struct State {
    Future<bool> on_cancel;  // Loop thread only.
  };

  Reactor(EventLoop* loop, std::shared_ptr<State> state)
      : loop_(loop), state_(std::move(state)) {}
  void OnDone() override { delete this; }
  void OnCancel() override {
    loop_->Post([state = state_] { state->on_cancel.Set(true); });
  }

 private:
  EventLoop* const loop_;
  const std::shared_ptr<State> state_;
};

// A service whose methods are all handled as bytes: what generated code does
// for "raw callback" methods, for all methods of a descriptor.
class RawService final : public grpc::Service {
 public:
  using UnaryHandler = std::function<grpc::ServerUnaryReactor*(
      const std::string& service, const std::string& method,
      const grpc::ByteBuffer* request, grpc::ByteBuffer* response)>;
  using StreamHandler = std::function<
      grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*()>;
  using StreamHandlers = std::map<std::string, StreamHandler>;

  // The methods that `streams` names, "a.Service/Method", are handled there,
  // the others by `unary`.
  RawService(const google::protobuf::ServiceDescriptor& descriptor,
             const UnaryHandler& unary, const StreamHandlers& streams) {
    const std::string service = descriptor.full_name();
    for (int i = 0; i < descriptor.method_count(); ++i) {
      const std::string method = descriptor.method(i)->name();
      const auto stream = streams.find(service + "/" + method);
      if (stream != streams.end()) {
        Add(i, stream->first, grpc::internal::RpcMethod::BIDI_STREAMING,
            new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer,
                                                    grpc::ByteBuffer>(
                [handler = stream->second](grpc::CallbackServerContext*) {
                  return handler();
                }));
        continue;
      }
      Add(i, service + "/" + method, grpc::internal::RpcMethod::NORMAL_RPC,
          new grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer,
                                                   grpc::ByteBuffer>(
              [unary, service, method](grpc::CallbackServerContext*,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) {
                return unary(service, method, request, response);
              }));
    }
  }

 private:
  void Add(int index, const std::string& name,
           grpc::internal::RpcMethod::RpcType type,
           grpc::internal::MethodHandler* handler) {
    names_.push_back(std::make_unique<std::string>("/" + name));
    AddMethod(new grpc::internal::RpcServiceMethod(names_.back()->c_str(), type,
                                                   nullptr));
    MarkMethodRawCallback(index, handler);
  }

  // gRPC keeps the pointer.
  std::vector<std::unique_ptr<std::string>> names_;
};

Async<void> Answer(ttrpc::Client* instance, std::string service,
                   std::string method, std::string payload,
                   std::shared_ptr<Reactor::State> state, Reactor* reactor,
                   grpc::ByteBuffer* response, int* calls) {
  ++*calls;
  const absl::StatusOr<std::string> result = co_await instance->Call(
      std::move(service), std::move(method), std::move(payload),
      std::chrono::milliseconds(0), state->on_cancel);
  --*calls;
  if (!result.ok()) {
    reactor->Finish(
        grpc::Status(static_cast<grpc::StatusCode>(result.status().code()),
                     Message(result.status())));
    co_return;
  }
  *response = ToBuffer(*result);
  reactor->Finish(grpc::Status::OK);
}

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(EventLoop* loop, ttrpc::Client* instance) {
    AddDescriptors();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    const RawService::UnaryHandler unary =
        [this, loop, instance](
            const std::string& service, const std::string& method,
            const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
          auto state = std::make_shared<Reactor::State>();
          auto* reactor = new Reactor(loop, state);
          loop->Post([=, this, payload = ToString(*request)] {
            Detach(Answer(instance, service, method, payload, state, reactor,
                          response, &calls_));
          });
          return reactor;
        };
    const RawService::StreamHandlers streams = StreamHandlers({loop, instance});
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(4 << 20);
    for (const char* service :
         {"containerd.task.v2.Task", "containerd.task.v3.Task",
          "hydra.v1.Instance"}) {
      services_.push_back(std::make_unique<RawService>(
          *google::protobuf::DescriptorPool::generated_pool()
               ->FindServiceByName(service),
          unary, streams));
      builder.RegisterService(services_.back().get());
    }
    server_ = builder.BuildAndStart();
  }

  grpc::Server* server() { return server_.get(); }

  int calls() const { return calls_ + streams_; }

 private:
  RawService::StreamHandlers StreamHandlers(InstanceAccess instance) {
    using Serve =
        Async<absl::Status> (*)(InstanceAccess, std::shared_ptr<Stream>);
    const std::pair<const char*, Serve> methods[] = {
        {"hydra.v1.Instance/Logs", &ServeLogs},
        {"hydra.v1.Instance/Events", &ServeEvents},
        {"hydra.v1.Instance/Attach", &ServeAttach},
    };
    RawService::StreamHandlers handlers;
    for (const auto& [name, serve] : methods) {
      const StreamMethod method =
          [instance, serve = serve](std::shared_ptr<Stream> stream) {
            return serve(instance, std::move(stream));
          };
      handlers[name] = [this, instance, method] {
        return ServeStream(instance.loop, method, &streams_, kMostStreams);
      };
    }
    return handlers;
  }

  int calls_ = 0;
  int streams_ = 0;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::Server> server_;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() = default;

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Create(
    EventLoop* loop, ttrpc::Client* instance) {
  auto impl = std::make_unique<Impl>(loop, instance);
  if (impl->server() == nullptr) return Internal("start the gRPC server");
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

bool GrpcServer::connected() {
  std::erase_if(connections_, [](const auto& connection) {
    return InodeOf(connection.first) != connection.second;
  });
  return !connections_.empty();
}

int GrpcServer::calls() const { return impl_->calls(); }

void GrpcServer::Adopt(UniqueFd connection) {
  // gRPC wants a non-blocking descriptor, and owns it from here.
  const int fd = connection.Release();
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  connections_.emplace_back(fd, InodeOf(fd));
  grpc::AddInsecureChannelFromFd(impl_->server(), fd);
}

}  // namespace hydra
