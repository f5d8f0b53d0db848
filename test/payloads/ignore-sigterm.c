// Ignores SIGTERM, says so, and waits for a signal that it cannot ignore.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
  signal(SIGTERM, SIG_IGN);
  puts("ignoring");
  fflush(stdout);
  for (;;) pause();
}
