// Messages of protocol.h over a stream socket, with their descriptors.
//
// Used by the monitor and by the head, so: libc and the standard library's
// headers only, no exceptions but out of memory. Not thread-safe: one loop
// owns each object. The socket itself stays the caller's.

#ifndef HYDRA_LINK_CHANNEL_H_
#define HYDRA_LINK_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/protocol.h"

namespace hydra::link {

struct Message {
  Header header = {};
  std::string payload;  // Body and tail.
  std::vector<UniqueFd> fds;

  Type type() const { return static_cast<Type>(header.type); }

  // The body, zero where the sender's was shorter than ours.
  template <typename T>
  T Body() const {
    static_assert(std::is_trivially_copyable_v<T>);
    T body{};
    const size_t size =
        header.body_size < sizeof(T) ? size_t{header.body_size} : sizeof(T);
    memcpy(&body, payload.data(), size);
    return body;
  }
  std::string_view tail() const {
    return std::string_view(payload).substr(header.body_size);
  }
};

// Takes messages off a socket, whole, in order.
class Reader {
 public:
  enum class Result {
    kMessage,  // *message is filled.
    kAgain,    // Nothing whole is there; wait for readability.
    kClosed,   // The peer is gone.
    kError,    // Not our protocol (a length over kMaxMessage, a missing
               // descriptor), or recvmsg(2) failed; errno says which.
  };

  // Reads from `fd` until a message is whole or nothing is left, and never
  // blocks. So kAgain means that the peer, if it is dead, said no more.
  Result Next(int fd, Message* message);

  // What has been read and is no whole message yet, to go on with it later in
  // another object.
  std::string_view buffered() const {
    return std::string_view(buffer_).substr(consumed_);
  }
  const std::deque<UniqueFd>& buffered_fds() const { return fds_; }
  void Restore(std::string_view buffered, std::deque<UniqueFd> fds) {
    buffer_ = buffered;
    consumed_ = 0;
    fds_ = std::move(fds);
  }

 private:
  bool TakeBuffered(Message* message, bool* bad);
  // Reads once; false if nothing came, with *why.
  bool Fill(int fd, Result* why);

  std::string buffer_;
  size_t consumed_ = 0;
  std::deque<UniqueFd> fds_;
};

// Holds messages until the socket takes them.
class Writer {
 public:
  // Queues a message. The descriptors are duplicated, so the caller keeps its
  // own; with EMFILE the message is queued without those that failed, which
  // the reader reports as an error of its own.
  template <typename T>
  requires(!std::is_convertible_v<const T&, std::string_view>) void Add(
      Type type, uint64_t token, uint32_t step, const T& body,
      std::string_view tail = {}, const std::vector<int>& fds = {}) {
    static_assert(std::is_trivially_copyable_v<T>);
    AddRaw(type, token, step,
           std::string_view(reinterpret_cast<const char*>(&body), sizeof(T)),
           tail, fds);
  }
  void Add(Type type, uint64_t token = 0, uint32_t step = 0,
           std::string_view tail = {}, const std::vector<int>& fds = {}) {
    AddRaw(type, token, step, {}, tail, fds);
  }

  // Writes what the socket takes without blocking. False if the peer is gone
  // or sendmsg(2) failed (errno).
  bool Flush(int fd);

  // Writes all of it, waiting. For the head: the monitor always reads.
  bool FlushAll(int fd);

  bool empty() const { return queue_.empty(); }
  // Of the message that goes next; there must be one.
  Type next_type() const {
    Header header;
    memcpy(&header, queue_.front().bytes.data(), sizeof(header));
    return static_cast<Type>(header.type);
  }
  // Bytes not yet taken.
  size_t size() const { return bytes_; }
  // Messages added since the last Clear().
  uint64_t messages() const { return messages_; }
  void Clear();

 private:
  struct Chunk {
    std::string bytes;
    size_t sent = 0;
    std::vector<UniqueFd> fds;  // Go with the chunk's first byte.
  };

  void AddRaw(Type type, uint64_t token, uint32_t step, std::string_view body,
              std::string_view tail, const std::vector<int>& fds);

  std::deque<Chunk> queue_;
  size_t bytes_ = 0;
  uint64_t messages_ = 0;
};

}  // namespace hydra::link

#endif  // HYDRA_LINK_CHANNEL_H_
