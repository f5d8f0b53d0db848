#include "cmd/containerd-shim-hydra-v1/environment.h"

#include <unistd.h>

#include <string_view>

namespace hydra {
namespace {

bool IsVariable(std::string_view entry, std::string_view name) {
  return entry.size() > name.size() && entry[name.size()] == '=' &&
         entry.substr(0, name.size()) == name;
}

}  // namespace

std::vector<std::string> ChildEnvironment(const std::string& ttrpc_address) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (IsVariable(*entry, "NOTIFY_SOCKET")) continue;
    if (!ttrpc_address.empty() && IsVariable(*entry, "TTRPC_ADDRESS")) continue;
    result.emplace_back(*entry);
  }
  if (!ttrpc_address.empty()) {
    result.push_back("TTRPC_ADDRESS=" + ttrpc_address);
  }
  return result;
}

std::vector<char*> PointersTo(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<const char*> ConstPointersTo(
    const std::vector<std::string>& strings) {
  std::vector<const char*> pointers;
  for (const std::string& string : strings) pointers.push_back(string.c_str());
  return pointers;
}

}  // namespace hydra
