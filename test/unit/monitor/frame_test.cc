#include "shim/monitor/frame.h"

#include <catch2/catch.hpp>
#include <string>
#include <string_view>

namespace hydra::monitor {
namespace {

std::string Encoded(uint32_t stream_id, std::string_view payload) {
  std::string out;
  ttrpc::AppendFrame(stream_id, ttrpc::kRequest, payload, &out);
  return out;
}

TEST_CASE("A frame has big-endian numbers", "[monitor][frame]") {
  std::string out;
  ttrpc::AppendFrame(0x01020304, ttrpc::kResponse, "abc", &out);
  CHECK(out == std::string("\0\0\0\x03\x01\x02\x03\x04\x02\0abc", 13));
}

TEST_CASE("Frames are cut out of any pieces", "[monitor][frame]") {
  const std::string bytes =
      Encoded(1, "one") + Encoded(3, "") + Encoded(5, std::string(1000, 'x'));
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameReader reader;
    std::string ids;
    size_t payload = 0;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      std::string_view data = std::string_view(bytes).substr(at, piece);
      Frame frame;
      while (reader.Next(&data, &frame)) {
        ids += std::to_string(frame.stream_id);
        payload += frame.payload.size();
        CHECK(frame.length == frame.payload.size());
      }
      CHECK(data.empty());
    }
    CHECK(ids == "135");
    CHECK(payload == 1003);
  }
}

TEST_CASE("The largest frame is taken, one byte more is discarded",
          "[monitor][frame]") {
  FrameReader reader;
  Frame frame;
  const std::string largest =
      Encoded(1, std::string(ttrpc::kMaxFrameData, 'x'));
  std::string_view data = largest;
  REQUIRE(reader.Next(&data, &frame));
  CHECK_FALSE(frame.too_long);
  CHECK(frame.payload.size() == ttrpc::kMaxFrameData);

  const std::string more =
      Encoded(3, std::string(ttrpc::kMaxFrameData + 1, 'x')) +
      Encoded(5, "next");
  data = more;
  REQUIRE(reader.Next(&data, &frame));
  CHECK(frame.too_long);
  CHECK(frame.length == ttrpc::kMaxFrameData + 1);
  CHECK(frame.payload.empty());
  REQUIRE(reader.Next(&data, &frame));
  CHECK(frame.stream_id == 5);
  CHECK(frame.payload == "next");
}

TEST_CASE("A length that is announced costs no memory", "[monitor][frame]") {
  FrameReader reader;
  Frame frame;
  const std::string start = Encoded(1, std::string(ttrpc::kMaxFrameData, 'x'));
  std::string_view data = std::string_view(start).substr(0, 20);
  CHECK_FALSE(reader.Next(&data, &frame));
  CHECK(frame.payload.capacity() < 1000);
}

}  // namespace
}  // namespace hydra::monitor
