// The chaos test believes StreamChecker, so this one does not.

#include "test/chaos/stream_check.h"

#include <catch2/catch.hpp>
#include <string>

namespace hydra::testing {
namespace {

constexpr uint64_t kSeed = 7;
constexpr size_t kChunk = 300;
constexpr size_t kChunks = 3;

// What the payload writes.
std::string MakeStream() {
  StreamGenerator generator;
  StreamStart(&generator, kSeed);
  std::string stream;
  for (size_t i = 0; i < kChunks; ++i) {
    stream.push_back(static_cast<char>(kStreamChunk));
    stream.push_back(static_cast<char>(kChunk & 0xff));
    stream.push_back(static_cast<char>(kChunk >> 8));
    for (size_t j = 0; j < kChunk; ++j) {
      stream.push_back(static_cast<char>(StreamNext(&generator)));
    }
  }
  stream.push_back(static_cast<char>(kStreamEnd));
  for (const uint64_t value : {generator.count, generator.sum}) {
    for (int i = 0; i < 8; ++i) {
      stream.push_back(static_cast<char>(value >> 8 * i));
    }
  }
  return stream;
}

bool IsWhole(const std::string& stream) {
  StreamChecker checker(kSeed);
  checker.Take(stream);
  return checker.ended() && checker.error().empty();
}

TEST_CASE("A checked stream is whole in any pieces", "[stream]") {
  const std::string stream = MakeStream();
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    StreamChecker checker(kSeed);
    checker.Take(stream.substr(0, cut));
    CHECK(checker.ended() == (cut == stream.size()));
    checker.Take(stream.substr(cut));
    CHECK(checker.ended());
    CHECK(checker.error().empty());
    CHECK(checker.bytes() == kChunk * kChunks);
  }
}

TEST_CASE("A checked stream shows each byte lost, doubled or changed",
          "[stream]") {
  const std::string stream = MakeStream();
  REQUIRE(IsWhole(stream));
  for (size_t at = 0; at < stream.size(); ++at) {
    CAPTURE(at);
    std::string lost = stream;
    lost.erase(at, 1);
    CHECK_FALSE(IsWhole(lost));
    std::string doubled = stream;
    doubled.insert(at, 1, stream[at]);
    CHECK_FALSE(IsWhole(doubled));
    std::string changed = stream;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    CHECK_FALSE(IsWhole(changed));
  }
  CHECK_FALSE(IsWhole(stream + stream));
}

TEST_CASE("A checked stream shows chunks that changed places", "[stream]") {
  const std::string stream = MakeStream();
  const size_t frame = 3 + kChunk;
  CHECK_FALSE(IsWhole(stream.substr(frame, frame) + stream.substr(0, frame) +
                      stream.substr(2 * frame)));
}

}  // namespace
}  // namespace hydra::testing
