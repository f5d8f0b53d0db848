#include "shim/runtime/options.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace {
struct BrokenInvariant {};
}  // namespace
// The parser's own invariants do not hold for every malformed file (a fuzzer's
// finding: "[=x"); such a file is an error as any other. With exceptions,
// caught where the parser is called: without them there is no way out of it.
#define TOML_EXCEPTIONS 1
#define TOML_ASSERT(expression)                 \
  do {                                          \
    if (!(expression)) throw BrokenInvariant(); \
  } while (false)
// Where the library may not throw, a broken invariant still ends the program.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wterminate"
#endif
#include <toml++/toml.h>
#pragma GCC diagnostic pop

#include "containerd/runtimeoptions/v1/options.pb.h"
#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using containerd::runc::v1::Options;

constexpr std::string_view kRuncOptions = "containerd.runc.v1.Options";
constexpr std::string_view kGenericOptions = "runtimeoptions.v1.Options";
constexpr size_t kMaxConfigSize = 1 << 20;

enum class KeyType { kString, kBool, kId };

// One of the keys, and where its value goes: the setter of its type is set.
struct Key {
  std::string_view name;
  KeyType type;
  void (*set_string)(Options*, std::string) = nullptr;
  void (*set_bool)(Options*, bool) = nullptr;
  void (*set_id)(Options*, uint32_t) = nullptr;
};

Key StringKey(std::string_view name, void (*set)(Options*, std::string)) {
  return {name, KeyType::kString, set, nullptr, nullptr};
}
Key BoolKey(std::string_view name, void (*set)(Options*, bool)) {
  return {name, KeyType::kBool, nullptr, set, nullptr};
}
Key IdKey(std::string_view name, void (*set)(Options*, uint32_t)) {
  return {name, KeyType::kId, nullptr, nullptr, set};
}

