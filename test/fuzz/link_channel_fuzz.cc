// Messages between monitor and head, read from the socket.

#include <sys/socket.h>

#include "shim/link/channel.h"
#include "test/fuzz/fuzz_input.h"

using hydra::link::Reader;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  int ends[2];
  hydra::Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const hydra::UniqueFd reading(ends[0]);
  hydra::UniqueFd writing(ends[1]);
  hydra::Require(send(writing.get(), data, size, MSG_DONTWAIT) ==
                 static_cast<ssize_t>(size));
  writing.Reset();
  Reader reader;
  while (true) {
    hydra::link::Message message;
    const Reader::Result result = reader.Next(reading.get(), &message);
    if (result == Reader::Result::kAgain) continue;
    if (result != Reader::Result::kMessage) return 0;
    (void)message.Body<hydra::link::Spawn>();
    hydra::Require(message.tail().size() + message.header.body_size ==
                   message.payload.size());
  }
}
