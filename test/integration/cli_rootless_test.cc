// hydra for an ordinary user: containers of its own, as far as runc can make
// them, and nothing of anybody else's.

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/containerd.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

// Nobody's on any machine.
constexpr uid_t kUser = 54321;

class RootlessTest : public CliTest {
 public:
  RootlessTest() {
    chmod(directory().c_str(), 0755);
    for (const char* name : {"xdg", "home"}) {
      fs::create_directory(directory() + "/" + name);
      (void)chown((directory() + "/" + name).c_str(), kUser, kUser);
    }
  }
  ~RootlessTest() {
    (void)AsUser({BinaryDirectory() + "/hydra", "rm", "-f", "c"});
  }

  Result AsUser(const Arguments& command,
                const Arguments& environment = {}) const {
    RunOptions options;
    options.session.environment =
        Join({"XDG_RUNTIME_DIR=" + directory() + "/xdg",
              "HOME=" + directory() + "/home"},
             environment);
    const std::string id = std::to_string(kUser);
    return Run(
        Join({"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"},
             command),
        options);
  }
  Result HydraAsUser(const Arguments& arguments) const {
    return AsUser(
        Join({BinaryDirectory() + "/hydra", "-n", mark()}, arguments));
  }
  Json JsonAsUser(const Arguments& arguments) const {
    const Result result = HydraAsUser(Join({"--format", "json"}, arguments));
    if (result.status != 0) FAIL(arguments[0] << ": " << result.err);
    return ParseLines(result.out).at(0);
  }
  // Why not; empty: it can be tried.
  std::string Missing() const {
    if (AsUser({BinaryDirectory() + "/hydra", "version"}).status != 0) {
      return "an ordinary user cannot execute " + BinaryDirectory();
    }
    if (AsUser({"unshare", "--user", "--map-root-user", "true"}).status != 0) {
      return "an ordinary user cannot make a user namespace here";
    }
    return {};
  }
};

TEST_CASE_METHOD(RootlessTest, "Containers of an ordinary user",
                 "[cli][hydra][rootless]") {
  const std::string missing = Missing();
  if (!missing.empty()) HYDRA_SKIP(missing);
  const auto run = [this](const Arguments& flags, const Arguments& command) {
    return HydraAsUser(RunArguments(flags, command));
  };
  const Result result =
      run({"--rm"}, {"sh", "-c", "id -u; echo err >&2; exit 7"});
  INFO(result.err);
  CHECK(result.status == 7);
  CHECK(result.out == "0\n");
  CHECK(run({"--rm", "--network", "host"}, {"true"}).status == 0);
  CHECK(run({"--rm"}, {"nosuch"}).status == 127);

  REQUIRE(run({"-d", "--name", "c"}, {"sleep", "1000"}).status == 0);
  CHECK(fs::exists(directory() + "/xdg/hydra/local/" + mark() + "/c.sock"));
  CHECK(JsonAsUser({"ps"})["status"] == "running");
  const pid_t pid = JsonAsUser({"inspect", "c"})["container"]["pid"];
  struct stat info = {};
  REQUIRE(stat(("/proc/" + std::to_string(pid)).c_str(), &info) == 0);
  CHECK(info.st_uid == kUser);
  CHECK(HydraAsUser({"exec", "c", "sh", "-c", "exit 4"}).status == 4);
  // Its own processes, and nobody else's.
  const Result top = HydraAsUser({"top", "--format", "json", "c"});
  INFO(top.err);
  const std::vector<Json> processes = ParseLines(top.out);
  REQUIRE(processes.size() == 1);
  CHECK(processes[0]["pid"] == pid);
  // What needs a cgroup works where the user has one, and else says so.
  for (const Arguments& verb : std::vector<Arguments>{
           {"pause", "c"}, {"unpause", "c"}, {"stats", "c"}}) {
    const Result tried = HydraAsUser(verb);
    CAPTURE(verb[0], tried.err);
    const bool is_told =
        tried.status == 1 && tried.err.find("cgroup") != std::string::npos;
    CHECK((tried.status == 0 || verb[0] == "unpause" || is_told));
  }
  const Result limited = run({"--rm", "-m", "64m"}, {"true"});
  CHECK(
      (limited.status == 0 || limited.err.find("cgroup") != std::string::npos));
  CHECK(JsonAsUser({"restart", "-t", "0", "c"})["changed"] == true);
  CHECK(JsonAsUser({"stop", "-t", "0", "c"})["exit_status"] == 137);
  CHECK(HydraAsUser({"rm", "c"}).status == 0);
  CHECK(HydraAsUser({"ps", "-aq"}).out.empty());
  // Root's are not listed, and these are not root's by default.
  std::error_code error;
  CHECK(Eventually(
      [&] { return !fs::exists(directory() + "/xdg/hydra/local", error); }));
}

TEST_CASE_METHOD(RootlessTest, "Nobody else reaches a container",
                 "[cli][hydra][rootless]") {
  Start("c", {"sleep", "1000"});
  const fs::path socket = Inspect("c")["socket"].get<std::string>();
  const auto mode = [](const fs::path& path) {
    struct stat info = {};
    stat(path.c_str(), &info);
    return info.st_mode & 07777;
  };
  CHECK(mode(socket) == 0600);
  CHECK(mode(socket.parent_path()) == 0711);
  CHECK(mode(run_directory() + "/local/" + mark() + "/c") == 0700);
  CHECK((mode(state_directory() + "/local/" + mark() + "/c") & 077) == 0);

  if (AsUser({BinaryDirectory() + "/hydra", "version"}).status != 0) {
    HYDRA_SKIP("an ordinary user cannot execute " + BinaryDirectory());
  }
  const auto refused = [&](const Arguments& verb) {
    const Result result = AsUser(Join(Command({"--format", "json"}), verb),
                                 {"HYDRA_RUN_DIR=" + run_directory(),
                                  "HYDRA_STATE_DIR=" + state_directory()});
    INFO(verb[0] << ": " << result.err << result.out);
    CHECK(result.status != 0);
    const Json error = ParseLines(result.err).at(0)["error"];
    CHECK(error["code"] == "PERMISSION_DENIED");
    CHECK(error["hint"].get<std::string>().find("root") != std::string::npos);
  };
  const std::vector<Arguments> verbs = {
      {"ps", "-a"},  {"stop", "c"},     {"exec", "c", "true"},
      {"logs", "c"}, {"rm", "-f", "c"}, {"inspect", "c"}};
  for (const Arguments& verb : verbs) refused(verb);
  // Where the modes are not in the way, the instance itself is.
  for (fs::path path = socket.parent_path(); path != directory();
       path = path.parent_path()) {
    chmod(path.c_str(), 0755);
  }
  chmod(socket.c_str(), 0666);
  for (const Arguments& verb : verbs) {
    if (verb[0] != "ps") refused(verb);
  }
  CHECK(StatusOf("c") == "running");
}

}  // namespace
}  // namespace hydra::testing
