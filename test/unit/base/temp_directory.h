// A directory that is gone, with all that is in it, when the test ends.

#ifndef HYDRA_TEST_UNIT_BASE_TEMP_DIRECTORY_H_
#define HYDRA_TEST_UNIT_BASE_TEMP_DIRECTORY_H_

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace hydra {

class TempDirectory final {
 public:
  TempDirectory() {
    char name[] = "/tmp/hydra-unit-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    CHECK_FALSE(std::filesystem::exists(path_, ignored));
  }

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const {
    return path_ + "/" + std::string(name);
  }

 private:
  std::string path_;
};

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_BASE_TEMP_DIRECTORY_H_
