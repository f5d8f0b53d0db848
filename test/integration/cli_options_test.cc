// What `hydra run` makes of its options, seen from inside the container, from
// /proc and from its cgroup; hydra update.

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

// The value of a file of the container's cgroup, by version 1's name or 2's;
// -1 without one.
int64_t LimitOf(const Json& inspected, const std::string& controller,
                const std::string& v1_name, const std::string& v2_name) {
  const Json& groups = inspected["container"]["cgroup"];
  const bool is_v1 = groups.contains(controller);
  const std::string path =
      is_v1 ? groups[controller].get<std::string>() + "/" + v1_name
            : groups.begin()->get<std::string>() + "/" + v2_name;
  const std::vector<std::string> words = Words(ReadFile(path).value_or(""));
  return words.empty() ? -1 : std::stoll(words[0]);
}

TEST_CASE_METHOD(CliTest, "What a container sees of its options",
                 "[cli][hydra]") {
  const auto sees = [this](const Arguments& flags, const std::string& script) {
    return Must(RunArguments(Join({"--rm"}, flags), {"sh", "-c", script}));
  };
  CHECK(sees({"--env", "A=1", "-e", "B=x y", "-e", "HYDRA_RUN_DIR"},
             "echo $A $B $HYDRA_RUN_DIR") == "1 x y " + run_directory() + "\n");
  REQUIRE(WriteFile(directory() + "/env", "# none\nA=1\n\nB=2\n"));
  CHECK(sees({"--env-file", directory() + "/env", "-e", "B=3"}, "echo $A $B") ==
        "1 3\n");
  CHECK(sees({"--workdir", "/tmp", "--hostname", "box", "-u", "12:34"},
             "pwd; cat /proc/sys/kernel/hostname; id -u; id -g") ==
        "/tmp\nbox\n12\n34\n");
  REQUIRE(WriteFile(rootfs() + "/etc/passwd", "me:x:77:88::/:/bin/sh\n"));
  REQUIRE(WriteFile(rootfs() + "/etc/group", "us:x:99:\n"));
  CHECK(sees({"-u", "me"}, "id -u; id -g") == "77\n88\n");
  CHECK(sees({"-u", "me:us"}, "id -u; id -g") == "77\n99\n");
  CHECK(sees({"--name", "c"}, "cat /proc/sys/kernel/hostname") == "c\n");
  CHECK(sees({"--read-only"}, "echo > /x || echo no") == "no\n");
  CHECK(sees({"--tmpfs", "/tmp", "--read-only"},
             "echo a > /tmp/x && cat "
             "/tmp/x") == "a\n");
  // Its own pids, of which it is the first.
  CHECK(sees({}, "echo $$") == "1\n");
}

TEST_CASE_METHOD(CliTest, "Volumes of a container", "[cli][hydra]") {
  const std::string volume = directory() + "/volume";
  fs::create_directory(volume);
  REQUIRE(WriteFile(volume + "/in", "a\n"));
  CHECK(Must(RunArguments({"--rm", "-v", volume + ":/v"},
                          {"sh", "-c", "cat /v/in; echo b > /v/out"})) ==
        "a\n");
  CHECK(ReadFile(volume + "/out") == "b\n");
  CHECK(Must(RunArguments(
            {"--rm", "-v", volume + ":/v:ro", "-v", volume + "/in:/file"},
            {"sh", "-c", "cat /file; echo > /v/x || echo no"})) == "a\nno\n");
  CHECK_FALSE(fs::exists(volume + "/x"));
  for (const char* wrong : {"/nosuch:/v", "/tmp", "/tmp:v", "/tmp:/v:rx"}) {
    CHECK(Hydra(RunArguments({"-v", wrong}, {"true"})).status == 125);
  }
}

