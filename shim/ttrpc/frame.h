// The frame of ttrpc (containerd/ttrpc:PROTOCOL.md): ten bytes, then data.
//
//   0  length of the data, big endian, at most kMaxFrameData
//   4  stream id, big endian; odd when the client opened the stream
//   8  type
//   9  flags
//
// Libc only: the monitor uses it too. Any thread.

#ifndef HYDRA_TTRPC_FRAME_H_
#define HYDRA_TTRPC_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hydra::ttrpc {

inline constexpr size_t kFrameHeaderSize = 10;
inline constexpr uint32_t kMaxFrameData = 4u << 20;

enum FrameType : uint8_t {
  kRequest = 1,
  kResponse = 2,
  kData = 3,
  // Ours, from a client of ours to a monitor: nobody waits for the answer to
  // the request of this stream any more. It has no data and no answer. ttrpc
  // itself has no such thing; to others this type is unknown, and so ignored.
  kCancel = 0x48,
};

struct FrameHeader {
  uint32_t length = 0;
  uint32_t stream_id = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
};

// Reads kFrameHeaderSize bytes.
inline FrameHeader DecodeFrameHeader(const char* bytes) {
  const auto* b = reinterpret_cast<const unsigned char*>(bytes);
  FrameHeader header;
  header.length = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 |
                  uint32_t{b[2]} << 8 | uint32_t{b[3]};
  header.stream_id = uint32_t{b[4]} << 24 | uint32_t{b[5]} << 16 |
                     uint32_t{b[6]} << 8 | uint32_t{b[7]};
  header.type = b[8];
  header.flags = b[9];
  return header;
}

// Appends a whole frame to `out`. `data` must not be longer than
// kMaxFrameData.
inline void AppendFrame(uint32_t stream_id, FrameType type,
                        std::string_view data, std::string* out) {
  const auto length = static_cast<uint32_t>(data.size());
  char header[kFrameHeaderSize] = {};
  for (int i = 0; i < 4; ++i) {
    const int shift = 24 - 8 * i;
    header[i] = static_cast<char>(length >> shift);
    header[4 + i] = static_cast<char>(stream_id >> shift);
  }
  header[8] = static_cast<char>(type);
  out->append(header, sizeof(header)).append(data);
}

inline std::string EncodeFrame(uint32_t stream_id, FrameType type,
                               std::string_view data) {
  std::string frame;
  AppendFrame(stream_id, type, data, &frame);
  return frame;
}

}  // namespace hydra::ttrpc

#endif  // HYDRA_TTRPC_FRAME_H_
