#include "shim/oci/spec.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using nlohmann::json;

// Reads typed members of one JSON object, and puts the first wrong type into
// `error`. A member that is absent or null has its default, as Go's decoder
// has it.
class ObjectReader {
 public:
  // `object` is null if the object itself is absent.
  ObjectReader(const json* object, std::string prefix, absl::Status* error)
      : object_(object), prefix_(std::move(prefix)), error_(error) {}

  ObjectReader Object(const char* key) const {
    const json* member = Find(key);
    if (member != nullptr && !member->is_object()) {
      Refuse(key, "an object");
      member = nullptr;
    }
    return {member, prefix_ + key + ".", error_};
  }

  const json* Array(const char* key) const {
    const json* member = Find(key);
    if (member == nullptr || member->is_array()) return member;
    Refuse(key, "an array");
    return nullptr;
  }

  std::string String(const char* key) const {
    const json* member = Find(key);
    if (member == nullptr) return {};
    if (const auto* text = member->get_ptr<const json::string_t*>()) {
      return *text;
    }
    Refuse(key, "a string");
    return {};
  }

  bool Bool(const char* key) const {
    const json* member = Find(key);
    if (member == nullptr) return false;
    if (const auto* flag = member->get_ptr<const json::boolean_t*>()) {
      return *flag;
    }
    Refuse(key, "a boolean");
    return false;
  }

  // What the kernel takes; more than fits becomes the largest.
  uint16_t Size(const char* key) const {
    const json* member = Find(key);
    if (member == nullptr) return 0;
    if (const auto* n = member->get_ptr<const json::number_unsigned_t*>()) {
      return static_cast<uint16_t>(std::min<json::number_unsigned_t>(
          *n, std::numeric_limits<uint16_t>::max()));
    }
    Refuse(key, "a number that is not negative");
    return 0;
  }

  void Refuse(const std::string& key, const char* wanted) const {
    if (error_->ok()) {
      *error_ = InvalidArgument(prefix_ + key + " is not " + wanted);
    }
  }

  bool present() const { return object_ != nullptr; }
  const json* object() const { return object_; }

 private:
  const json* Find(const char* key) const {
    if (object_ == nullptr) return nullptr;
    const auto member = object_->find(key);
    if (member == object_->end() || member->is_null()) return nullptr;
    return &*member;
  }

  const json* object_;
  std::string prefix_;
  absl::Status* error_;
};

std::map<std::string, std::string> Annotations(const ObjectReader& root) {
  std::map<std::string, std::string> annotations;
  const ObjectReader object = root.Object("annotations");
  if (!object.present()) return annotations;
  for (const auto& [key, value] : object.object()->items()) {
    if (const auto* text = value.get_ptr<const json::string_t*>()) {
      annotations.emplace(key, *text);
    } else {
      object.Refuse(key, "a string");
    }
  }
  return annotations;
}

bool HasPrivatePidNamespace(const ObjectReader& linux_object,
                            absl::Status* error) {
  const json* namespaces = linux_object.Array("namespaces");
  if (namespaces == nullptr) return false;
  bool found = false;
  for (size_t i = 0; i < namespaces->size(); ++i) {
    const json& entry = (*namespaces)[i];
    const std::string name = "namespaces[" + std::to_string(i) + "]";
    if (!entry.is_object()) {
      linux_object.Refuse(name, "an object");
      return false;
    }
    const ObjectReader reader(&entry, "linux." + name + ".", error);
    if (reader.String("type") == "pid" && reader.String("path").empty()) {
      found = true;
    }
  }
  return found;
}

}  // namespace

absl::StatusOr<Spec> ParseSpec(std::string_view text, std::string_view origin) {
  const std::string context = "parse " + std::string(origin);
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) {
    return InvalidArgument(context + (document.is_discarded()
                                          ? ": not valid JSON"
                                          : ": not a JSON object"));
  }
  absl::Status error;
  const ObjectReader root(&document, "", &error);
  Spec spec;
  spec.annotations = Annotations(root);
  const ObjectReader process = root.Object("process");
  spec.terminal = process.Bool("terminal");
  const ObjectReader console = process.Object("consoleSize");
  if (console.present()) {
    spec.console_size = {console.Size("height"), console.Size("width")};
  }
  spec.root_path = root.Object("root").String("path");
  const ObjectReader linux_object = root.Object("linux");
  spec.cgroups_path = linux_object.String("cgroupsPath");
  spec.has_private_pid_namespace = HasPrivatePidNamespace(linux_object, &error);
  for (const char* key : {"uidMappings", "gidMappings"}) {
    const json* mappings = linux_object.Array(key);
    if (mappings != nullptr && !mappings->empty()) {
      spec.has_user_mappings = true;
    }
  }
  if (!error.ok()) return Annotate(error, context);
  return spec;
}

absl::StatusOr<Spec> LoadSpec(const std::string& path) {
  HYDRA_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxSpecSize));
  return ParseSpec(text, path);
}

}  // namespace hydra
