#include "shim/monitor/frame.h"

#include <string.h>

#include <algorithm>
#include <utility>

namespace hydra::monitor {

void FrameReader::TakeHeader() {
  const ttrpc::FrameHeader header = ttrpc::DecodeFrameHeader(header_);
  frame_ = Frame();
  frame_.length = header.length;
  frame_.stream_id = header.stream_id;
  frame_.type = header.type;
  frame_.flags = header.flags;
  frame_.too_long = frame_.length > ttrpc::kMaxFrameData;
  missing_ = frame_.length;
}

bool FrameReader::Next(std::string_view* data, Frame* frame) {
  if (header_size_ < ttrpc::kFrameHeaderSize) {
    const size_t n =
        std::min(ttrpc::kFrameHeaderSize - header_size_, data->size());
    memcpy(header_ + header_size_, data->data(), n);
    header_size_ += n;
    data->remove_prefix(n);
    if (header_size_ < ttrpc::kFrameHeaderSize) return false;
    TakeHeader();
  }
  const size_t n = std::min(size_t{missing_}, data->size());
  if (!frame_.too_long) frame_.payload.append(data->substr(0, n));
  data->remove_prefix(n);
  missing_ -= static_cast<uint32_t>(n);
  if (missing_ > 0) return false;
  header_size_ = 0;
  *frame = std::move(frame_);
  return true;
}

void FrameReader::Save(StateWriter* state) const {
  state->Bytes(std::string_view(header_, header_size_));
  state->Bytes(frame_.payload);
  state->Number(missing_);
}

void FrameReader::Load(StateReader* state) {
  const std::string_view header = state->Bytes();
  const std::string_view payload = state->Bytes();
  const auto missing = state->As<uint32_t>();
  if (header.size() > sizeof(header_)) {
    state->Fail();
    return;
  }
  if (!header.empty()) memcpy(header_, header.data(), header.size());
  header_size_ = header.size();
  if (header_size_ < sizeof(header_)) return;
  TakeHeader();
  const uint32_t taken = missing_ - missing;
  // Of a frame that is too long nothing is kept.
  if (missing == 0 || missing > missing_ ||
      payload.size() != (frame_.too_long ? 0 : taken)) {
    state->Fail();
    return;
  }
  frame_.payload = payload;
  missing_ = missing;
}

}  // namespace hydra::monitor
