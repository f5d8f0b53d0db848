// The journal: what the monitor's side writes is what the head's side reads.

#include "shim/monitor/journal.h"

#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "shim/base/status.h"
#include "shim/io/journal_reader.h"
#include "shim/monitor/clock.h"
#include "test/unit/base/temp_directory.h"

namespace hydra {
namespace {

namespace fs = std::filesystem;
using link::JournalTag;
using monitor::Journal;

constexpr size_t kAll = 1 << 30;
constexpr uint64_t kBound = 1 << 20;

class JournalTest {
 protected:
  JournalTest() : path_(directory_ / "a/b/log"), reader_(path_) {
    journal_.Open(path_, kBound);
  }

  void Append(std::string_view data, int64_t time = 1) {
    journal_.Append(JournalTag::kStdout, data, time);
  }
  JournalReader::Batch Read(uint64_t position, size_t max_bytes = kAll) {
    auto batch = reader_.Read(position, max_bytes);
    REQUIRE(batch.ok());
    return *std::move(batch);
  }
  static std::string Text(const absl::StatusOr<JournalReader::Batch>& batch) {
    REQUIRE(batch.ok());
    std::string text;
    for (const JournalEntry& entry : batch->entries) text += entry.data;
    return text;
  }
  std::string Lines(uint64_t lines) {
    return Text(reader_.ReadLines(lines, kAll));
  }
  uint64_t BytesOnDisk() const {
    uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(path_)) {
      bytes += entry.file_size();
    }
    return bytes;
  }

