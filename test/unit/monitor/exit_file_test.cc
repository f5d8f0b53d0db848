#include "shim/monitor/exit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace hydra::monitor {
namespace {

struct ExitFileFixture {
  ExitFileFixture() {
    char name[] = "/tmp/hydra-exit-file-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    directory = name;
    path = directory + "/exits";
  }
  ~ExitFileFixture() { std::filesystem::remove_all(directory); }

  ExitFileContents Read() const {
    ExitFileContents contents;
    REQUIRE(ReadExitFile(path.c_str(), &contents) == 0);
    return contents;
  }
  std::string Bytes() const {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  int ReadAs(const std::string& bytes) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    ExitFileContents contents;
    return ReadExitFile(path.c_str(), &contents);
  }

  std::string directory;
  std::string path;
};

ExitRecord MakeRecord(uint64_t process) {
  const auto number = static_cast<int32_t>(process);
  return {process, 100 + number, number << 8, 1'700'000'000'000'000'000};
}

TEST_CASE_METHOD(ExitFileFixture, "Exits are read back as written",
                 "[monitor][exit_file]") {
  ExitFile file(path.c_str());
  ExitFileContents contents;
  CHECK(ReadExitFile(path.c_str(), &contents) == ENOENT);
  for (uint64_t process = 1; process <= 3; ++process) {
    REQUIRE(file.Record(MakeRecord(process)) == 0);
  }
  contents = Read();
  REQUIRE(contents.records.size() == 3);
  CHECK(contents.damaged_slots == 0);
  for (uint64_t i = 0; i < 3; ++i) {
    const ExitRecord expected = MakeRecord(i + 1);
    CHECK(contents.records[i].process == expected.process);
    CHECK(contents.records[i].pid == expected.pid);
    CHECK(contents.records[i].wait_status == expected.wait_status);
    CHECK(contents.records[i].exited_at == expected.exited_at);
  }
  CHECK(std::filesystem::file_size(path) == 4 * 64);
}

TEST_CASE_METHOD(ExitFileFixture, "A forgotten exit's slot is used again",
                 "[monitor][exit_file]") {
  ExitFile file(path.c_str());
  for (uint64_t process = 1; process <= 3; ++process) {
    file.Record(MakeRecord(process));
  }
  CHECK(file.Forget(2) == 0);
  CHECK(file.Forget(99) == 0);
  CHECK(Read().records.size() == 2);
  CHECK(file.Record(MakeRecord(4)) == 0);
  CHECK(std::filesystem::file_size(path) == 4 * 64);
  CHECK(Read().records[1].process == 4);
  // Recorded again, a process keeps its slot.
  CHECK(file.Record(MakeRecord(4)) == 0);
  CHECK(Read().records.size() == 3);
  file.Delete();
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE_METHOD(ExitFileFixture, "A later monitor takes over what is there",
                 "[monitor][exit_file]") {
  {
    ExitFile file(path.c_str());
    file.Record(MakeRecord(1));
    file.Record(MakeRecord(2));
  }
  ExitFile file(path.c_str());
  REQUIRE(file.Open() == 0);
  CHECK(file.Record(MakeRecord(3)) == 0);
  CHECK(file.Forget(1) == 0);
  const ExitFileContents contents = Read();
  REQUIRE(contents.records.size() == 2);
  CHECK(contents.records[0].process == 2);
  CHECK(contents.records[1].process == 3);
}

TEST_CASE_METHOD(ExitFileFixture, "What is no exit file is an error",
                 "[monitor][exit_file]") {
  CHECK(ReadAs("") == EBADMSG);
  CHECK(ReadAs("short") == EBADMSG);
  CHECK(ReadAs(std::string(64, '\0')) == EBADMSG);
  CHECK(ReadAs(std::string(640, 'x')) == EBADMSG);
  std::filesystem::remove(path);
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  ExitFileContents contents;
  CHECK(ReadExitFile(path.c_str(), &contents) == EBADMSG);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  CHECK(ReadExitFile(path.c_str(), &contents) == EBADMSG);
}

TEST_CASE_METHOD(ExitFileFixture, "What is no exit file is replaced whole",
                 "[monitor][exit_file]") {
  ReadAs("foreign");
  ExitFile file(path.c_str());
  CHECK(file.Record(MakeRecord(1)) == 0);
  CHECK(Read().records.size() == 1);
  // Nothing else is left beside it.
  CHECK(std::distance(std::filesystem::directory_iterator(directory), {}) == 1);
}

TEST_CASE_METHOD(ExitFileFixture, "Any damaged byte is noticed",
                 "[monitor][exit_file]") {
  ExitFile file(path.c_str());
  file.Record(MakeRecord(1));
  file.Record(MakeRecord(2));
  const std::string good = Bytes();
  REQUIRE(good.size() == 3 * 64);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    const int error = ReadAs(bad);
    if (i < 64) {
      CHECK(error == EBADMSG);
      continue;
    }
    CHECK(error == 0);
    const ExitFileContents contents = Read();
    CHECK(contents.damaged_slots == 1);
    REQUIRE(contents.records.size() == 1);
    CHECK(contents.records[0].process == (i < 128 ? 2 : 1));
  }
  CHECK(ReadAs(good.substr(0, 150)) == 0);
  CHECK(Read().damaged_slots == 1);
}

TEST_CASE_METHOD(ExitFileFixture, "A file of a later version is left to it",
                 "[monitor][exit_file]") {
  ExitFile file(path.c_str());
  file.Record(MakeRecord(1));
  std::string bytes = Bytes();
  bytes[8] = 2;
  // The hash as its writer would make it.
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < 60; ++i) {
    hash = (hash ^ static_cast<unsigned char>(bytes[i])) * 16777619u;
  }
  bytes.replace(60, 4, reinterpret_cast<const char*>(&hash), 4);
  CHECK(ReadAs(bytes) == ENOTSUP);
  ExitFile older(path.c_str());
  CHECK(older.Record(MakeRecord(2)) == ENOTSUP);
  CHECK(Bytes() == bytes);
}

}  // namespace
}  // namespace hydra::monitor
