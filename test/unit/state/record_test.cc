#include "shim/state/record.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

#include "shim/base/file.h"
#include "shim/base/status.h"
#include "test/unit/base/temp_directory.h"

namespace hydra {
namespace {

state::Record SomeRecord() {
  state::Record record;
  record.set_format_version(kRecordVersion);
  record.set_boot_id(BootId());
  record.set_namespace_("blue");
  record.set_id("c1");
  record.set_next_process(3);
  record.set_next_event(7);
  auto* container = record.mutable_container();
  container->set_bundle("/run/bundle");
  container->mutable_init()->set_number(1);
  container->mutable_init()->set_pid(4711);
  container->mutable_init()->set_phase(state::PHASE_RUNNING);
  auto* exec = container->add_execs();
  exec->set_number(2);
  exec->set_exec_id("e1");
  exec->set_spec(std::string("{\0}", 3));
  (*container->mutable_cgroup())["memory"] = "/sys/fs/cgroup/memory/c1";
  auto* outcome = record.add_outcomes();
  outcome->set_token(9);
  outcome->set_response("answer");
  auto* event = record.add_outbox();
  event->set_sequence(6);
  event->set_topic("/tasks/start");
  return record;
}

// Where the first record starts: behind the file's header and the slot's.
constexpr size_t kRecordAt = 16 + 24;

class RecordTest {
 protected:
  RecordTest() : path_(directory_ / "state.pb"), file_(path_) {}
  std::string Bytes() {
    auto bytes = ReadFile(path_, 1 << 20);
    REQUIRE(bytes.ok());
    return *bytes;
  }
  void Write(const std::string& bytes) {
    REQUIRE(ReplaceFile(path_, bytes, 0600).ok());
  }
  std::string LoadError(absl::StatusCode code) {
    const auto loaded = file_.Load();
    CHECK(loaded.status().code() == code);
    return Message(loaded.status());
  }

