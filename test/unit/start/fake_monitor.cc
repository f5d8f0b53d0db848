// Stands in for hydra-monitor. Writes what it was given into
// $FAKE_MONITOR_REPORT, then does as $FAKE_MONITOR says:
//   (nothing)  reports readiness and waits to be killed
//   exit       ends with status 3 at once
//   refuses    says why it cannot, and ends
//   hang       never reports readiness
//   child      forks a child that waits too, then as without
//   closes     as without, but closes the socket; ends after 100 ms

#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "test/unit/start/report.h"

int main(int argc, char** argv) {
  hydra::test::Report("FAKE_MONITOR_REPORT", argc, argv);
  const char* value = getenv("FAKE_MONITOR");
  const std::string mode = value == nullptr ? "" : value;
  if (mode == "exit") return 3;
  if (mode == "refuses") {
    constexpr std::string_view kWhy = "hydra-monitor: epoll_create1: EMFILE";
    return write(4, kWhy.data(), kWhy.size()) < 0 ? 4 : 1;
  }
  if (mode == "child" && fork() == 0) {
    for (;;) pause();
  }
  if (mode == "closes") close(3);
  if (mode != "hang") {
    if (write(4, "", 1) != 1) return 4;
    close(4);
  }
  if (mode == "closes") {
    poll(nullptr, 0, 100);
    return 0;
  }
  for (;;) pause();
}
