// Small file operations of the tests. Any thread.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_FILES_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_FILES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hydra::testing {

// The whole file, pseudo-files of /proc and /sys included; nullopt if it
// cannot be read.
std::optional<std::string> ReadFile(const std::string& path);

// False if `path` cannot be created or written.
bool WriteFile(const std::string& path, std::string_view content);

// The lines without their ends.
std::vector<std::string> Lines(std::string_view text);

// The words between white space.
std::vector<std::string> Words(std::string_view line);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_FILES_H_
