#include "shim/ttrpc/frame.h"

#include <catch2/catch.hpp>
#include <string>

namespace hydra::ttrpc {
namespace {

TEST_CASE("A frame's bytes are those of ttrpc's protocol") {
  const std::string frame = EncodeFrame(0x01020305, kRequest, "abc");
  CHECK(frame == std::string("\0\0\0\x03\x01\x02\x03\x05\x01\0abc", 13));
}

TEST_CASE("A header is read as it was written") {
  for (const uint32_t stream : {1u, 0x80000001u, 0xffffffffu}) {
    const std::string frame =
        EncodeFrame(stream, kResponse, std::string(70'000, 'x'));
    REQUIRE(frame.size() == kFrameHeaderSize + 70'000);
    const FrameHeader header = DecodeFrameHeader(frame.data());
    CHECK(header.length == 70'000);
    CHECK(header.stream_id == stream);
    CHECK(header.type == kResponse);
    CHECK(header.flags == 0);
  }
}

TEST_CASE("A header of all ones is read without a sign") {
  const std::string bytes(kFrameHeaderSize, '\xff');
  const FrameHeader header = DecodeFrameHeader(bytes.data());
  CHECK(header.length == 0xffffffff);
  CHECK(header.stream_id == 0xffffffff);
  CHECK(header.type == 0xff);
  CHECK(header.flags == 0xff);
}

}  // namespace
}  // namespace hydra::ttrpc
