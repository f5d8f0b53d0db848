#include "shim/systemd/scope.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <fstream>
#include <functional>
#include <iterator>

#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "test/unit/base/eventually.h"
#include "test/unit/systemd/user_manager.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The system bus, for as long as this object lives.
class BusAddress final {
 public:
  explicit BusAddress(const std::string& address) {
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address.c_str(), 1);
  }
  ~BusAddress() { unsetenv("DBUS_SYSTEM_BUS_ADDRESS"); }
};

// A child that does nothing.
class Sleeper final {
 public:
  Sleeper() : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) pause();
  }
  ~Sleeper() { End(); }
  pid_t pid() const { return pid_; }
  void End() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  bool IsIn(const std::string& cgroup) const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/cgroup");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return text.find(cgroup + "\n") != std::string::npos;
  }

 private:
  const pid_t pid_;
};

Scope ScopeOf(const Sleeper& sleeper) {
  return {.name = "hydra-test.scope",
          .slice = "system-hydra.slice",
          .description = "A test",
          .pids = {sleeper.pid()}};
}

bool Eventually(const std::function<bool()>& condition) {
  return test::Eventually(condition, std::chrono::seconds(20));
}

TEST_CASE("StartScope without a bus is Unavailable", "[scope]") {
  const BusAddress bus("unix:path=/nonexistent/bus");
  const Sleeper sleeper;
  CHECK(absl::IsUnavailable(
      StartScope(ScopeOf(sleeper), std::chrono::seconds(1))));
}

TEST_CASE("StartScope does not wait for a bus that says nothing", "[scope]") {
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // Abstract: the kernel chooses the name.
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
               sizeof(sa_family_t)) == 0);
  REQUIRE(listen(listener.get(), 1) == 0);
  socklen_t size = sizeof(address);
  REQUIRE(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address),
                      &size) == 0);
  const BusAddress bus("unix:abstract=" +
                       std::string(address.sun_path + 1,
                                   size - offsetof(sockaddr_un, sun_path) - 1));
  const Sleeper sleeper;
  const auto begin = steady_clock::now();
  CHECK(absl::IsDeadlineExceeded(
      StartScope(ScopeOf(sleeper), milliseconds(100))));
  CHECK(steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST_CASE("StartScope puts processes into a scope that ends with them",
          "[scope]") {
  const std::string why_not = UserManager::WhyNot();
  if (!why_not.empty()) {
    WARN("skipped: " << why_not);
    exit(77);
  }
  const UserManager manager;
  const BusAddress bus(manager.BusAddress());
  Sleeper sleeper;
  const Scope scope = ScopeOf(sleeper);
  absl::Status status;
  // It takes a moment to start.
  REQUIRE(Eventually([&] {
    status = StartScope(scope, std::chrono::seconds(10));
    return !absl::IsUnavailable(status);
  }));
  INFO(Message(status));
  REQUIRE(status.ok());
  // Now, not at some time: that is what the waiting is for.
  CHECK(sleeper.IsIn("/system.slice/system-hydra.slice/hydra-test.scope"));

  // The name is taken for as long as the process lives, and no longer.
  const Sleeper second;
  Scope other = scope;
  other.pids = {second.pid()};
  CHECK(StartScope(other, std::chrono::seconds(10)).code() ==
        absl::StatusCode::kUnknown);
  CHECK_FALSE(second.IsIn("/hydra-test.scope"));
  sleeper.End();
  CHECK(Eventually(
      [&] { return StartScope(other, std::chrono::seconds(10)).ok(); }));
}

}  // namespace
}  // namespace hydra
