#include "shim/runtime/state_file.h"

#include "nlohmann/json.hpp"

namespace hydra {
namespace {

using Json = nlohmann::json;

// Takes an object of strings, and nothing else.
class StringsHandler final : public nlohmann::json_sax<Json> {
 public:
  std::map<std::string, std::string> TakeStrings() {
    return std::move(strings_);
  }

  bool start_object(std::size_t) override { return ++depth_ == 1; }
  bool key(string_t& name) override {
    key_ = name;
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ == 0) return false;
    strings_[key_] = value;
    return true;
  }
  bool end_object() override { return true; }

  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  int depth_ = 0;
  std::string key_;
  std::map<std::string, std::string> strings_;
};

}  // namespace

std::map<std::string, std::string> CgroupDirectoriesIn(std::string_view state) {
  // Inside of a string there would be a backslash before the second quote.
  constexpr std::string_view kKey = "\"cgroup_paths\":";
  const size_t found = state.rfind(kKey);
  if (found == state.npos) return {};
  const std::string_view value = state.substr(found + kKey.size());
  StringsHandler handler;
  // Not strict: the rest of the text follows.
  if (!Json::sax_parse(value.begin(), value.end(), &handler,
                       nlohmann::detail::input_format_t::json, false)) {
    return {};
  }
  return handler.TakeStrings();
}

}  // namespace hydra
