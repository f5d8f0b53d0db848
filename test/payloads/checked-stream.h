/* A stream that tells where it was cut, doubled or mixed up.
 *
 * Frames: 'C', the length in two bytes (little-endian), so many bytes of the
 * generator's; at the end 'E', then the count and the FNV-1a sum of all bytes
 * of the generator's, eight bytes each (little-endian). */
#ifndef HYDRA_TEST_PAYLOADS_CHECKED_STREAM_H_
#define HYDRA_TEST_PAYLOADS_CHECKED_STREAM_H_

#include <stdint.h>

enum { kStreamChunk = 'C', kStreamEnd = 'E', kStreamMaxChunk = 32768 };

struct StreamGenerator {
  uint64_t state;
  uint64_t count;
  uint64_t sum;
};

static inline void StreamStart(struct StreamGenerator* generator,
                               uint64_t seed) {
  generator->state = seed * 2654435769u + 88172645463325252u;
  generator->count = 0;
  generator->sum = 14695981039346656037u;
}

static inline unsigned char StreamNext(struct StreamGenerator* generator) {
  uint64_t x = generator->state;
  unsigned char byte;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  generator->state = x;
  byte = (unsigned char)(x >> 32);
  ++generator->count;
  generator->sum = (generator->sum ^ byte) * 1099511628211u;
  return byte;
}

#endif
