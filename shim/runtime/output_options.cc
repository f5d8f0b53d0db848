#include "shim/runtime/output_options.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "shim/base/numbers.h"
#include "shim/base/status.h"
#include "shim/link/journal.h"

namespace hydra {
namespace {

// Room for a few of the pieces that are written at once.
constexpr uint64_t kLeastSpool = 64 << 10;
constexpr uint64_t kMost = uint64_t{1} << 40;
constexpr uint64_t kLongestStall = 10'000;
constexpr std::string_view kAnnotationPrefix = "io.hydra.";

// What is wanted in its place, or null if the value was set.
using Setter = const char* (*)(std::string_view value, OutputOptions*);

const char* SetPolicy(std::string_view value, OutputOptions* options) {
  if (value == "block") {
    options->spool_policy = link::SpoolPolicy::kBlock;
  } else if (value == "drop-oldest") {
    options->spool_policy = link::SpoolPolicy::kDropOldest;
  } else {
    return "\"block\" or \"drop-oldest\"";
  }
  return nullptr;
}

bool SetSize(std::string_view value, uint64_t least, uint64_t* to) {
  const std::optional<uint64_t> size = ParseSize(value);
  if (!size.has_value() || *size > kMost || (*size != 0 && *size < least)) {
    return false;
  }
  *to = *size;
  return true;
}

const char* SetSpoolSize(std::string_view value, OutputOptions* options) {
  return SetSize(value, kLeastSpool, &options->spool_max_bytes)
             ? nullptr
             : "0 or a size from 64k to 1024g";
}

const char* SetStall(std::string_view value, OutputOptions* options) {
  const std::optional<uint64_t> number = ParseDecimal(value);
  if (!number.has_value() || *number == 0 || *number > kLongestStall) {
    return "a number from 1 to 10000";
  }
  options->spool_stall_ms = static_cast<uint32_t>(*number);
  return nullptr;
}

const char* SetLogSize(std::string_view value, OutputOptions* options) {
  return SetSize(value, link::kJournalMinBytes, &options->log_max_bytes)
             ? nullptr
             : "0 or a size from 1m to 1024g";
}

struct Key {
  std::string_view table;
  std::string_view key;
  Setter set;
};

constexpr Key kKeys[] = {
    {"spool", "policy", &SetPolicy},
    {"spool", "max_bytes", &SetSpoolSize},
    {"spool", "stall_ms", &SetStall},
    {"log", "max_bytes", &SetLogSize},
};

const Key* FindKey(std::string_view table, std::string_view key) {
  const auto found =
      std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& entry) {
        return entry.table == table && entry.key == key;
      });
  return found == std::end(kKeys) ? nullptr : found;
}

}  // namespace

bool IsOutputTable(std::string_view table) {
  return std::any_of(std::begin(kKeys), std::end(kKeys),
                     [&](const Key& entry) { return entry.table == table; });
}

bool IsOutputKey(std::string_view table, std::string_view key) {
  return FindKey(table, key) != nullptr;
}

absl::Status SetOutputOption(std::string_view table, std::string_view key,
                             std::string_view value, std::string_view name,
                             OutputOptions* options) {
  const char* wanted = FindKey(table, key)->set(value, options);
  if (wanted == nullptr) return absl::OkStatus();
  return InvalidArgument(std::string(name) + ": \"" + std::string(value) +
                         "\" is not " + wanted);
}

absl::Status ApplyOutputAnnotations(
    const std::map<std::string, std::string>& annotations,
    OutputOptions* options, std::vector<std::string>* warnings) {
  for (const auto& [name, value] : annotations) {
    if (!name.starts_with(kAnnotationPrefix)) continue;
    const std::string_view rest =
        std::string_view(name).substr(kAnnotationPrefix.size());
    const size_t dot = rest.find('.');
    if (dot == rest.npos || !IsOutputTable(rest.substr(0, dot))) continue;
    const std::string_view table = rest.substr(0, dot);
    std::string key(rest.substr(dot + 1));
    std::replace(key.begin(), key.end(), '-', '_');
    if (IsOutputKey(table, key)) {
      HYDRA_RETURN_IF_ERROR(
          SetOutputOption(table, key, value, "annotation " + name, options));
    } else {
      warnings->push_back("unknown annotation " + name + ", ignoring");
    }
  }
  return absl::OkStatus();
}

}  // namespace hydra
