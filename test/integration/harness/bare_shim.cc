#include "test/integration/harness/bare_shim.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>

#include "test/integration/harness/files.h"
#include "test/integration/harness/image.h"

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

nlohmann::json MakeSpec(const std::string& cgroup,
                        const std::vector<std::string>& command) {
  nlohmann::json namespaces = nlohmann::json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount", "network"}) {
    namespaces.push_back({{"type", type}});
  }
  return {
      {"ociVersion", "1.0.2"},
      {"process",
       {{"user", {{"uid", 0}, {"gid", 0}}},
        {"args", command},
        {"env", {"PATH=/bin"}},
        {"cwd", "/"}}},
      {"root", {{"path", "rootfs"}}},
      {"hostname", "bare"},
      {"mounts",
       {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
        {{"destination", "/dev"},
         {"type", "tmpfs"},
         {"source", "tmpfs"},
         {"options", {"nosuid", "mode=755", "size=65536k"}}},
        {{"destination", "/dev/pts"},
         {"type", "devpts"},
         {"source", "devpts"},
         {"options", {"nosuid", "noexec", "newinstance", "ptmxmode=0666"}}}}},
      {"linux", {{"cgroupsPath", cgroup}, {"namespaces", namespaces}}},
  };
}

}  // namespace

BareShim::BareShim(const Containerd* engine, const std::string& runtime,
                   const std::string& id,
                   const std::vector<std::string>& command)
    : engine_(engine),
      runtime_(runtime),
      id_(id),
      bundle_(engine->directory() + "/bare/" + id),
      spec_(MakeSpec("/" + engine->ns() + "/" + id, command)) {
  std::filesystem::create_directories(bundle_);
  WriteRootfs(bundle_ + "/rootfs");
  WriteSpec();
  const std::string log = bundle_ + "/log";
  if (mkfifo(log.c_str(), 0700) != 0) FAIL("mkfifo " << log);
  log_.Reset(open(log.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

void BareShim::WriteSpec() const {
  if (!WriteFile(bundle_ + "/config.json", spec_.dump())) {
    FAIL("write " << bundle_ << "/config.json");
  }
}

Result BareShim::RunShim(const std::vector<std::string>& arguments,
                         const std::string& input) const {
  std::vector<std::string> argv = {FindShim(runtime_, engine_->engine()),
                                   "-namespace", engine_->ns(), "-id", id_};
  if (has_engine_) {
    for (const std::string& word :
         {std::string("-address"), engine_->socket(),
          std::string("-publish-binary"), std::string("containerd")}) {
      argv.push_back(word);
    }
  }
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  RunOptions options;
  options.input = input;
  options.session.directory = bundle_;
  if (has_engine_) {
    options.session.environment = {"TTRPC_ADDRESS=" + engine_->ttrpc_socket(),
                                   "GRPC_ADDRESS=" + engine_->socket(),
                                   "NAMESPACE=" + engine_->ns(),
                                   "MAX_SHIM_VERSION=2"};
  }
  options.session.environment.insert(options.session.environment.end(),
                                     environment_.begin(), environment_.end());
  return Run(argv, options);
}

Result BareShim::Start(const std::string& input) {
  constexpr std::string_view kScheme = "unix://";
  Result result = RunShim({"start"}, input);
  if (result.status != 0) return result;
  // containerd 2's own shim answers with JSON.
  const auto json = nlohmann::json::parse(result.out, nullptr, false);
  const std::string address =
      json.is_object() ? json.value("address", "") : result.out;
  if (address.rfind(kScheme, 0) == 0) socket_ = address.substr(kScheme.size());
  return result;
}

Result BareShim::Delete() const {
  return RunShim({"-bundle", bundle_, "delete"}, {});
}

std::unique_ptr<TtrpcClient> BareShim::Connect() const {
  auto client = std::make_unique<TtrpcClient>(socket_, engine_->ns());
  if (!client->connected()) FAIL("cannot connect to '" << socket_ << "'");
  return client;
}

task_api::CreateTaskRequest BareShim::CreateRequest(bool with_streams) const {
  task_api::CreateTaskRequest request;
  request.set_id(id_);
  request.set_bundle(bundle_);
  if (with_streams) {
    request.set_stdin(stream("in"));
    request.set_stdout(stream("out"));
    request.set_stderr(stream("err"));
    for (const char* name : {"in", "out", "err"}) {
      // There already if a reader has made it.
      (void)mkfifo(stream(name).c_str(), 0700);
    }
  }
  return request;
}

FifoReader::FifoReader(const std::string& path) {
  (void)mkfifo(path.c_str(), 0700);  // It may be there.
  fd_.Reset(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd_.valid()) FAIL("open " << path);
}

bool FifoReader::ReadSome(Milliseconds limit) {
  // A FIFO that never had a writer polls as nothing at all, one that lost its
  // last writer as POLLHUP.
  pollfd polled = {fd_.get(), POLLIN, 0};
  if (poll(&polled, 1, static_cast<int>(limit.count())) <= 0) return true;
  std::array<char, 65536> buffer;
  const ssize_t n = read(fd_.get(), buffer.data(), buffer.size());
  if (n > 0) data_.append(buffer.data(), static_cast<size_t>(n));
  return n != 0;
}

bool FifoReader::ReadToEnd(Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (Clock::now() < deadline) {
    if (!ReadSome(Milliseconds(50))) return true;
  }
  return false;
}

bool FifoReader::ReadUntil(const std::string& text, Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (data_.find(text) == std::string::npos) {
    if (Clock::now() >= deadline || !ReadSome(Milliseconds(50))) {
      return data_.find(text) != std::string::npos;
    }
  }
  return true;
}

}  // namespace hydra::testing