  TempDirectory directory_;
  const std::string path_;
  RecordFile file_;
};

TEST_CASE_METHOD(RecordTest, "A record is loaded as it was saved") {
  const state::Record record = SomeRecord();
  REQUIRE(file_.Save(record).ok());
  const auto loaded = file_.Load();
  REQUIRE(loaded.ok());
  CHECK(loaded->SerializeAsString() == record.SerializeAsString());
}

TEST_CASE_METHOD(RecordTest, "The second Save replaces the first") {
  state::Record record = SomeRecord();
  REQUIRE(file_.Save(record).ok());
  record.clear_container();
  REQUIRE(file_.Save(record).ok());
  CHECK_FALSE(file_.Load()->has_container());
}

TEST_CASE_METHOD(RecordTest, "No file is NotFound") {
  CHECK(LoadError(absl::StatusCode::kNotFound) ==
        "open " + path_ + ": No such file or directory");
}

TEST_CASE_METHOD(RecordTest, "Save into a directory that is gone is an error") {
  CHECK_FALSE(RecordFile(directory_ / "none/state.pb").Save(SomeRecord()).ok());
}

TEST_CASE_METHOD(RecordTest, "Every truncation is DataLoss") {
  REQUIRE(file_.Save(SomeRecord()).ok());
  const std::string bytes = Bytes();
  for (size_t size = 0; size < bytes.size(); ++size) {
    Write(bytes.substr(0, size));
    INFO("the first " << size << " of " << bytes.size() << " bytes");
    CHECK(LoadError(absl::StatusCode::kDataLoss) ==
          "state file " + path_ + ": cut short");
  }
}

TEST_CASE_METHOD(RecordTest, "Every flipped bit of the only save is DataLoss") {
  const state::Record record = SomeRecord();
  REQUIRE(file_.Save(record).ok());
  const std::string bytes = Bytes();
  const size_t used = kRecordAt + record.ByteSizeLong();
  for (size_t i = 0; i < used; ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    Write(damaged);
    INFO("byte " << i);
    LoadError(absl::StatusCode::kDataLoss);
  }
}

TEST_CASE_METHOD(RecordTest, "A save that was cut off leaves the one before") {
  state::Record record = SomeRecord();
  REQUIRE(file_.Save(record).ok());
  record.set_id("second");
  REQUIRE(file_.Save(record).ok());
  const std::string before = Bytes();
  record.set_id("third");
  REQUIRE(file_.Save(record).ok());
  const std::string after = Bytes();
  REQUIRE(after.size() == before.size());
  // The third save is where the first was, as far as it got.
  for (size_t i = 0; i < after.size(); ++i) {
    if (after[i] == before[i]) continue;
    INFO("without byte " << i << " and what follows");
    Write(after.substr(0, i) + before.substr(i));
    const auto loaded = file_.Load();
    REQUIRE(loaded.ok());
    CHECK(loaded->id() == "second");
  }
}

TEST_CASE_METHOD(RecordTest,
                 "A successor's saves are newer than those it read") {
  state::Record record = SomeRecord();
  for (int i = 0; i < 5; ++i) REQUIRE(file_.Save(record).ok());
  RecordFile successor(path_);
  REQUIRE(successor.Load().ok());
  for (const char* id : {"a", "b", "c"}) {
    record.set_id(id);
    REQUIRE(successor.Save(record).ok());
    CHECK(file_.Load()->id() == id);
  }
}

TEST_CASE_METHOD(RecordTest,
                 "The file grows with its record and shrinks again") {
  state::Record record = SomeRecord();
  REQUIRE(file_.Save(record).ok());
  const size_t small = Bytes().size();
  CHECK(small == 8192);
  record.mutable_outbox(0)->set_topic(std::string(200 << 10, 't'));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(file_.Save(record).ok());
    CHECK(file_.Load()->outbox(0).topic().size() == 200 << 10);
  }
  record.clear_outbox();
  REQUIRE(file_.Save(record).ok());
  CHECK(file_.Load()->outbox().empty());
  CHECK(Bytes().size() == small);
}

TEST_CASE_METHOD(RecordTest,
                 "A file of somebody else is DataLoss and is kept") {
  const std::string foreign(100, 'x');
  Write(foreign);
  CHECK(LoadError(absl::StatusCode::kDataLoss) ==
        "state file " + path_ + ": not a state file of Hydra");
  CHECK(Bytes() == foreign);
}

TEST_CASE_METHOD(RecordTest, "A newer layout is refused") {
  REQUIRE(file_.Save(SomeRecord()).ok());
  std::string bytes = Bytes();
  ++bytes[7];
  Write(bytes);
  CHECK(LoadError(absl::StatusCode::kFailedPrecondition)
            .find("its layout is newer") != std::string::npos);
  CHECK(Bytes() == bytes);
}

TEST_CASE_METHOD(RecordTest, "A newer format is refused with both versions") {
  state::Record record = SomeRecord();
  record.set_format_version(kRecordVersion + 1);
  REQUIRE(file_.Save(record).ok());
  CHECK(LoadError(absl::StatusCode::kFailedPrecondition) ==
        "state file " + path_ + ": format " +
            std::to_string(kRecordVersion + 1) + " is newer than " +
            std::to_string(kRecordVersion) + ", which this version reads");
}

TEST_CASE_METHOD(RecordTest, "A record of another boot is DataLoss") {
  state::Record record = SomeRecord();
  record.set_boot_id("00000000-0000-0000-0000-000000000000");
  REQUIRE(file_.Save(record).ok());
  CHECK(LoadError(absl::StatusCode::kDataLoss) ==
        "state file " + path_ + ": from before the last boot");
}

TEST_CASE("The boot id is the kernel's") {
  CHECK(BootId().size() == 36);
  CHECK(*ReadFile("/proc/sys/kernel/random/boot_id", 64) == BootId() + "\n");
}

}  // namespace
}  // namespace hydra
