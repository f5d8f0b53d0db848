#include "shim/base/numbers.h"

#include <charconv>

namespace hydra {
namespace {

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

bool TakeSuffix(std::string_view* text, std::string_view suffix) {
  if (text->size() <= suffix.size()) return false;
  const size_t at = text->size() - suffix.size();
  for (size_t i = 0; i < suffix.size(); ++i) {
    if (Lower((*text)[at + i]) != suffix[i]) return false;
  }
  text->remove_suffix(suffix.size());
  return true;
}

}  // namespace

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  uint64_t number = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  if (!TakeSuffix(&text, "ib")) TakeSuffix(&text, "b");
  uint64_t unit = 1;
  for (const auto& [suffix, factor] :
       {std::pair<std::string_view, uint64_t>{"k", uint64_t{1} << 10},
        {"m", uint64_t{1} << 20},
        {"g", uint64_t{1} << 30},
        {"t", uint64_t{1} << 40}}) {
    if (TakeSuffix(&text, suffix)) {
      unit = factor;
      break;
    }
  }
  const std::optional<uint64_t> number = ParseDecimal(text);
  if (!number.has_value() || *number > UINT64_MAX / unit) return std::nullopt;
  return *number * unit;
}

}  // namespace hydra
