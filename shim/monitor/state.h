// The monitor's whole state as bytes, for the program that takes its place.
//
// A monitor that is upgraded writes its state into a memory file and executes
// the new program in its own process, which reads it: pids, children,
// descriptors, signals that wait and the working directory stay as they are.
//
// Format, numbers of 8 bytes in the machine's byte order:
//   magic     "HYDRAMON"
//   version   of the writer's format (kStateVersion)
//   oldest    the lowest version that can read this
//   records   the sections: each begins with its StateSection
//   hash      FNV-1a, 64 bits, of all that stands before it
// A record is its length and then its fields: numbers, bytes (a length and as
// many bytes), lists (a length and then records). A descriptor is its number.
//
// Rule for changes. Fields are only added, at the end of a record, and sections
// are only added. A reader takes zero for a field that is not there, and so
// zero must mean "as before"; it skips fields and sections that it does not
// know, and closes the descriptors that nobody took. So versions may differ
// both ways. `kStateVersion` goes up with each such change. `oldest` goes up
// only for what an older reader must not pass over, and is written only by a
// state that holds such a thing: it is always the lowest that will do, so that
// a downgrade is refused only if it would lose something.
//
// Convention. Each class with state has
//   void Save(StateWriter*) const   writes the fields of a record
//   void Load(StateReader*)         reads the same fields in the same order
// and, if it watches descriptors, Resume(), which registers them. Load touches
// nothing but the object, so that a trial run can call it as well.
//
// Libc and standard headers only. Not thread-safe.

#ifndef HYDRA_MONITOR_STATE_H_
#define HYDRA_MONITOR_STATE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "shim/base/unique_fd.h"

namespace hydra::monitor {

#ifdef HYDRA_TEST_STATE_NEXT
inline constexpr uint64_t kStateVersion = 2;
#else
inline constexpr uint64_t kStateVersion = 1;
#endif

// Numbers are never used again.
enum class StateSection : uint64_t {
  kMonitor = 1,
  kUpgrade = 2,
  kHead = 3,
  kServer = 4,
  kOperations = 5,
  kProcesses = 6,
  kStore = 7,
  kStreams = 8,
  kPublications = 9,
  kGrpc = 10,
  kJournals = 11,
  kTestOnly = 1000,  // Of the test build whose format is a later one.
};

class StateWriter {
 public:
  StateWriter();

  // The section's record; ended with EndRecord.
  void BeginSection(StateSection section);
  void BeginRecord() { Begin(); }
  void EndRecord();
  // Holds nothing but records.
  void BeginList() { Begin(); }
  void EndList() { End(); }

  void Number(uint64_t value);
  void Signed(int64_t value) { Number(static_cast<uint64_t>(value)); }
  void Bytes(std::string_view bytes);
  // A plain struct, which may grow at its end.
  template <typename T>
  void Struct(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    Bytes({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  // A descriptor that goes along, or none. It stays the caller's.
  void Fd(const UniqueFd& fd);

  // A reader below `version` must refuse.
  void NeedsVersion(uint64_t version);

  // All of it. The last call.
  std::string Finish();
  // Those that go along.
  const std::vector<int>& fds() const { return fds_; }

 private:
  void Begin();
  void End();

  std::string bytes_;
  std::vector<size_t> open_;  // Where the lengths of open records stand.
  std::vector<int> fds_;
};

class StateReader {
 public:
  enum class Mode {
    kTrial,  // Descriptors are only checked for sense; they are not here.
    kTake,   // Descriptors are taken.
  };

  // `state` stays the caller's, and outlives this. What is wrong with it is
  // told by error().
  StateReader(std::string_view state, Mode mode);

  // Enters a section's record; false if there is none.
  bool BeginSection(StateSection section);
  // Enters the next record of a list; false if there is none.
  bool BeginRecord();
  // Leaves a record, with the fields that were not read.
  void EndRecord() { End(); }
  void BeginList();
  void EndList() { End(); }

  // Zero, empty or none if the writer had no such field.
  uint64_t Number();
  int64_t Signed() { return static_cast<int64_t>(Number()); }
  template <typename T>
  T As() {
    return static_cast<T>(Number());
  }
  std::string_view Bytes();
  template <typename T>
  T Struct() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    const std::string_view bytes = Bytes();
    if (!bytes.empty()) {
      memcpy(&value, bytes.data(),
             bytes.size() < sizeof(T) ? bytes.size() : sizeof(T));
    }
    return value;
  }
  UniqueFd Fd();

  // 0; EBADMSG: not a whole state; ENOTSUP: for later versions only.
  int error() const { return error_; }
  // Something does not fit together: EBADMSG.
  void Fail();
  uint64_t version() const { return version_; }
  uint64_t oldest() const { return oldest_; }
  // Those that were taken, in no order.
  const std::vector<int>& fds() const { return fds_; }

 private:
  size_t left() const { return ends_.empty() ? 0 : ends_.back() - at_; }
  void End();

  std::string_view bytes_;
  Mode mode_;
  int error_ = 0;
  uint64_t version_ = 0;
  uint64_t oldest_ = 0;
  size_t at_ = 0;
  std::vector<size_t> ends_;  // Of what is entered; the first is the whole.
  std::vector<int> fds_;
};

// A memory file with `state`, close-on-exec; not valid with errno.
UniqueFd MakeStateFile(std::string_view state);
// What it holds. 0 or an errno: EBADMSG if it holds no state of any version.
int ReadStateFile(int fd, std::string* state);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_STATE_H_
