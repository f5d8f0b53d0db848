// The recorded trees in testdata/, and trees that a test makes itself.
//
// Numbers in testdata/ are made so that every field has its own.

#ifndef HYDRA_TEST_UNIT_CGROUP_RECORDED_TREE_H_
#define HYDRA_TEST_UNIT_CGROUP_RECORDED_TREE_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "shim/cgroup/cgroup.h"

namespace hydra {

// The cgroup's name in the trees.
inline constexpr std::string_view kRecordedId = "5d1f0e6c2b7a4938";

inline CgroupHost RecordedHost(CgroupMode mode) {
  return {.prefix = std::string(HYDRA_CGROUP_TESTDATA) +
                    (mode == CgroupMode::kV1 ? "/v1" : "/v2"),
          .mode = mode};
}

// A directory that goes away with the object.
class TemporaryTree final {
 public:
  TemporaryTree() {
    std::string path =
        std::filesystem::temp_directory_path() / "hydra-cgroup-XXXXXX";
    if (mkdtemp(path.data()) != nullptr) path_ = path;
  }
  TemporaryTree(const TemporaryTree&) = delete;
  TemporaryTree& operator=(const TemporaryTree&) = delete;
  ~TemporaryTree() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }

  const std::string& path() const { return path_; }

  // Makes the directories on the way, too. Writes in place, as the kernel's
  // files change: the inode stays.
  void Write(const std::string& name, std::string_view content) const {
    std::filesystem::path file = path_ + "/" + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << content;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Remove(const std::string& name) const {
    std::filesystem::remove_all(path_ + "/" + name);
  }

 private:
  std::string path_;
};

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_CGROUP_RECORDED_TREE_H_
