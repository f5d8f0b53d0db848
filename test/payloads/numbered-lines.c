// Writes as many bytes of numbered lines as the argument says: each line is 15
// decimal digits and a line feed, counted from zero, the last one cut short.
// With a second argument, to that descriptor instead of standard output.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kLine = 16, kLines = 4096 };

int main(int argc, char** argv) {
  unsigned long long left = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
  int fd = argc > 2 ? atoi(argv[2]) : 1;
  unsigned long long number = 0;
  static char block[kLine * kLines + 1];
  while (left > 0) {
    for (int i = 0; i < kLines; ++i) {
      snprintf(block + i * kLine, kLine + 1, "%015llu\n", number++);
    }
    size_t size = left < sizeof(block) - 1 ? (size_t)left : sizeof(block) - 1;
    left -= size;
    for (size_t done = 0; done < size;) {
      ssize_t n = write(fd, block + done, size - done);
      if (n < 0) return 1;
      done += (size_t)n;
    }
  }
  return 0;
}
