#include "test/integration/harness/containerd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "test/integration/harness/files.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

bool Connects(const std::string& path) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) == 0;
}

// Plugins that are not tested here, and want something of the machine.
constexpr std::array<const char*, 6> kNotWanted = {
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper"};
// Those of CRI, under the names that they have had.
constexpr std::array<const char*, 4> kCri = {
    "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.podsandbox.controller.v1.podsandbox"};

// The address in a bundle's bootstrap.json, which containerd 2 writes.
std::string BootstrapAddress(const std::string& bundle) {
  const auto bootstrap = nlohmann::json::parse(
      ReadFile(bundle + "/bootstrap.json").value_or(""), nullptr, false);
  return bootstrap.is_object() ? bootstrap.value("address", "") : "";
}

}  // namespace

std::string TestRuntime() {
  const char* name = getenv("HYDRA_TEST_RUNTIME");
  return name == nullptr ? kHydraRuntime : name;
}

std::string BinaryDirectory() {
  const char* directory = getenv("HYDRA_TEST_BIN_DIR");
  return directory == nullptr ? HYDRA_TEST_DEFAULT_BIN_DIR : directory;
}

std::string ShimProgram(const std::string& runtime) {
  const size_t version = runtime.rfind('.');
  const size_t name = runtime.rfind('.', version - 1);
  return "containerd-shim-" + runtime.substr(name + 1, version - name - 1) +
         "-" + runtime.substr(version + 1);
}

std::string FindShim(const std::string& runtime, const Engine& engine) {
  const std::string program = ShimProgram(runtime);
  const std::string built = BinaryDirectory() + "/" + program;
  return access(built.c_str(), X_OK) == 0 ? built : engine.Program(program);
}

Containerd::Containerd(ContainerdOptions options)
    : options_(std::move(options)) {
  directory_ = MakeMarkedDirectory();
  mark_ = fs::path(directory_).filename();
  ns_ = options_.ns.empty() ? mark_ : options_.ns;
  fs::create_directory(fifo_directory());
  const std::string log = directory_ + "/containerd.log";
  log_.Reset(
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  Start();
}

Containerd::~Containerd() {
  Stop();
  RemoveLeftovers(mark_, directory_);
}

std::string Containerd::Configuration() const {
  std::string text = engine().major() < 2 ? "version = 2\n" : "version = 3\n";
  text += "root = \"" + directory_ + "/root\"\n";
  text += "state = \"" + directory_ + "/state\"\n";
  text += "disabled_plugins = [";
  for (const char* plugin : kNotWanted)
    text += '"' + std::string(plugin) + "\", ";
  if (!options_.cri) {
    for (const char* plugin : kCri) text += '"' + std::string(plugin) + "\", ";
  }
  text += "]\n";
  text += "[grpc]\naddress = \"" + socket() + "\"\n";
  text += "[ttrpc]\naddress = \"" + ttrpc_socket() + "\"\n";
  if (options_.cri) text += options_.cri(*this);
  return text;
}

void Containerd::Start(const Engine& engine) {
  options_.engine = engine;
  Start();
}

void Containerd::Start() {
  const std::string configuration = directory_ + "/config.toml";
  WriteFile(configuration, Configuration());
  SessionOptions session;
  session.environment = {"PATH=" + BinaryDirectory() + ":" + engine().Path()};
  if (options_.private_state) {
    session.environment.push_back("HYDRA_RUN_DIR=" + hydra_directory());
    session.environment.push_back("HYDRA_STATE_DIR=" + directory_ + "/spool");
  }
  session.directory = directory_;
  session.output_fd = log_.get();
  std::vector<std::string> command = {engine().Program("containerd"),
                                      "--log-level", "debug", "--config",
                                      configuration};
  if (options_.private_network) {
    command.insert(command.begin(), {"unshare", "--net", "--"});
  }
  process_ = std::make_unique<Session>(command, session);
  const bool ready = Eventually([this] {
    return process_->Wait(Milliseconds(1)).has_value() || Connects(socket());
  });
  if (!ready || process_->Wait(Milliseconds(1)).has_value()) {
    FAIL("containerd does not start:\n" << LogTail());
  }
}

void Containerd::Stop() {
  if (process_ == nullptr) return;
  process_->Signal(SIGTERM);
  (void)process_->Wait(Milliseconds(10'000));  // The destructor kills.
  process_.reset();
}

void Containerd::Kill() { process_.reset(); }

std::string Containerd::bundle(const std::string& id) const {
  return directory_ + "/state/io.containerd.runtime.v2.task/" + ns_ + "/" + id;
}

std::string Containerd::shim_socket(const std::string& id) const {
  constexpr std::string_view kScheme = "unix://";
  std::string address = ReadFile(bundle(id) + "/address").value_or("");
  if (address.empty()) address = BootstrapAddress(bundle(id));
  if (address.rfind(kScheme, 0) == 0) address.erase(0, kScheme.size());
  return address;
}

std::vector<std::string> Containerd::CtrCommand(
    const std::vector<std::string>& arguments) const {
  std::vector<std::string> command = {engine().Program("ctr"), "--address",
                                      socket(), "--namespace", ns_};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string Containerd::LogTail(size_t bytes) const {
  const std::string log =
      ReadFile(directory_ + "/containerd.log").value_or("(no log)");
  return log.size() > bytes ? log.substr(log.size() - bytes) : log;
}

std::vector<std::string> Containerd::Leftovers() const {
  std::set<pid_t> expected;
  if (process_ != nullptr) expected.insert(process_->pid());
  const std::string runtime =
      directory_ + "/state/io.containerd.runtime.v2.task/" + ns_;
  const std::string work =
      directory_ + "/root/io.containerd.runtime.v2.task/" + ns_;
  std::vector<std::string> found =
      FindLeftovers(mark_, expected, {runtime, work, directory_ + "/fifo"});
  std::error_code error;
  for (const auto& entry :
       fs::recursive_directory_iterator(hydra_directory(), error)) {
    if (!entry.is_directory()) found.push_back("file " + entry.path().string());
  }
  return found;
}

std::vector<std::string> Containerd::AwaitNoLeftovers(
    Milliseconds limit) const {
  std::vector<std::string> leftovers;
  Eventually(
      [&] {
        leftovers = Leftovers();
        return leftovers.empty();
      },
      limit);
  return leftovers;
}

void Containerd::CheckLeftovers() const {
  const std::vector<std::string> leftovers = AwaitNoLeftovers();
  for (const std::string& one : leftovers)
    UNSCOPED_INFO("left behind: " << one);
  CHECK(leftovers.empty());
}

}  // namespace hydra::testing
