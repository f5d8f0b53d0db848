#include "shim/state/instances.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <tuple>

#include "shim/base/status.h"
#include "shim/state/paths.h"

namespace hydra {
namespace {

namespace fs = std::filesystem;

// The names of the directories in `path`. One that is gone has none.
absl::StatusOr<std::vector<std::string>> Directories(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    if (it->symlink_status(gone).type() != fs::file_type::directory) continue;
    const std::string name = it->path().filename();
    if (name.front() != '.') names.push_back(name);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoError(error.value(), "read directory", path);
  }
  return names;
}

}  // namespace

absl::StatusOr<std::vector<FoundInstance>> FindInstances(
    const std::string& run_directory) {
  std::vector<FoundInstance> found;
  HYDRA_ASSIGN_OR_RETURN(const std::vector<std::string> engines,
                         Directories(run_directory));
  for (const std::string& engine : engines) {
    const std::string in_engine = run_directory + "/" + engine;
    HYDRA_ASSIGN_OR_RETURN(const std::vector<std::string> namespaces,
                           Directories(in_engine));
    for (const std::string& ns : namespaces) {
      HYDRA_ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                             Directories(in_engine + "/" + ns));
      for (std::string id : ids) {
        // See "No two names clash" in paths.h.
        if (id.back() == '+') id.pop_back();
        const absl::StatusOr<InstancePaths> paths =
            PathsInEngine(run_directory, engine, {"", ns, id});
        // A directory that no instance can have is somebody else's.
        if (paths.ok()) found.push_back({engine, ns, id, paths->socket});
      }
    }
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::tie(a.container_namespace, a.id, a.engine) <
           std::tie(b.container_namespace, b.id, b.engine);
  });
  return found;
}

}  // namespace hydra
