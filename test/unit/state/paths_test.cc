#include "shim/state/paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

const std::string kId(64, 'a');
constexpr char kEngine[] = "/run/containerd/containerd.sock";

class TempDir {
 public:
  TempDir() {
    char path[] = "/tmp/hydra-paths-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    path_ = path;
  }
  // A test leaves only the run directory itself.
  ~TempDir() { CHECK(rmdir(path_.c_str()) == 0); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

mode_t ModeOf(const std::string& path) {
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

TEST_CASE("identifiers are containerd's", "[state]") {
  for (const char* good : {"a", "0", "k8s.io", "moby", "A-b_c.d", "foo.sock"}) {
    CHECK(CheckIdentifier("id", good).ok());
  }
  CHECK(CheckIdentifier("id", std::string(76, 'x')).ok());
  for (const char* bad : {"", ".", "..", "a/b", "/", "../x", "a..b", "-a", "a-",
                          ".a", "a.", "a b", "a\n", "\xc3\xa4", "a._b", "a+"}) {
    const absl::Status status = CheckIdentifier("id", bad);
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Message(status).rfind("id", 0) == 0);
  }
  CHECK(absl::IsInvalidArgument(CheckIdentifier("id", std::string(77, 'x'))));
  CHECK(absl::IsInvalidArgument(
      CheckIdentifier("id", std::string_view("a\0b", 3))));
  CHECK(Message(CheckIdentifier("id", std::string(100'000, 'x'))).size() < 400);
}

TEST_CASE("paths are those of the tree", "[state]") {
  const auto paths = PathsOf("/run/hydra", {kEngine, "moby", kId});
  REQUIRE(paths.ok());
  // printf %s /run/containerd/containerd.sock | sha256sum
  const std::string place = "/run/hydra/1935db59889b/moby/";
  CHECK(paths->directory == place + kId);
  CHECK(paths->socket == place + kId + ".sock");
  CHECK(paths->Address() == "unix://" + place + kId + ".sock");
  CHECK(paths->state == place + kId + "/state.pb");
  CHECK(paths->exits == place + kId + "/exits");
  CHECK(paths->monitor_pid == place + kId + "/monitor.pid");
}

TEST_CASE("no engine is local", "[state]") {
  CHECK(EngineName("") == "local");
  CHECK(EngineName("unix://") == "local");
}

TEST_CASE("spellings of an engine's address are one engine", "[state]") {
  const std::string name = EngineName(kEngine);
  CHECK(name.size() == 12);
  CHECK(EngineName("unix:///run/containerd/containerd.sock") == name);
  CHECK(EngineName("/run//containerd/./containerd.sock") == name);
  CHECK(EngineName("/run/x/../containerd/containerd.sock") == name);
  CHECK(EngineName("/run/containerd/containerd.sock/") == name);
  CHECK(EngineName("/run/docker/containerd/containerd.sock") != name);
}

TEST_CASE("two engines' containers of one name do not meet", "[state]") {
  const auto one = PathsOf("/run/hydra", {"/a.sock", "moby", "x"});
  const auto other = PathsOf("/run/hydra", {"/b.sock", "moby", "x"});
  CHECK(one->directory != other->directory);
  CHECK(one->socket != other->socket);
}

TEST_CASE("a socket path that is too long has a short name", "[state]") {
  // The longest that fits: 107 bytes.
  const std::string run = "/run/hydra";
  const size_t rest = run.size() + 1 + 12 + 1 + 1 + kId.size() + 5;
  const std::string fits(kMaxSocketPath - rest, 'n');
  CHECK(PathsOf(run, {kEngine, fits, kId})->socket.size() == kMaxSocketPath);
  const auto paths = PathsOf(run, {kEngine, fits + "n", kId});
  CHECK(paths->socket.rfind(run + "/1935db59889b/.s/", 0) == 0);
  CHECK(paths->socket.size() == run.size() + 1 + 12 + 4 + 32 + 5);
  CHECK(paths->directory == run + "/1935db59889b/" + fits + "n/" + kId);
  const auto other = PathsOf(run, {kEngine, fits + "m", kId});
  CHECK(other->socket != paths->socket);
}

TEST_CASE("a run directory without room for any socket is refused", "[state]") {
  const auto paths =
      PathsOf("/" + std::string(100, 'r'), {kEngine, "moby", kId});
  CHECK(absl::IsInvalidArgument(paths.status()));
}

TEST_CASE("an id that ends in .sock is no other's socket", "[state]") {
  const auto plain = PathsOf("/run/hydra", {"", "n", "foo"});
  const auto sock = PathsOf("/run/hydra", {"", "n", "foo.sock"});
  CHECK(plain->socket != sock->directory);
  CHECK(sock->directory == "/run/hydra/local/n/foo.sock+");
  CHECK(PathsOf("/run/hydra", {"", "n", "sock"})->directory ==
        "/run/hydra/local/n/sock");
}

TEST_CASE("names that are no identifiers are refused", "[state]") {
  CHECK(absl::IsInvalidArgument(
      PathsOf("/run/hydra", {"", "n", "../../etc"}).status()));
  CHECK(
      absl::IsInvalidArgument(PathsOf("/run/hydra", {"", "..", "x"}).status()));
  CHECK(Message(PathsOf("/run/hydra", {"", "", "x"}).status()) ==
        "namespace: must not be empty");
}

TEST_CASE("The state directory is on disk, or where the variable says",
          "[state]") {
  unsetenv("HYDRA_STATE_DIR");
  if (geteuid() == 0) CHECK(StateDirectory().value() == "/var/lib/hydra");
  const auto restore = absl::MakeCleanup([] { unsetenv("HYDRA_STATE_DIR"); });
  setenv("HYDRA_STATE_DIR", "/tmp/x/", 1);
  CHECK(StateDirectory().value() == "/tmp/x");
  setenv("HYDRA_STATE_DIR", "relative", 1);
  CHECK(absl::IsFailedPrecondition(StateDirectory().status()));
  CHECK(Message(StateDirectory().status()).find("HYDRA_STATE_DIR") == 0);
}

TEST_CASE("HYDRA_RUN_DIR overrides the run directory", "[state]") {
  setenv("HYDRA_RUN_DIR", "/tmp/x/", 1);
  const auto restore = absl::MakeCleanup([] { unsetenv("HYDRA_RUN_DIR"); });
  CHECK(RunDirectory().value() == "/tmp/x");
  setenv("HYDRA_RUN_DIR", "relative", 1);
  CHECK(absl::IsFailedPrecondition(RunDirectory().status()));
  setenv("HYDRA_RUN_DIR", "", 1);
  if (geteuid() == 0) CHECK(RunDirectory().value() == "/run/hydra");
}

TEST_CASE("an instance is made with its modes, and leaves nothing", "[state]") {
  const TempDir run;
  for (const std::string container_namespace : {"n", "a-namespace"}) {
    // The longer one has its socket elsewhere.
    const std::string name =
        container_namespace == "n" ? "n" : std::string(70, 'n');
    const auto paths = PathsOf(run.path(), {kEngine, name, "x"});
    REQUIRE(paths.ok());
    const mode_t mask = umask(077);
    const absl::Status made = MakeInstanceDirectory(*paths);
    umask(mask);
    REQUIRE(made.ok());
    CHECK(ModeOf(paths->engine_directory) == 0711);
    CHECK(ModeOf(paths->namespace_directory) == 0711);
    CHECK(ModeOf(paths->directory) == 0700);
    CHECK(MakeInstanceDirectory(*paths).ok());
    std::ofstream(paths->state) << "x";
    std::ofstream(paths->socket) << "x";
    CHECK(RemoveInstance(*paths).ok());
    CHECK(RemoveInstance(*paths).ok());
    CHECK(std::filesystem::is_empty(run.path()));
  }
}

TEST_CASE("removing an instance leaves its neighbours", "[state]") {
  const TempDir run;
  const auto one = PathsOf(run.path(), {"", "n", "one"});
  const auto two = PathsOf(run.path(), {"", "n", "two"});
  REQUIRE(MakeInstanceDirectory(*one).ok());
  REQUIRE(MakeInstanceDirectory(*two).ok());
  std::ofstream(two->socket) << "x";
  // A link out of the directory is removed, and what it points to is not.
  std::filesystem::create_directory_symlink(two->directory,
                                            one->directory + "/link");
  std::ofstream(two->state) << "x";
  CHECK(RemoveInstance(*one).ok());
  CHECK_FALSE(std::filesystem::exists(one->directory));
  CHECK(std::filesystem::exists(two->state));
  CHECK(std::filesystem::exists(two->socket));
  CHECK(RemoveInstance(*two).ok());
}

TEST_CASE("a directory can be made while neighbours take the parents away",
          "[state]") {
  const TempDir run;
  constexpr int kThreads = 4, kRounds = 200;
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const auto paths =
          PathsOf(run.path(), {"", std::string(70, 'n'), std::to_string(i)});
      for (int round = 0; round < kRounds; ++round) {
        if (!MakeInstanceDirectory(*paths).ok()) ++failures;
        if (!RemoveInstance(*paths).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
}

TEST_CASE("a file in a directory's place is an error that names it",
          "[state]") {
  const TempDir run;
  const auto paths = PathsOf(run.path(), {"", "n", "x"});
  std::ofstream(paths->engine_directory) << "x";
  const absl::Status status = MakeInstanceDirectory(*paths);
  CHECK_FALSE(status.ok());
  CHECK(Message(status).find(paths->directory) != std::string::npos);
  CHECK(unlink(paths->engine_directory.c_str()) == 0);
}

}  // namespace
}  // namespace hydra
