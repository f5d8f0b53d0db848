#include "test/bench/tasks_client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <vector>

#include "hydra/bench/tasks.pb.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra::bench {
namespace {

constexpr char kMethod[] = "/containerd.services.tasks.v1.Tasks/List";
constexpr std::chrono::seconds kLimit{60};
// containerd.v1.types.Status.
constexpr uint32_t kRunning = 2;

// gRPC itself would wait for longer and longer before it tries again.
bool Listens(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return false;
  path.copy(name.sun_path, path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&name),
                 sizeof name) == 0;
}

std::string Joined(const grpc::ByteBuffer& buffer) {
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

absl::StatusOr<size_t> CountRunningTasks(
    const std::string& socket, const std::string& containerd_namespace) {
  if (!Listens(socket)) {
    return MakeError(absl::StatusCode::kUnavailable, socket);
  }
  grpc::ChannelArguments arguments;
  // Not that of the engine before it.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  grpc::GenericStub stub(grpc::CreateCustomChannel(
      "unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLimit);
  context.AddMetadata("containerd-namespace", containerd_namespace);
  const grpc::Slice payload(ListTasksRequest().SerializeAsString());
  grpc::ByteBuffer answer;
  grpc::Status status;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, kMethod,
                                    grpc::ByteBuffer(&payload, 1), &queue);
  call->StartCall();
  call->Finish(&answer, &status, &call);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) {
    return MakeError(static_cast<absl::StatusCode>(status.error_code()),
                     status.error_message());
  }
  ListTasksResponse response;
  if (!response.ParseFromString(Joined(answer))) {
    return DataLoss("Tasks/List: not a response");
  }
  size_t running = 0;
  for (const ListTasksResponse::Task& task : response.tasks()) {
    running += task.status() == kRunning;
  }
  return running;
}

}  // namespace hydra::bench
