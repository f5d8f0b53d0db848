// Writes numbered lines as numbered-lines does, one write(2) each, as fast as
// it can for as many seconds as the argument says. Then a last line: "end", how
// many they were, and the longest time that a write took, in microseconds.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { kLine = 16 };

static long long Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

int main(int argc, char** argv) {
  long long end = Now() + (argc > 1 ? atoll(argv[1]) : 1) * 1000000LL;
  unsigned long long number = 0;
  long long longest = 0;
  char line[kLine + 1];
  for (long long before = Now(); before < end;) {
    snprintf(line, sizeof(line), "%015llu\n", number++);
    if (write(1, line, kLine) != kLine) return 1;
    long long after = Now();
    if (after - before > longest) longest = after - before;
    before = after;
  }
  printf("end %llu %lld\n", number, longest);
  return 0;
}
