#include "shim/grpc/attach_input.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "containerd/task/v2/task.pb.h"
#include "google/protobuf/empty.pb.h"
#include "shim/grpc/instance_call.h"

namespace hydra {
namespace {

// As much as WriteInput takes.
constexpr size_t kPiece = 64 << 10;
constexpr uint32_t kMostCells = std::numeric_limits<uint16_t>::max();

v1::AttachRefused Refusal(const absl::Status& reason) {
  v1::AttachRefused refused;
  refused.set_code(static_cast<int>(reason.code()));
  refused.set_message(Message(reason));
  return refused;
}

}  // namespace

AttachInput::AttachInput(Config config, std::shared_ptr<Stream> stream)
    : config_(std::move(config)), stream_(std::move(stream)) {}

void AttachInput::Start() { Detach(TakeMessages(shared_from_this())); }

void AttachInput::Stop() {
  stop_.Set(true);
  has_room_.Set(true);
}

Async<void> AttachInput::TakeMessages(std::shared_ptr<AttachInput> self) {
  while (!self->stop_.is_set()) {
    const std::optional<std::string> bytes = co_await self->stream_->Read();
    if (!bytes.has_value()) co_return;
    v1::AttachRequest message;
    absl::Status taken;
    if (message.ParseFromString(*bytes)) {
      taken = co_await self->Take(std::move(message));
    } else {
      taken = InvalidArgument("unmarshal request error: not a " +
                              message.GetTypeName());
    }
    if (!taken.ok()) {
      self->config_.fail(taken);
      co_return;
    }
  }
}

Async<absl::Status> AttachInput::Take(v1::AttachRequest message) {
  switch (message.kind_case()) {
    case v1::AttachRequest::kInput:
      // Behind the end of the input it is to fail, and not to come before it.
      while ((queued() > kPiece || closes_) && !stop_.is_set()) {
        co_await has_room_;
      }
      queue_.append(message.input());
      break;
    case v1::AttachRequest::kCloseInput:
      closes_ |= message.close_input();
      break;
    case v1::AttachRequest::kResize:
      co_await Resize(message.resize());
      break;
    case v1::AttachRequest::kStart:
      co_return InvalidArgument("attach: started already");
    default:
      co_return InvalidArgument(
          "attach: a message of a kind that is not known");
  }
  if (!is_writing_ && (queued() > 0 || closes_)) {
    Detach(WriteQueued(shared_from_this()));
  }
  co_return absl::OkStatus();
}

Async<void> AttachInput::Resize(v1::TerminalSize size) {
  absl::Status status;
  if (!config_.terminal) {
    status = FailedPrecondition("resize: the container has no terminal");
  } else if (size.rows() > kMostCells || size.columns() > kMostCells) {
    status = InvalidArgument("resize: more rows or columns than " +
                             std::to_string(kMostCells));
  } else {
    containerd::task::v2::ResizePtyRequest request;
    request.set_id(config_.container_id);
    request.set_height(size.rows());
    request.set_width(size.columns());
    const auto resized = co_await CallInstance<google::protobuf::Empty>(
        config_.instance.client, kTaskService, "ResizePty", std::move(request),
        stop_);
    status = resized.status();
  }
  if (!status.ok() && !stop_.is_set()) {
    co_await config_.refuse(Refusal(status));
  }
}

std::string AttachInput::TakePiece() {
  const std::string piece = queue_.substr(written_, kPiece);
  written_ += piece.size();
  if (queued() == 0) {
    queue_.clear();
    queue_.shrink_to_fit();
    written_ = 0;
  }
  return piece;
}

Async<void> AttachInput::WritePiece() {
  v1::WriteInputRequest request;
  request.set_data(TakePiece());
  if (queued() == 0) request.set_close(std::exchange(closes_, false));
  const size_t size = request.data().size();
  const bool closes = request.close();
  const auto result = co_await CallInstance<v1::WriteInputResponse>(
      config_.instance.client, kInstanceService, "WriteInput",
      std::move(request), stop_);
  if (result.ok() || stop_.is_set()) co_return;
  // What has come behind it would fare no better.
  v1::AttachRefused refused = Refusal(result.status());
  refused.set_input_bytes(size + queued());
  refused.set_close_input(closes || std::exchange(closes_, false));
  queue_.clear();
  written_ = 0;
  co_await config_.refuse(std::move(refused));
}

Async<void> AttachInput::WriteQueued(std::shared_ptr<AttachInput> self) {
  self->is_writing_ = true;
  while (!self->stop_.is_set() && (self->queued() > 0 || self->closes_)) {
    co_await self->WritePiece();
    std::exchange(self->has_room_, {}).Set(true);
  }
  self->is_writing_ = false;
}

}  // namespace hydra