const Key* FindKey(std::string_view name) {
  static const Key kKeys[] = {
      StringKey("BinaryName",
                [](Options* o, std::string v) { o->set_binary_name(v); }),
      StringKey("Root", [](Options* o, std::string v) { o->set_root(v); }),
      StringKey("ShimCgroup",
                [](Options* o, std::string v) { o->set_shim_cgroup(v); }),
      StringKey("CriuImagePath",
                [](Options* o, std::string v) { o->set_criu_image_path(v); }),
      StringKey("CriuWorkPath",
                [](Options* o, std::string v) { o->set_criu_work_path(v); }),
      BoolKey("SystemdCgroup",
              [](Options* o, bool v) { o->set_systemd_cgroup(v); }),
      BoolKey("NoPivotRoot",
              [](Options* o, bool v) { o->set_no_pivot_root(v); }),
      BoolKey("NoNewKeyring",
              [](Options* o, bool v) { o->set_no_new_keyring(v); }),
      IdKey("IoUid", [](Options* o, uint32_t v) { o->set_io_uid(v); }),
      IdKey("IoGid", [](Options* o, uint32_t v) { o->set_io_gid(v); }),
  };
  for (const Key& key : kKeys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

absl::Status SetOption(const Key& key, const toml::node& value,
                       const std::string& context, Options* options) {
  const auto wrong = [&](const char* wanted) {
    return InvalidArgument(context + ": " + std::string(key.name) + " is not " +
                           wanted);
  };
  switch (key.type) {
    case KeyType::kString: {
      const auto* text = value.as_string();
      if (text == nullptr) return wrong("a string");
      key.set_string(options, text->get());
      break;
    }
    case KeyType::kBool: {
      const auto* flag = value.as_boolean();
      if (flag == nullptr) return wrong("a boolean");
      key.set_bool(options, flag->get());
      break;
    }
    case KeyType::kId: {
      const auto* number = value.as_integer();
      if (number == nullptr || number->get() < 0 ||
          number->get() > std::numeric_limits<uint32_t>::max()) {
        return wrong("a user or group id");
      }
      key.set_id(options, static_cast<uint32_t>(number->get()));
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status ReadProtocol(const toml::node& value, const std::string& context,
                          std::string* protocol) {
  const auto* text = value.as_string();
  if (text == nullptr || (text->get() != "ttrpc" && text->get() != "grpc")) {
    return InvalidArgument(context + ": protocol is not \"ttrpc\" or \"grpc\"");
  }
  *protocol = text->get();
  return absl::OkStatus();
}

absl::Status ReadOutputTable(std::string_view table_name,
                             const toml::node& node, const std::string& context,
                             std::string_view origin, RuntimeOptions* result) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    return InvalidArgument(context + ": " + std::string(table_name) +
                           " is no table");
  }
  for (const auto& [name, value] : *table) {
    const std::string key =
        std::string(table_name) + "." + std::string(name.str());
    if (!IsOutputKey(table_name, name.str())) {
      result->warnings.push_back("runtime options " + std::string(origin) +
                                 ": unknown key " + key + ", ignoring");
      continue;
    }
    std::string text;
    if (const auto* string = value.as_string()) {
      text = string->get();
    } else if (const auto* number = value.as_integer()) {
      text = std::to_string(number->get());
    } else {
      return InvalidArgument(context + ": " + key +
                             " is not a string or an integer");
    }
    HYDRA_RETURN_IF_ERROR(SetOutputOption(
        table_name, name.str(), text, context + ": " + key, &result->output));
  }
  return absl::OkStatus();
}

absl::StatusOr<RuntimeOptions> DecodeGenericOptions(const std::string& value) {
  runtimeoptions::v1::Options generic;
  if (!generic.ParseFromString(value)) {
    return InvalidArgument("decode runtime options: not a " +
                           std::string(kGenericOptions));
  }
  if (!generic.config_body().empty()) {
    return ParseOptionsToml(generic.config_body(), "config_body");
  }
  if (generic.config_path().empty()) return RuntimeOptions{};
  absl::StatusOr<std::string> text =
      ReadFile(generic.config_path(), kMaxConfigSize);
  if (!text.ok()) return Annotate(text.status(), "runtime options");
  return ParseOptionsToml(*text, generic.config_path());
}

absl::StatusOr<toml::table> ParseToml(std::string_view text,
                                      const std::string& context) {
  // The parser's test for white space is undefined for most of the others
  // (found by a fuzzer); paths and names of options have no need of them.
  const auto is_ascii = [](char c) { return static_cast<signed char>(c) >= 0; };
  const auto other = std::find_if_not(text.begin(), text.end(), is_ascii);
  if (other != text.end()) {
    return InvalidArgument(
        context + ": line " +
        std::to_string(1 + std::count(text.begin(), other, '\n')) +
        ": a character that is not ASCII");
  }
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return InvalidArgument(context + ": line " +
                           std::to_string(error.source().begin.line) + ": " +
                           std::string(error.description()));
  } catch (const BrokenInvariant&) {
    return InvalidArgument(context + ": malformed");
  }
}

}  // namespace

bool IsType(std::string_view type_url, std::string_view name) {
  if (type_url.size() < name.size() ||
      type_url.substr(type_url.size() - name.size()) != name) {
    return false;
  }
  type_url.remove_suffix(name.size());
  return type_url.empty() || type_url.back() == '/';
}

absl::StatusOr<RuntimeOptions> ParseOptionsToml(std::string_view text,
                                                std::string_view origin) {
  const std::string context = "parse runtime options " + std::string(origin);
  const absl::StatusOr<toml::table> parsed = ParseToml(text, context);
  if (!parsed.ok()) return parsed.status();
  RuntimeOptions result;
  for (const auto& [name, value] : *parsed) {
    if (IsOutputTable(name.str())) {
      HYDRA_RETURN_IF_ERROR(
          ReadOutputTable(name.str(), value, context, origin, &result));
      continue;
    }
    if (name.str() == "protocol") {
      HYDRA_RETURN_IF_ERROR(ReadProtocol(value, context, &result.protocol));
      continue;
    }
    const Key* key = FindKey(name.str());
    if (key == nullptr) {
      result.warnings.push_back("runtime options " + std::string(origin) +
                                ": unknown key " + std::string(name.str()) +
                                ", ignoring");
      continue;
    }
    HYDRA_RETURN_IF_ERROR(SetOption(*key, value, context, &result.options));
  }
  return result;
}

absl::StatusOr<RuntimeOptions> DecodeOptions(const google::protobuf::Any& any) {
  if (any.type_url().empty() && any.value().empty()) return RuntimeOptions{};
  if (IsType(any.type_url(), kGenericOptions)) {
    return DecodeGenericOptions(any.value());
  }
  if (!IsType(any.type_url(), kRuncOptions)) {
    return InvalidArgument("decode runtime options: unsupported type \"" +
                           any.type_url() + "\"");
  }
  RuntimeOptions result;
  if (!result.options.ParseFromString(any.value())) {
    return InvalidArgument("decode runtime options: not a " +
                           std::string(kRuncOptions));
  }
  return result;
}

}  // namespace hydra
