#include "test/bench/ttrpc_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "shim/base/status.h"
#include "shim/ttrpc/frame.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra::bench {

absl::StatusOr<TtrpcClient> TtrpcClient::Connect(const std::string& address) {
  constexpr std::string_view kScheme = "unix://";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = address.substr(0, kScheme.size()) == kScheme
                               ? address.substr(kScheme.size())
                               : address;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return InvalidArgument("connect " + address + ": not a socket's address");
  }
  path.copy(name.sun_path, path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoError(errno, "socket");
  const timeval patience = {30, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&name),
              sizeof name) != 0) {
    return ErrnoError(errno, "connect", path);
  }
  return TtrpcClient(std::move(fd));
}

absl::Status TtrpcClient::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n =
        send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0) return ErrnoError(errno, "send");
    sent += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status TtrpcClient::Receive(char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = recv(fd_.get(), bytes, size, 0);
    if (n < 0) return ErrnoError(errno, "recv");
    if (n == 0) return ErrnoError(ECONNRESET, "recv");
    bytes += n;
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status TtrpcClient::Call(const std::string& method,
                               const google::protobuf::MessageLite& request,
                               google::protobuf::MessageLite* response,
                               const std::string& service) {
  ::ttrpc::Request envelope;
  envelope.set_service(service);
  envelope.set_method(method);
  envelope.set_payload(request.SerializeAsString());
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  HYDRA_RETURN_IF_ERROR(Send(ttrpc::EncodeFrame(stream, ttrpc::kRequest,
                                                envelope.SerializeAsString())));

  std::array<char, ttrpc::kFrameHeaderSize> bytes{};
  ttrpc::FrameHeader header;
  std::string payload;
  do {
    HYDRA_RETURN_IF_ERROR(Receive(bytes.data(), bytes.size()));
    header = ttrpc::DecodeFrameHeader(bytes.data());
    if (header.length > ttrpc::kMaxFrameData) {
      return DataLoss(method + ": frame too long");
    }
    payload.resize(header.length);
    HYDRA_RETURN_IF_ERROR(Receive(payload.data(), payload.size()));
  } while (header.type != ttrpc::kResponse || header.stream_id != stream);

  ::ttrpc::Response answer;
  if (!answer.ParseFromString(payload)) {
    return DataLoss(method + ": not a response");
  }
  if (answer.status().code() != 0) {
    return MakeError(static_cast<absl::StatusCode>(answer.status().code()),
                     method + ": " + answer.status().message());
  }
  if (!response->ParseFromString(answer.payload())) {
    return DataLoss(method + ": not a " + response->GetTypeName());
  }
  return absl::OkStatus();
}

}  // namespace hydra::bench
