// What the fuzz targets do with their bytes.

#ifndef HYDRA_TEST_FUZZ_FUZZ_INPUT_H_
#define HYDRA_TEST_FUZZ_FUZZ_INPUT_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"

namespace hydra {

inline std::string_view AsText(const uint8_t* data, size_t size) {
  return std::string_view(reinterpret_cast<const char*>(data), size);
}

// Ends the run if a promise of the code under test is broken.
inline void Require(bool condition) {
  if (!condition) abort();
}

// A file with the given content, in memory, that can be opened by its path.
class MemoryFile final {
 public:
  explicit MemoryFile(std::string_view content)
      : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    Require(write(fd_.get(), content.data(), content.size()) ==
            static_cast<ssize_t>(content.size()));
  }
  std::string path() const {
    return "/proc/self/fd/" + std::to_string(fd_.get());
  }

 private:
  UniqueFd fd_;
};

}  // namespace hydra

#endif  // HYDRA_TEST_FUZZ_FUZZ_INPUT_H_
