// Output that nobody reads: the container goes on, and whoever comes back gets
// every byte, in order.

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/leftovers.h"
#include "test/integration/harness/line_reader.h"

namespace hydra::testing {
namespace {

class SpoolTest : public IntegrationTest {
 public:
  std::string fifo() const { return directory_ + "/lines"; }

  // With its output to fifo(), which is a reader's already.
  void StartLines(const Arguments& command,
                  const Arguments& annotations = {}) const {
    Arguments flags = {"--log-uri", "fifo://" + fifo()};
    for (const std::string& annotation : annotations) {
      flags = Join(flags, {"--annotation", annotation});
    }
    StartDetached("c", command, flags);
  }

  void KillHead() {
    pid_t head = 0;
    REQUIRE(Eventually([&] { return (head = Head()) != 0; }));
    REQUIRE(kill(head, SIGKILL) == 0);
    REQUIRE(Eventually([&] {
      const pid_t next = Head();
      return next != 0 && next != head;
    }));
  }

 private:
  pid_t Head() {
    for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
      // The monitor has "-- -namespace" in its arguments.
      if (process.command.find("shim-hydra-v1 -namespace") !=
          std::string::npos) {
        return process.pid;
      }
    }
    return 0;
  }

  const std::string directory_ = containerd().directory();
};

// Of the engine's absence; more than a few only by hand.
Milliseconds TimeAway() {
  const char* seconds = getenv("HYDRA_TEST_SECONDS_AWAY");
  return std::chrono::seconds(seconds == nullptr ? 3 : std::stoi(seconds));
}

TEST_CASE_METHOD(SpoolTest, "An engine that was away misses no line",
                 "[spool][engine][hydra][engines]") {
  LineReader reader(fifo());
  reader.Open();
  const auto away =
      std::chrono::duration_cast<std::chrono::seconds>(TimeAway());
  StartLines({"/payload/timed-lines", std::to_string(away.count() + 2)},
             {"io.hydra.spool.max-bytes=16g"});
  reader.Read(1000);
  CHECK(reader.lines() >= 1000);
  containerd().Kill();
  reader.Close();
  std::this_thread::sleep_for(TimeAway());
  containerd().Start();
  reader.Open();
  reader.Read(UINT64_MAX);
  CHECK(reader.in_order());
  CHECK(reader.missing() == 0);
  const std::vector<std::string> end = Words(reader.last());
  REQUIRE(end.size() == 3);
  CHECK(std::stoull(end[1]) == reader.lines());
  // More than all pipes on the way can hold.
  CHECK(reader.lines() * LineReader::kLine > 2 << 20);
  const int64_t longest_us = std::stoll(end[2]);
  INFO("lines " << reader.lines() << ", longest write " << longest_us << " us");
  // Promised are 50 ms, which a machine that is busy with something else cannot
  // keep; without a spool it is as long as the engine is away.
  const bool quiet = getenv("HYDRA_TEST_QUIET_MACHINE") != nullptr;
  CHECK(longest_us < (quiet ? 50'000 : 1'000'000));
  REQUIRE(WaitForStatus("c", "STOPPED"));
  CHECK(DeleteTask("c") == 0);
}

TEST_CASE_METHOD(SpoolTest,
                 "What an ended container wrote waits for its reader",
                 "[spool][engine][head][hydra]") {
  constexpr uint64_t kBytes = 8 << 20;
  LineReader reader(fifo());
  // Nobody reads, and it writes more than pipes can hold; yet it ends.
  StartLines({"/payload/numbered-lines", std::to_string(kBytes)});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  KillHead();
  containerd().Kill();
  containerd().Start();
  reader.Open();
  // A Delete meanwhile waits until the reader has everything.
  std::thread deleter([&] { (void)Ctr({"tasks", "rm", "c"}); });
  reader.Read(kBytes / LineReader::kLine);
  deleter.join();
  CHECK(reader.lines() == kBytes / LineReader::kLine);
  CHECK(reader.in_order());
  CHECK(reader.missing() == 0);
  CHECK(TaskStatus("c").empty());
}

TEST_CASE_METHOD(SpoolTest, "A client that attaches gets what nobody has read",
                 "[spool][engine][hydra][engines]") {
  constexpr uint64_t kBytes = 4 << 20;
  const std::string share = containerd().directory() + "/share";
  std::filesystem::create_directory(share);
  // Its FIFOs are made by a client that leaves at once, and takes along what
  // it has read by then.
  StartDetached(
      "c",
      {"/bin/sh", "-c",
       "until test -e /share/go; do sleep 0.05; done; "
       "/payload/numbered-lines " +
           std::to_string(kBytes) +
           "; touch /share/written; read -r _; echo =end="},
      {"--mount", "type=bind,src=" + share + ",dst=/share,options=rbind:rw"});
  REQUIRE(WriteFile(share + "/go", ""));
  REQUIRE(
      Eventually([&] { return std::filesystem::exists(share + "/written"); }));
  containerd().Kill();
  containerd().Start();
  Session session(containerd().CtrCommand({"tasks", "attach", "c"}));
  const bool complete =
      session.ReadUntil([&] { return session.out().size() >= kBytes; });
  INFO(session.out().size()
       << " bytes, from " << session.out().substr(0, LineReader::kLine) << "; "
       << session.err());
  REQUIRE(complete);
  session.Write("\n");
  CHECK(session.ReadUntil("=end=\n"));
  // It deletes the task.
  CHECK(session.Wait() == 0);
  for (uint64_t i = 0; i < kBytes / LineReader::kLine; ++i) {
    if (std::stoull(session.out().substr(i * LineReader::kLine,
                                         LineReader::kLine - 1)) == i)
      continue;
    FAIL_CHECK("line " << i << " is another one");
    break;
  }
}

TEST_CASE_METHOD(SpoolTest,
                 "A head that dies while output is spooled loses none",
                 "[spool][head][hydra]") {
  LineReader reader(fifo());
  StartLines({"/payload/timed-lines", "3"}, {"io.hydra.spool.max-bytes=4g"});
  KillHead();
  KillHead();
  REQUIRE(WaitForStatus("c", "STOPPED"));
  reader.Open();
  reader.Read(UINT64_MAX);
  CHECK(reader.in_order());
  CHECK(reader.missing() == 0);
  REQUIRE(Words(reader.last()).size() == 3);
  CHECK(std::stoull(Words(reader.last())[1]) == reader.lines());
  CHECK(DeleteTask("c") == 0);
}

TEST_CASE_METHOD(SpoolTest, "The oldest lines are dropped, if they are to be",
                 "[spool][hydra]") {
  constexpr uint64_t kBytes = 16 << 20;
  constexpr uint64_t kBound = 1 << 20;
  LineReader reader(fifo());
  StartLines(
      {"/payload/numbered-lines", std::to_string(kBytes)},
      {"io.hydra.spool.policy=drop-oldest", "io.hydra.spool.max-bytes=1m"});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  reader.Open();
  std::thread deleter([&] { (void)Ctr({"tasks", "rm", "c"}); });
  reader.Read(UINT64_MAX, Milliseconds(2'000));
  deleter.join();
  CHECK(reader.in_order());
  CHECK(reader.gaps() == 1);
  CHECK(reader.next() == kBytes / LineReader::kLine);
  CHECK(reader.lines() + reader.missing() == kBytes / LineReader::kLine);
  CHECK(reader.lines() * LineReader::kLine > kBound);
  CHECK(reader.lines() * LineReader::kLine < 4 * kBound);
}

TEST_CASE_METHOD(SpoolTest, "An annotation that makes no sense is refused",
                 "[spool][hydra]") {
  const Result result =
      RunContainer("c", {"/bin/true"},
                   {"--rm", "--annotation", "io.hydra.spool.policy=maybe"});
  CHECK(result.status != 0);
  CAPTURE(result.err);
  CHECK(result.err.find("annotation io.hydra.spool.policy: \"maybe\" is "
                        "not \"block\" or \"drop-oldest\"") !=
        std::string::npos);
}

TEST_CASE_METHOD(SpoolTest,
                 "A logger that hangs blocks nobody and misses nothing",
                 "[spool][logger][hydra]") {
  constexpr uint64_t kBytes = 4 << 20;
  // The first of its kind reads nothing; its successor copies all.
  const std::string directory = containerd().directory();
  const std::string logger = directory + "/logger.sh";
  REQUIRE(WriteFile(logger, "#!/bin/sh\ncd " + directory +
                                "\nexec 5>&-\n"
                                "if [ ! -e first ]; then echo $$ >pid; "
                                "mv pid first; exec sleep 1000; fi\n"
                                "exec cat <&3 >copy\n"));
  REQUIRE(chmod(logger.c_str(), 0755) == 0);
  StartDetached("c", {"/payload/numbered-lines", std::to_string(kBytes)},
                {"--log-uri", "binary://" + logger});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  const auto pid = ReadFile(directory + "/first");
  REQUIRE(pid.has_value());
  REQUIRE(kill(std::stoi(*pid), SIGKILL) == 0);
  CHECK(DeleteTask("c") == 0);
  const std::string copy = ReadFile(directory + "/copy").value_or("");
  REQUIRE(copy.size() == kBytes);
  bool same = true;
  for (uint64_t i = 0; i < kBytes / LineReader::kLine; ++i) {
    same &= std::stoull(
                copy.substr(i * LineReader::kLine, LineReader::kLine - 1)) == i;
  }
  CHECK(same);
}

}  // namespace
}  // namespace hydra::testing