  TempDirectory directory_;
  const std::string path_;
  Journal journal_;
  const JournalReader reader_;
};

TEST_CASE_METHOD(JournalTest, "Where nothing was written there is nothing") {
  CHECK_FALSE(fs::exists(path_));
  const auto batch = Read(0);
  CHECK(batch.entries.empty());
  CHECK(batch.at_end);
  CHECK(Lines(10).empty());
  CHECK(*reader_.FindTime(5) == 0);
  CHECK(*reader_.End() == 0);
}

TEST_CASE_METHOD(JournalTest, "What is written is read, with time and stream") {
  Append("one", 10);
  journal_.Append(JournalTag::kStderr, "two", 20);
  const auto batch = Read(0);
  REQUIRE(batch.entries.size() == 2);
  CHECK(batch.entries[0].data == "one");
  CHECK(batch.entries[0].time == 10);
  CHECK(batch.entries[0].tag == JournalTag::kStdout);
  CHECK(batch.entries[1].data == "two");
  CHECK(batch.entries[1].time == 20);
  CHECK(batch.entries[1].tag == JournalTag::kStderr);
  CHECK(batch.at_end);
  CHECK(batch.missed == 0);
  CHECK(*reader_.End() == batch.next);

  CHECK(Read(batch.next).entries.empty());
  Append("three");
  CHECK(Text(Read(batch.next)) == "three");
  CHECK(Text(Read(batch.entries[1].position)) == "twothree");
  struct stat info;
  REQUIRE(stat(path_.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE_METHOD(JournalTest, "A batch ends with the record that fills it") {
  for (const char* text : {"1234", "5678", "9"}) Append(text);
  const auto first = Read(0, 5);
  CHECK(Text(first) == "12345678");
  CHECK_FALSE(first.at_end);
  const auto rest = Read(first.next, 5);
  CHECK(Text(rest) == "9");
  CHECK(rest.at_end);
}

TEST_CASE_METHOD(JournalTest, "Large pieces become several records") {
  std::string data(300'000, 'x');
  data.back() = 'y';
  Append(data);
  const auto batch = Read(0);
  CHECK(batch.entries.size() == 5);
  CHECK(Text(batch) == data);
  CHECK(journal_.written() == data.size());
}

TEST_CASE_METHOD(JournalTest, "The oldest goes when the bound is reached") {
  std::string all;
  for (int i = 0; i < 40'000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    all += line;
    Append(line);
    if (i % 1000 == 0) CHECK(BytesOnDisk() <= kBound);
  }
  CHECK(BytesOnDisk() > kBound / 2);
  const auto batch = Read(0);
  CHECK(batch.missed > 0);
  const std::string text = Text(batch);
  CHECK(text.size() > kBound / 4);
  CHECK(all.substr(all.size() - text.size()) == text);
  CHECK(text.starts_with("line "));
  // Whoever follows has missed nothing.
  CHECK(Read(batch.next).missed == 0);
}

TEST_CASE_METHOD(JournalTest, "The last lines are found") {
  Append("a\nb\n");
  Append("c");
  Append("c\nd\n");
  CHECK(Lines(0).empty());
  CHECK(Lines(1) == "d\n");
  CHECK(Lines(2) == "cc\nd\n");
  CHECK(Lines(3) == "b\ncc\nd\n");
  CHECK(Lines(4) == "a\nb\ncc\nd\n");
  CHECK(Lines(5) == "a\nb\ncc\nd\n");
  Append("unfinished");
  CHECK(Lines(1) == "unfinished");
  CHECK(Lines(2) == "d\nunfinished");
  Append("\n");
  CHECK(Lines(1) == "unfinished\n");
  CHECK(Text(reader_.ReadBytes(3, kAll)) == "ed\n");
  CHECK(Text(reader_.ReadBytes(0, kAll)).empty());
  CHECK(Text(reader_.ReadBytes(1000, kAll)).size() == 20);
  // And from there it goes on.
  const auto batch = reader_.ReadLines(1, kAll);
  Append("more");
  CHECK(Text(Read(batch->next)) == "more");
}

TEST_CASE_METHOD(JournalTest, "Lines are found over many segments") {
  for (int i = 0; i < 30'000; ++i) Append(std::to_string(i) + "\n");
  const std::string text = Lines(20'000);
  CHECK(text.starts_with("10000\n10001\n"));
  CHECK(text.ends_with("29999\n"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 20'000);
}

TEST_CASE_METHOD(JournalTest, "A time is found") {
  for (int i = 0; i < 30'000; ++i) Append("x\n", 2 * i);
  const auto from = [&](int64_t time) {
    const auto entries = Read(*reader_.FindTime(time), 1).entries;
    return entries.empty() ? -1 : entries[0].time;
  };
  CHECK(from(0) == Read(0, 1).entries[0].time);
  CHECK(from(40'000) == 40'000);
  CHECK(from(40'001) == 40'002);
  CHECK(from(59'998) == 59'998);
  CHECK(from(60'000) == -1);
}

TEST_CASE_METHOD(JournalTest, "It goes on after what is there") {
  Append("before\n");
  // One that was cut off by the writer's death.
  const std::string segment = fs::directory_iterator(path_)->path();
  {
    std::ofstream file(segment, std::ios::app | std::ios::binary);
    link::JournalRecord record = {};
    record.magic = link::kJournalMagic;
    record.size = 100;
    file.write(reinterpret_cast<const char*>(&record), sizeof(record));
    file << "cut off";
  }
  const auto batch = Read(0);
  CHECK(Text(batch) == "before\n");
  Journal again;
  again.Open(path_, kBound);
  again.Append(JournalTag::kStdout, "after\n", 2);
  CHECK(Text(Read(0)) == "before\nafter\n");
  CHECK(Text(Read(batch.next)) == "after\n");
}

TEST_CASE_METHOD(JournalTest, "Rubbish is told, and named") {
  Append("x");
  const std::string segment = fs::directory_iterator(path_)->path();
  std::ofstream(segment, std::ios::app) << std::string(100, 'r');
  const auto status = reader_.Read(0, kAll).status();
  CHECK(absl::IsDataLoss(status));
  CHECK(Message(status) == "journal " + segment + ": no record at byte 25");
}

TEST_CASE_METHOD(JournalTest, "What cannot be written is counted and told") {
  Append("before");
  // No directory can be made where there is a file.
  Journal broken;
  const std::string place = directory_ / "file";
  std::ofstream(place) << "not a directory";
  broken.Open(place + "/log", kBound);
  broken.Append(JournalTag::kStdout, "lost", 1);
  broken.Append(JournalTag::kStdout, "too", 2);
  CHECK(broken.lost() == 7);
  CHECK(broken.error() == ENOTDIR);
  fs::remove(place);
  broken.Append(JournalTag::kStdout, "there", monitor::kSecond + 2);
  CHECK(broken.written() == 5);
  const auto batch = JournalReader(place + "/log").Read(0, kAll);
  REQUIRE(batch.ok());
  REQUIRE(batch->entries.size() == 2);
  CHECK(batch->entries[0].tag == JournalTag::kLost);
  CHECK(batch->entries[0].lost == 7);
  CHECK(batch->entries[1].data == "there");
}

}  // namespace
}  // namespace hydra
