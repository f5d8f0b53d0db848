// A mount namespace and a directory of a test's own, and a census of what a
// process may leave behind. Root only.

#ifndef HYDRA_TEST_UNIT_MOUNT_SANDBOX_H_
#define HYDRA_TEST_UNIT_MOUNT_SANDBOX_H_

#include <string>
#include <vector>

namespace hydra {

// What the functions under test must not change, other than by the mounts
// that are asked for.
struct Census {
  std::vector<std::string> fds;
  size_t threads = 0;
  std::string working_directory;
  unsigned umask = 0;
  bool children = false;

  bool operator==(const Census&) const = default;
};

Census TakeCensus();

// Moves the process into a new private mount namespace and works in a new
// directory there; both are gone with the object, and no mount is ever seen
// outside. One at a time.
class Sandbox final {
 public:
  Sandbox();
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  const std::string& path() const { return path_; }
  // Makes a directory with its parents and returns its absolute path.
  std::string Dir(const std::string& name) const;
  // Makes a file with its parents and returns its absolute path.
  std::string File(const std::string& name, const std::string& content) const;
  // The mount points in the sandbox, in the order of mountinfo; one that is
  // mounted on twice stands there twice.
  std::vector<std::string> Mounts() const;

 private:
  std::string path_;
};

bool Exists(const std::string& path);
// The content of the file, or "<none>".
std::string Content(const std::string& path);
// The options and type of the topmost mount at `path`, as mountinfo has them.
std::string MountLine(const std::string& path);

// Why the tests of an executable cannot run here, or empty. Each executable
// has one. Before the first test the reason is printed and the process exits
// with ctest's SKIP_RETURN_CODE.
std::string SkipReason();
// The part of it that all have in common.
std::string SandboxSkipReason();

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_MOUNT_SANDBOX_H_
