#include "shim/runtime/spool_options.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr std::string_view kPolicy = "policy";
constexpr std::string_view kMaxBytes = "max_bytes";
constexpr std::string_view kStallMs = "stall_ms";
constexpr std::string_view kAnnotationPrefix = "io.hydra.spool.";

// Room for a few of the pieces that are written at once.
constexpr uint64_t kLeastBytes = 64 << 10;
constexpr uint64_t kMostBytes = uint64_t{1} << 40;
constexpr uint64_t kLongestStall = 10'000;

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  uint64_t unit = 1;
  if (!text.empty()) {
    const char suffix = static_cast<char>(text.back() | 0x20);
    if (suffix == 'k') unit = 1 << 10;
    if (suffix == 'm') unit = 1 << 20;
    if (suffix == 'g') unit = 1 << 30;
    if (unit != 1) text.remove_suffix(1);
  }
  const std::optional<uint64_t> number = ParseNumber(text);
  if (!number.has_value() || *number > kMostBytes / unit) return std::nullopt;
  return *number * unit;
}

}  // namespace

bool IsSpoolKey(std::string_view key) {
  return key == kPolicy || key == kMaxBytes || key == kStallMs;
}

absl::Status SetSpoolOption(std::string_view key, std::string_view value,
                            std::string_view name, SpoolOptions* options) {
  const auto wrong = [&](const char* wanted) {
    return InvalidArgument(std::string(name) + ": \"" + std::string(value) +
                           "\" is not " + wanted);
  };
  if (key == kPolicy) {
    if (value == "block") {
      options->policy = link::SpoolPolicy::kBlock;
    } else if (value == "drop-oldest") {
      options->policy = link::SpoolPolicy::kDropOldest;
    } else {
      return wrong("\"block\" or \"drop-oldest\"");
    }
  } else if (key == kMaxBytes) {
    const std::optional<uint64_t> size = ParseSize(value);
    if (!size.has_value() || (*size != 0 && *size < kLeastBytes)) {
      return wrong("0 or a size from 64k to 1024g");
    }
    options->max_bytes = *size;
  } else {
    const std::optional<uint64_t> number = ParseNumber(value);
    if (!number.has_value() || *number == 0 || *number > kLongestStall) {
      return wrong("a number from 1 to 10000");
    }
    options->stall_ms = static_cast<uint32_t>(*number);
  }
  return absl::OkStatus();
}

absl::Status ApplySpoolAnnotations(
    const std::map<std::string, std::string>& annotations,
    SpoolOptions* options, std::vector<std::string>* warnings) {
  for (const auto& [name, value] : annotations) {
    if (!name.starts_with(kAnnotationPrefix)) continue;
    std::string key = name.substr(kAnnotationPrefix.size());
    std::replace(key.begin(), key.end(), '-', '_');
    if (IsSpoolKey(key)) {
      HYDRA_RETURN_IF_ERROR(
          SetSpoolOption(key, value, "annotation " + name, options));
    } else {
      warnings->push_back("unknown annotation " + name + ", ignoring");
    }
  }
  return absl::OkStatus();
}

}  // namespace hydra
