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

}  // namespace hydra::monitor
