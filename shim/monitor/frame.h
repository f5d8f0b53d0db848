// ttrpc frames (shim/ttrpc/frame.h) out of a stream of bytes.
//
// No descriptor and no clock in here. Loop thread only.

#ifndef HYDRA_MONITOR_FRAME_H_
#define HYDRA_MONITOR_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shim/monitor/state.h"
#include "shim/ttrpc/frame.h"

namespace hydra::monitor {

struct Frame {
  uint32_t length = 0;
  uint32_t stream_id = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  bool too_long = false;  // `length` bytes were discarded.
  std::string payload;
};

// Cuts a stream of bytes into frames, of whatever pieces it comes in. Memory
// grows with what has come, not with what a header announces.
class FrameReader {
 public:
  // Takes bytes off the front of `data`. True once a frame is whole, which is
  // then in *frame; false when `data` is used up.
  bool Next(std::string_view* data, Frame* frame);

  // Whether it is in the middle of a frame that is too long.
  bool discarding() const { return missing_ > 0 && frame_.too_long; }

  // Of a frame that has begun and is not whole.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);

 private:
  void TakeHeader();

  char header_[ttrpc::kFrameHeaderSize] = {};
  size_t header_size_ = 0;
  uint32_t missing_ = 0;  // Of the payload.
  Frame frame_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_FRAME_H_
