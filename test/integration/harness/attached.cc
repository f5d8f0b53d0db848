#include "test/integration/harness/attached.h"

#include "test/integration/harness/native_container.h"

namespace hydra::testing {

Attached::Attached(const std::string& socket_path)
    : client_(socket_path, kInstance, "Attach") {}

bool Attached::Start(const v1::AttachStart& start) {
  v1::AttachRequest request;
  *request.mutable_start() = start;
  return client_.Send(request) && Take() && is_started_;
}

bool Attached::Replay(uint64_t bytes) {
  v1::AttachStart start;
  start.set_replay_bytes(bytes);
  return Start(start);
}

bool Attached::Write(const std::string& input, Milliseconds limit) {
  v1::AttachRequest request;
  request.set_input(input);
  return client_.Send(request, limit);
}

bool Attached::CloseInput() {
  v1::AttachRequest request;
  request.set_close_input(true);
  return client_.Send(request);
}

bool Attached::Resize(uint32_t rows, uint32_t columns) {
  v1::AttachRequest request;
  request.mutable_resize()->set_rows(rows);
  request.mutable_resize()->set_columns(columns);
  return client_.Send(request);
}

bool Attached::Take(Milliseconds limit) {
  const auto message = client_.Receive<v1::AttachResponse>(limit);
  if (!message.has_value()) return false;
  is_orderly_ &= !ended_.has_value() && is_started_ != message->has_started();
  switch (message->kind_case()) {
    case v1::AttachResponse::kStarted:
      is_started_ = true;
      started_ = message->started();
      break;
    case v1::AttachResponse::kOutput:
      text_ += message->output().data();
      last_ = message->output();
      break;
    case v1::AttachResponse::kEnded:
      ended_ = message->ended().exit_status();
      break;
    case v1::AttachResponse::kRefused:
      refused_.push_back(message->refused());
      break;
    default:
      is_orderly_ = false;
  }
  return true;
}

bool Attached::TakeUntil(const std::string& text) {
  while (text_.find(text) == std::string::npos) {
    if (!Take()) return false;
  }
  return true;
}

bool Attached::TakeRefusal() {
  const size_t before = refused_.size();
  while (refused_.size() == before) {
    if (!Take()) return false;
  }
  return true;
}

RawReply Attached::TakeAll() {
  while (Take()) {
  }
  return client_.at_end() ? client_.Finish() : RawReply();
}

}  // namespace hydra::testing
