// What the command prints: for people or, with --format json, for programs.
//
// Every JSON object begins with "schema", the version of what this command
// prints; names keep their meaning within one, and are only added. Times are
// RFC 3339 in UTC with nanoseconds, sizes bytes. README has the list.
//
// Main thread.

#ifndef HYDRA_CMD_HYDRA_OUTPUT_H_
#define HYDRA_CMD_HYDRA_OUTPUT_H_

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cmd/hydra/verb.h"

namespace hydra::command {

using Json = nlohmann::ordered_json;

inline constexpr int kSchema = 1;

// An object in a line of its own, on standard output. write(2)'s errno; the
// next one need not be tried.
absl::Status PrintJson(const Json& object);
absl::Status Print(std::string_view text);

// An error on standard error, as the invocation has its output. `container` is
// the one that it is about, if there are several; `hint` what to do about it,
// if there is more to be said than the status's code does.
void Complain(bool json, const std::string& verb, const absl::Status& status,
              const std::string& container = {}, std::string hint = {});
// A note for people on standard error; nothing with --format json.
void Note(const Invocation& invocation, const std::string& text);

// Bytes of a container as JSON: "data" if they are UTF-8, else "data_base64".
void AddData(std::string_view data, Json* object);

// Columns as wide as what is in them, two blanks between them.
class Table final {
 public:
  explicit Table(std::vector<std::string> heads) { Add(std::move(heads)); }
  void Add(std::vector<std::string> cells) {
    rows_.push_back(std::move(cells));
  }
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// Unix nanoseconds; null for 0 as JSON, empty as text.
Json TimeJson(int64_t nanoseconds);
std::string TimeText(int64_t nanoseconds);
// "3 minutes".
std::string DurationText(std::chrono::nanoseconds duration);
// "1.5MiB".
std::string SizeText(uint64_t bytes);
// "exited", ...
std::string StatusText(int containerd_status);

// Whether standard output, or error, is a terminal that has colours and whose
// user wants them (no-color.org).
bool HasColors(int fd);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_OUTPUT_H_
