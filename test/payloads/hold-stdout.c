// Leaves a daemon behind that holds standard output open for as many seconds
// as the argument says, prints a line and exits with status 7 at once.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
  unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
  pid_t child = fork();
  if (child == 0) {
    setsid();
    if (fork() == 0) {
      sleep(seconds);
      _exit(0);
    }
    _exit(0);
  }
  if (child < 0) return 1;
  puts("parent leaves");
  fflush(stdout);
  return 7;
}
