// Touches memory, one mebibyte after the other, until it is killed or has
// eaten what the argument says (in mebibytes); then exits with status 0.
#include <stdlib.h>
#include <string.h>

int main(int argc, char** argv) {
  long mebibytes = argc > 1 ? atol(argv[1]) : 1024;
  for (long i = 0; i < mebibytes; ++i) {
    char* block = malloc(1 << 20);
    if (block == NULL) return 1;
    memset(block, (int)i | 1, 1 << 20);
  }
  return 0;
}
