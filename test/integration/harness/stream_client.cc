#include "test/integration/harness/stream_client.h"

#include <utility>

#include "test/integration/harness/grpc_client.h"

namespace hydra::testing {

StreamClient::StreamClient(const std::string& socket_path,
                           const std::string& service,
                           const std::string& method) {
  context_.set_wait_for_ready(true);
  grpc::GenericStub stub(OwnChannel(socket_path));
  call_ = stub.PrepareCall(&context_, "/" + service + "/" + method, &queue_);
  start_.pending = true;
  call_->StartCall(&start_);
}

StreamClient::~StreamClient() {
  Cancel();
  if (!finish_.pending && !finish_.ok) {
    finish_.pending = true;
    call_->Finish(&status_, &finish_);
  }
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

bool StreamClient::Await(Operation* operation, Milliseconds limit) {
  const auto deadline = std::chrono::system_clock::now() + limit;
  while (operation->pending) {
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, deadline) !=
        grpc::CompletionQueue::GOT_EVENT) {
      return false;
    }
    auto* const done = static_cast<Operation*>(tag);
    done->pending = false;
    done->ok = ok;
  }
  return true;
}

bool StreamClient::Write(const std::string& payload, Milliseconds limit) {
  if (!Await(&start_, limit) || !Await(&write_, limit)) return false;
  const grpc::Slice slice(payload);
  write_.pending = true;
  call_->Write(grpc::ByteBuffer(&slice, 1), &write_);
  return Await(&write_, limit) && write_.ok;
}

bool StreamClient::WritesDone(Milliseconds limit) {
  if (!Await(&start_, limit) || !Await(&write_, limit)) return false;
  write_.pending = true;
  call_->WritesDone(&write_);
  return Await(&write_, limit) && write_.ok;
}

std::optional<std::string> StreamClient::Read(Milliseconds limit) {
  if (at_end_ || !Await(&start_, limit)) return {};
  if (!read_.pending) {
    incoming_.Clear();
    read_.pending = true;
    call_->Read(&incoming_, &read_);
  }
  if (!Await(&read_, limit)) return {};
  if (!read_.ok) {
    at_end_ = true;
    return {};
  }
  return Flatten(incoming_);
}

RawReply StreamClient::Finish(Milliseconds limit) {
  if (!finish_.pending && !finish_.ok) {
    finish_.pending = true;
    call_->Finish(&status_, &finish_);
  }
  if (!Await(&finish_, limit)) return {};
  return {static_cast<Code>(status_.error_code()), status_.error_message(), {}};
}

}  // namespace hydra::testing
