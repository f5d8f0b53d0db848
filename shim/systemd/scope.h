// A transient scope unit of systemd: a cgroup of its own for processes that
// somebody else has started, asked for over D-Bus
// (org.freedesktop.systemd1(5), systemd.scope(5)).
//
// For a process with one thread; nothing stays open.

#ifndef HYDRA_SYSTEMD_SCOPE_H_
#define HYDRA_SYSTEMD_SCOPE_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hydra {

struct Scope {
  std::string name;  // With ".scope"; no other unit may have it.
  std::string slice;
  std::string description;
  std::vector<pid_t> pids;
};

// Whether systemd is the machine's init, as sd_booted(3) finds out.
bool SystemdRuns();

// Has systemd make the scope with the processes in it, and waits until they
// are there. The scope goes by itself when its last process ends, also if that
// one failed; an orderly shutdown of the machine does not stop it before the
// engines (systemd.special(7), "shutdown.target").
//
// The bus is $DBUS_SYSTEM_BUS_ADDRESS or the system's. Unavailable: no bus,
// or nobody there who is systemd. DeadlineExceeded: not done within
// `timeout`; the processes may be moved later. Only connect(2) is not bounded
// by it: it waits for as long as the bus lets it queue. Unknown: what systemd
// said.
absl::Status StartScope(const Scope& scope, std::chrono::milliseconds timeout);

}  // namespace hydra

#endif  // HYDRA_SYSTEMD_SCOPE_H_
