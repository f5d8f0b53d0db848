#include "shim/runtime/bundle.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "shim/base/status.h"
#include "test/unit/base/contracts.h"

namespace hydra {
namespace {

using containerd::runc::v1::Options;

class TempBundle {
 public:
  TempBundle() {
    char path[] = "/tmp/hydra-bundle-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    path_ = path;
  }
  ~TempBundle() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(File(name)) << text;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(File(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  std::string path_;
};

Options AllOptions() {
  Options options;
  options.set_no_pivot_root(true);
  options.set_no_new_keyring(true);
  options.set_shim_cgroup("/c");
  options.set_io_uid(4294967295u);
  options.set_io_gid(2);
  options.set_binary_name("crun");
  options.set_root("/r");
  options.set_criu_path("/criu");
  options.set_systemd_cgroup(true);
  options.set_criu_image_path("/i");
  options.set_criu_work_path("/w");
  options.set_task_api_address("/a");
  options.set_task_api_version(3);
  return options;
}

TEST_CASE("saved options are loaded again", "[runtime]") {
  const TempBundle bundle;
  const Options options = AllOptions();
  // A field that the message gets later must not be forgotten here.
  const auto* descriptor =
      Contracts().FindMessageTypeByName("containerd.runc.v1.Options");
  REQUIRE(descriptor != nullptr);
  CHECK(descriptor->field_count() == 13);
  REQUIRE(SaveOptions(bundle.path(), options).ok());
  const auto loaded = LoadOptions(bundle.path());
  REQUIRE(loaded.ok());
  CHECK(loaded->SerializeAsString() == options.SerializeAsString());
}

TEST_CASE("the files are as containerd's runc shim has them", "[runtime]") {
  const TempBundle bundle;
  Options options;
  options.set_binary_name("runc");
  options.set_systemd_cgroup(true);
  options.set_io_uid(5);
  REQUIRE(SaveOptions(bundle.path(), options).ok());
  CHECK(bundle.Read("runtime") == "runc");
  CHECK(bundle.Read("options.json") ==
        R"({"binary_name":"runc","io_uid":5,"systemd_cgroup":true})");
  for (const char* name : {"runtime", "options.json"}) {
    struct stat info;
    REQUIRE(stat(bundle.File(name).c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0600);
  }
  CHECK(std::distance(std::filesystem::directory_iterator(bundle.path()), {}) ==
        2);
}

TEST_CASE("default options are an empty object", "[runtime]") {
  const TempBundle bundle;
  REQUIRE(SaveOptions(bundle.path(), {}).ok());
  CHECK(bundle.Read("runtime").empty());
  CHECK(bundle.Read("options.json") == "{}");
  CHECK(LoadOptions(bundle.path())->ByteSizeLong() == 0);
}

TEST_CASE("a bundle without the files gives the defaults", "[runtime]") {
  const TempBundle bundle;
  const auto loaded = LoadOptions(bundle.path());
  REQUIRE(loaded.ok());
  CHECK(loaded->ByteSizeLong() == 0);
}

TEST_CASE("a key that is not known is passed over", "[runtime]") {
  const TempBundle bundle;
  bundle.Write("options.json",
               R"({"later": [1], "root": "/r", "io_gid": null})");
  bundle.Write("runtime", "crun");
  const auto loaded = LoadOptions(bundle.path());
  REQUIRE(loaded.ok());
  CHECK(loaded->root() == "/r");
  CHECK(loaded->binary_name() == "crun");
}

TEST_CASE("a damaged options.json is an error that names it", "[runtime]") {
  const TempBundle bundle;
  for (const char* text :
       {"", "{\"root\":", "[]", R"({"root": 1})", R"({"io_uid": -1})",
        R"({"io_uid": 4294967296})", R"({"systemd_cgroup": "true"})"}) {
    bundle.Write("options.json", text);
    const auto loaded = LoadOptions(bundle.path());
    CHECK(absl::IsDataLoss(loaded.status()));
    CHECK(Message(loaded.status()).find(bundle.File("options.json")) !=
          std::string::npos);
  }
}

TEST_CASE("a name that is no UTF-8 does not stop the saving", "[runtime]") {
  const TempBundle bundle;
  Options options;
  options.set_root("/r\xff");
  CHECK(SaveOptions(bundle.path(), options).ok());
  CHECK(LoadOptions(bundle.path()).ok());
}

TEST_CASE("the address is replaced as a whole", "[runtime]") {
  const TempBundle bundle;
  bundle.Write("address", "something longer than what comes now");
  REQUIRE(SaveAddress(bundle.path(), "unix:///s").ok());
  CHECK(bundle.Read("address") == "unix:///s");
  const absl::Status status = SaveAddress("/nonexistent", "x");
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status).find("/nonexistent/address") != std::string::npos);
}

TEST_CASE("a pid file is a decimal or an error", "[runtime]") {
  const TempBundle bundle;
  const std::string path = bundle.File("init.pid");
  CHECK(absl::IsNotFound(ReadPidFile(path).status()));
  for (const char* text : {"123", "123\n"}) {
    bundle.Write("init.pid", text);
    CHECK(ReadPidFile(path).value() == 123);
  }
  for (const char* text :
       {"", "\n", "0", "-1", "1x", " 1", "0x1", "99999999999", "1 2"}) {
    bundle.Write("init.pid", text);
    const auto pid = ReadPidFile(path);
    CHECK(absl::IsDataLoss(pid.status()));
    CHECK(Message(pid.status()).find(path) != std::string::npos);
  }
}

}  // namespace
}  // namespace hydra
