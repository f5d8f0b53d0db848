// Writes numbered lines as numbered-lines does, as many at a time as the first
// argument says, and waits as many milliseconds as the second says after each
// time, until SIGTERM. Then a last line: "end", and how many they were.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { kLine = 16, kMost = 4096 };

static volatile sig_atomic_t asked_to_end;

static void OnSignal(int signal) {
  (void)signal;
  asked_to_end = 1;
}

int main(int argc, char** argv) {
  int count = argc > 1 ? atoi(argv[1]) : 1;
  long milliseconds = argc > 2 ? atol(argv[2]) : 0;
  unsigned long long number = 0;
  static char block[kLine * kMost + 1];
  if (count > kMost) count = kMost;
  struct sigaction action = {.sa_handler = OnSignal, .sa_flags = SA_RESTART};
  sigaction(SIGTERM, &action, NULL);
  while (!asked_to_end) {
    for (int i = 0; i < count; ++i) {
      snprintf(block + i * kLine, kLine + 1, "%015llu\n", number++);
    }
    size_t size = (size_t)count * kLine;
    for (size_t done = 0; done < size;) {
      ssize_t n = write(1, block + done, size - done);
      if (n < 0) return 1;
      done += (size_t)n;
    }
    struct timespec pause = {milliseconds / 1000,
                             milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
  }
  printf("end %llu\n", number);
  return 0;
}