TEST_CASE_METHOD(CliTest, "Capabilities and networks of a container",
                 "[cli][hydra]") {
  const auto effective = [this](const Arguments& flags) {
    const std::string line = Must(RunArguments(
        Join({"--rm"}, flags), {"sh", "-c",
                                "while read -r k v; do [ $k = CapEff: ] && "
                                "echo $v; done < /proc/self/status; true"}));
    return std::stoull(line, nullptr, 16);
  };
  constexpr uint64_t kNetAdmin = 1 << 12;
  constexpr uint64_t kChown = 1 << 0;
  const uint64_t usual = effective({});
  CHECK((usual & kNetAdmin) == 0);
  CHECK((usual & kChown) != 0);
  CHECK(effective({"--cap-drop", "ALL"}) == 0);
  CHECK(effective({"--cap-drop", "all", "--cap-add", "cap_chown"}) == kChown);
  CHECK(effective({"--cap-drop", "chown"}) == (usual & ~kChown));
  CHECK(Hydra(RunArguments({"--cap-add", "bogus"}, {"true"})).status == 125);

  const auto network = [this](const Arguments& flags) {
    return Words(
        Must(RunArguments(Join({"--rm"}, flags), {"ls", "/sys/class/net"})));
  };
  CHECK(network({}) == std::vector<std::string>{"lo"});
  std::error_code error;
  size_t ours = 0;
  for (const auto& entry : fs::directory_iterator("/sys/class/net", error)) {
    ours += entry.path().filename().empty() ? 0 : 1;
  }
  CHECK(network({"--network", "host"}).size() == ours);
  CHECK(Hydra(RunArguments({"--network", "bridge"}, {"true"})).status == 125);
}

TEST_CASE_METHOD(CliTest, "Limits of a container, and hydra update",
                 "[cli][hydra]") {
  Start("c", {"sleep", "1000"},
        {"-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--annotation",
         "x=y"});
  const Json inspected = Inspect("c");
  const auto memory = [&] {
    return LimitOf(inspected, "memory", "memory.limit_in_bytes", "memory.max");
  };
  const auto cpu = [&] {
    return LimitOf(inspected, "cpu", "cpu.cfs_quota_us", "cpu.max");
  };
  const auto pids = [&] {
    return LimitOf(inspected, "pids", "pids.max", "pids.max");
  };
  CHECK(memory() == 64 << 20);
  CHECK(cpu() == 50'000);
  CHECK(pids() == 50);
  const Json config =
      Json::parse(ReadFile(inspected["container"]["bundle"].get<std::string>() +
                           "/config.json")
                      .value_or(""));
  CHECK(config["annotations"]["x"] == "y");

  CHECK(MustJson({"update", "--memory", "80m", "c"})["changed"] == true);
  CHECK(memory() == 80 << 20);
  CHECK(cpu() == 50'000);
  CHECK(pids() == 50);
  CHECK(Must({"update", "--cpus", "1.5", "--pids-limit", "60", "c"}) == "c\n");
  CHECK(memory() == 80 << 20);
  CHECK(cpu() == 150'000);
  CHECK(pids() == 60);
  // They are the container's in its next life, too.
  (void)Must({"restart", "-t", "0", "c"});
  CHECK(Hydra({"update", "c"}).status == 2);
  CHECK(Hydra({"update", "--memory", "much", "c"}).status == 2);
  CHECK(Hydra({"update", "--memory", "80m", "nosuch"}).status == 1);
  for (const Arguments& wrong :
       std::vector<Arguments>{{"--memory", "x"},
                              {"--cpus", "0"},
                              {"--pids-limit", "-1"},
                              {"--restart", "bogus"},
                              {"--restart", "on-failure:x"},
                              {"--restart", "always", "--rm"},
                              {"--stop-signal", "x"},
                              {"--log-max-size", "64k"},
                              {"--notify-pid", "0"},
                              {"--exit-dir", "/nosuch"},
                              {"--name", "a/b"},
                              {"--name", ""},
                              {"--env-file", "/nosuch"},
                              {"--label", "=x"}}) {
    CAPTURE(wrong[0], wrong[1]);
    CHECK(Hydra(RunArguments(wrong, {"true"})).status == 125);
  }
  CHECK(Must({"ps", "-aq"}) == "c\n");
}

}  // namespace
}  // namespace hydra::testing
