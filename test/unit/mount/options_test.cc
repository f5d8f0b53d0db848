#include "shim/mount/options.h"

#include <sys/mount.h>

#include <catch2/catch.hpp>

#include "shim/base/status.h"

namespace hydra {
namespace {

MountOptions Parse(const std::vector<std::string>& options) {
  auto parsed = ParseMountOptions(options);
  REQUIRE(parsed.ok());
  return *parsed;
}

struct Row {
  const char* option;
  unsigned long flags;
};

TEST_CASE("Options that set flags", "[mount][options]") {
  const Row rows[] = {
      {"bind", MS_BIND},
      {"rbind", MS_BIND | MS_REC},
      {"dirsync", MS_DIRSYNC},
      {"mand", MS_MANDLOCK},
      {"noatime", MS_NOATIME},
      {"nodev", MS_NODEV},
      {"nodiratime", MS_NODIRATIME},
      {"noexec", MS_NOEXEC},
      {"nosuid", MS_NOSUID},
      {"relatime", MS_RELATIME},
      {"remount", MS_REMOUNT},
      {"ro", MS_RDONLY},
      {"strictatime", MS_STRICTATIME},
      {"sync", MS_SYNCHRONOUS},
  };
  for (const Row& row : rows) {
    INFO(row.option);
    const MountOptions parsed = Parse({row.option});
    CHECK(parsed.flags == row.flags);
    CHECK(parsed.propagation == 0);
    CHECK(parsed.data.empty());
  }
}

TEST_CASE("Options that clear flags", "[mount][options]") {
  const std::vector<std::string> all = {
      "dirsync", "mand",    "noatime",  "nodev", "nodiratime",  "noexec",
      "nosuid",  "remount", "relatime", "ro",    "strictatime", "sync"};
  const unsigned long set = Parse(all).flags;
  const Row rows[] = {
      {"async", MS_SYNCHRONOUS},   {"atime", MS_NOATIME},
      {"dev", MS_NODEV},           {"diratime", MS_NODIRATIME},
      {"exec", MS_NOEXEC},         {"nomand", MS_MANDLOCK},
      {"norelatime", MS_RELATIME}, {"nostrictatime", MS_STRICTATIME},
      {"rw", MS_RDONLY},           {"suid", MS_NOSUID},
  };
  for (const Row& row : rows) {
    INFO(row.option);
    std::vector<std::string> options = all;
    options.emplace_back(row.option);
    const MountOptions parsed = Parse(options);
    CHECK(parsed.flags == (set & ~row.flags));
    CHECK((set & row.flags) == row.flags);
    CHECK(parsed.data.empty());
    CHECK(Parse({row.option}).flags == 0);
  }
}

TEST_CASE("The last of two options that contradict wins", "[mount][options]") {
  CHECK(Parse({"ro", "rw"}).flags == 0);
  CHECK(Parse({"rw", "ro"}).flags == MS_RDONLY);
}

TEST_CASE("Propagation is kept apart from the flags", "[mount][options]") {
  const Row rows[] = {
      {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
      {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
      {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
      {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
  };
  for (const Row& row : rows) {
    INFO(row.option);
    const MountOptions parsed = Parse({"bind", row.option});
    CHECK(parsed.flags == MS_BIND);
    CHECK(parsed.propagation == row.flags);
    CHECK(parsed.data.empty());
  }
  CHECK(Parse({"rshared", "slave"}).propagation == MS_SLAVE);
}

TEST_CASE("What is not in the table is data, in order", "[mount][options]") {
  const MountOptions parsed =
      Parse({"index=off", "ro", "defaults", "lowerdir=/a:/b", "userxattr",
             "direct-io", "loopy", "RO", ""});
  CHECK(parsed.flags == MS_RDONLY);
  CHECK(parsed.data == std::vector<std::string>{"index=off", "lowerdir=/a:/b",
                                                "userxattr", "direct-io",
                                                "loopy", "RO", ""});
  CHECK_FALSE(parsed.loop);
  CHECK_FALSE(parsed.direct_io);
}

TEST_CASE("defaults says nothing", "[mount][options]") {
  const MountOptions parsed = Parse({"defaults"});
  CHECK(parsed.flags == 0);
  CHECK(parsed.data.empty());
}

TEST_CASE("direct-io belongs to loop, wherever it stands", "[mount][options]") {
  const MountOptions plain = Parse({"loop", "noload"});
  CHECK(plain.loop);
  CHECK_FALSE(plain.direct_io);
  const MountOptions direct = Parse({"direct-io", "noload", "loop"});
  CHECK(direct.loop);
  CHECK(direct.direct_io);
  CHECK(direct.data == std::vector<std::string>{"noload"});
}

TEST_CASE("An idmapped mount takes both maps", "[mount][options]") {
  const MountOptions both = Parse({"uidmap=0:1:2", "gidmap=0:3:4"});
  CHECK(both.idmapped());
  CHECK(both.uidmap == "0:1:2");
  CHECK(both.gidmap == "0:3:4");
  CHECK(both.data.empty());
  CHECK_FALSE(Parse({"uidmap=0:1:2"}).idmapped());
  CHECK_FALSE(Parse({"gidmap=0:1:2"}).idmapped());
}

TEST_CASE("Options for the mount manager are refused", "[mount][options]") {
  const auto parsed = ParseMountOptions({"ro", "X-containerd.mkdir=/a"});
  CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(Message(parsed.status()) ==
        "internal mount option \"X-containerd.mkdir=/a\" was not consumed by "
        "the mount manager");
}

TEST_CASE("Data is joined with commas and ends within the page",
          "[mount][options]") {
  CHECK(JoinData({}, 16)->empty());
  CHECK(*JoinData({"a=1", "b"}, 16) == "a=1,b");
  CHECK(*JoinData({std::string(15, 'x')}, 16) == std::string(15, 'x'));
  const auto too_long = JoinData({std::string(14, 'x'), "y"}, 16);
  CHECK(too_long.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(Message(too_long.status()),
             Catch::StartsWith("mount options is too long"));
}

}  // namespace
}  // namespace hydra
