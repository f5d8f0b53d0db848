// Writes a stream of checked-stream.h to standard output, then exits.
//
// usage: checked-stream SEED BYTES CHUNK PAUSE_MS EXIT_CODE [hang]
//   CHUNK bytes at a time, with a pause between them. SIGTERM ends the stream
//   where it is; with `hang` nothing else does, and BYTES is a bound.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checked-stream.h"

static volatile sig_atomic_t ended;

static void OnTerm(int signal) {
  (void)signal;
  ended = 1;
}

static int WriteAll(const unsigned char* data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = write(1, data + done, size - done);
    if (n < 0) return 0;
    done += (size_t)n;
  }
  return 1;
}

static void Put(unsigned char* to, uint64_t value) {
  for (int i = 0; i < 8; ++i) to[i] = (unsigned char)(value >> 8 * i);
}

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  struct StreamGenerator generator;
  StreamStart(&generator, strtoull(argv[1], NULL, 10));
  const uint64_t bytes = strtoull(argv[2], NULL, 10);
  const size_t chunk = strtoul(argv[3], NULL, 10);
  const long pause_ms = atol(argv[4]);
  const int code = atoi(argv[5]);
  if (chunk == 0 || chunk > kStreamMaxChunk) return 2;

  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = OnTerm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, NULL);

  static unsigned char frame[3 + kStreamMaxChunk];
  const struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000};
  while (!ended && generator.count < bytes) {
    const uint64_t left = bytes - generator.count;
    const size_t size = left < chunk ? (size_t)left : chunk;
    frame[0] = kStreamChunk;
    frame[1] = (unsigned char)size;
    frame[2] = (unsigned char)(size >> 8);
    for (size_t i = 0; i < size; ++i) frame[3 + i] = StreamNext(&generator);
    if (!WriteAll(frame, 3 + size)) return 1;
    if (pause_ms > 0) nanosleep(&pause, NULL);
  }
  if (argc > 6) {
    sigset_t term, old;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &old);
    while (!ended) sigsuspend(&old);
  }
  frame[0] = kStreamEnd;
  Put(frame + 1, generator.count);
  Put(frame + 9, generator.sum);
  return WriteAll(frame, 17) ? code : 1;
}
