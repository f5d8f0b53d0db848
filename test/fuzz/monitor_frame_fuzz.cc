// ttrpc frames as the monitor cuts them: the same, whatever the pieces.

#include <algorithm>
#include <vector>

#include "shim/monitor/frame.h"
#include "test/fuzz/fuzz_input.h"

using hydra::monitor::Frame;
using hydra::monitor::FrameReader;

static std::vector<Frame> Read(std::string_view text, size_t piece) {
  FrameReader reader;
  std::vector<Frame> frames;
  while (!text.empty()) {
    std::string_view part = text.substr(0, std::min(piece, text.size()));
    text.remove_prefix(part.size());
    Frame frame;
    while (reader.Next(&part, &frame)) frames.push_back(frame);
  }
  return frames;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text = hydra::AsText(data + 1, size - 1);
  const auto whole = Read(text, text.size() + 1);
  const auto pieces = Read(text, size_t{data[0]} + 1);
  hydra::Require(whole.size() == pieces.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    hydra::Require(whole[i].payload == pieces[i].payload &&
                   whole[i].stream_id == pieces[i].stream_id &&
                   whole[i].too_long == pieces[i].too_long);
  }
  return 0;
}
