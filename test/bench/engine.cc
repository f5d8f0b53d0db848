#include "test/bench/engine.h"

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "shim/base/status.h"

namespace hydra::bench {
namespace {

// Containers named on one command line.
constexpr size_t kBatch = 100;

template <typename Items>
void Append(std::vector<std::string>* list, const Items& items) {
  list->insert(list->end(), items.begin(), items.end());
}

}  // namespace

Engine::~Engine() {
  (void)Remove(containers_);  // run.sh ends what is left, with the namespace
}

std::string Engine::NewId() {
  static int next_id = 1;
  return "bench-" + std::to_string(next_id++);
}

absl::StatusOr<double> Engine::Ctr(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {"ctr", "--address", setup_.address,
                                   "--namespace", setup_.containerd_namespace};
  Append(&argv, arguments);
  HYDRA_ASSIGN_OR_RETURN(const CommandResult result, RunCommand(argv));
  return static_cast<double>(result.nanoseconds);
}

absl::StatusOr<double> Engine::RunToEnd(
    const Subject& subject, const std::vector<std::string>& command) {
  std::vector<std::string> arguments = {
      "run",           "--rm",          "--net-host",       "--runtime",
      subject.runtime, "--snapshotter", setup_.snapshotter, setup_.image,
      NewId()};
  Append(&arguments, command);
  return Ctr(arguments);
}

absl::StatusOr<double> Engine::RunDetached(const Subject& subject,
                                           const std::string& id) {
  containers_.push_back(id);
  return Ctr({"run", "-d", "--net-host", "--runtime", subject.runtime,
              "--snapshotter", setup_.snapshotter, setup_.image, id,
              "/bin/sleep", "1000000"});
}

absl::Status Engine::Remove(const std::vector<std::string>& ids) {
  const std::vector<std::string> all = ids;
  for (size_t first = 0; first < all.size(); first += kBatch) {
    const size_t last = std::min(first + kBatch, all.size());
    std::vector<std::string> tasks = {"tasks", "delete", "--force"};
    std::vector<std::string> containers = {"containers", "delete"};
    for (size_t i = first; i < last; ++i) {
      tasks.push_back(all[i]);
      containers.push_back(all[i]);
      containers_.erase(
          std::remove(containers_.begin(), containers_.end(), all[i]),
          containers_.end());
    }
    HYDRA_RETURN_IF_ERROR(Ctr(tasks).status());
    HYDRA_RETURN_IF_ERROR(Ctr(containers).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Engine::ShimAddress(const std::string& id) const {
  const std::string path = setup_.state + "/io.containerd.runtime.v2.task/" +
                           setup_.containerd_namespace + "/" + id + "/address";
  std::ifstream file(path);
  std::string address;
  if (!std::getline(file, address)) return ErrnoError(ENOENT, "read", path);
  return address;
}

}  // namespace hydra::bench
