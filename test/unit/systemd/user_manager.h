// A real systemd, as a user manager, with a real bus: it makes scopes by the
// same interface as the machine's, and needs no machine of its own.
//
// It has a cgroup and a mount namespace to itself. In that, everything but its
// own directory is read-only and /run is empty: whatever it may try, the
// machine stays as it is. It knows no units but those of the test.

#ifndef HYDRA_TEST_UNIT_SYSTEMD_USER_MANAGER_H_
#define HYDRA_TEST_UNIT_SYSTEMD_USER_MANAGER_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace hydra {

class UserManager final {
 public:
  // Why it cannot run here; empty if it can.
  static std::string WhyNot();

  UserManager();
  UserManager(const UserManager&) = delete;
  UserManager& operator=(const UserManager&) = delete;
  // Ends it with all that is in its cgroups, and removes those.
  ~UserManager();

  // For $DBUS_SYSTEM_BUS_ADDRESS.
  std::string BusAddress() const { return "unix:path=" + directory_ + "/bus"; }

 private:
  void WriteUnits() const;
  [[noreturn]] void Execute() const;
  // Of all processes in its cgroups, and those below.
  bool KillAll() const;

  std::string directory_;
  std::vector<std::string> cgroups_;
  pid_t pid_ = -1;
};

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_SYSTEMD_USER_MANAGER_H_
