#include "cmd/hydra/spec.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/str_split.h"
#include "shim/base/file.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

using Json = nlohmann::ordered_json;

// What a container that is not privileged has (capabilities(7)).
constexpr const char* kCapabilities[] = {
    "CAP_AUDIT_WRITE",  "CAP_CHOWN",
    "CAP_DAC_OVERRIDE", "CAP_FOWNER",
    "CAP_FSETID",       "CAP_KILL",
    "CAP_MKNOD",        "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",      "CAP_SETFCAP",
    "CAP_SETGID",       "CAP_SETPCAP",
    "CAP_SETUID",       "CAP_SYS_CHROOT"};
constexpr const char* kOtherCapabilities[] = {"CAP_AUDIT_CONTROL",
                                              "CAP_AUDIT_READ",
                                              "CAP_BLOCK_SUSPEND",
                                              "CAP_BPF",
                                              "CAP_CHECKPOINT_RESTORE",
                                              "CAP_DAC_READ_SEARCH",
                                              "CAP_IPC_LOCK",
                                              "CAP_IPC_OWNER",
                                              "CAP_LEASE",
                                              "CAP_LINUX_IMMUTABLE",
                                              "CAP_MAC_ADMIN",
                                              "CAP_MAC_OVERRIDE",
                                              "CAP_NET_ADMIN",
                                              "CAP_NET_BROADCAST",
                                              "CAP_PERFMON",
                                              "CAP_SYSLOG",
                                              "CAP_SYS_ADMIN",
                                              "CAP_SYS_BOOT",
                                              "CAP_SYS_MODULE",
                                              "CAP_SYS_NICE",
                                              "CAP_SYS_PACCT",
                                              "CAP_SYS_PTRACE",
                                              "CAP_SYS_RAWIO",
                                              "CAP_SYS_RESOURCE",
                                              "CAP_SYS_TIME",
                                              "CAP_SYS_TTY_CONFIG",
                                              "CAP_WAKE_ALARM"};
constexpr char kPath[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxPasswd = 4 << 20;
constexpr int64_t kCpuPeriod = 100'000;

bool IsCapability(const std::string& name) {
  const auto is_it = [&](const char* known) { return name == known; };
  return std::any_of(std::begin(kCapabilities), std::end(kCapabilities),
                     is_it) ||
         std::any_of(std::begin(kOtherCapabilities),
                     std::end(kOtherCapabilities), is_it);
}

absl::StatusOr<std::string> CapabilityOf(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(toupper(c)); });
  if (!name.starts_with("CAP_")) name.insert(0, "CAP_");
  if (!IsCapability(name)) {
    return InvalidArgument("capability " + name + ": there is none");
  }
  return name;
}

std::set<std::string> EveryCapability() {
  std::set<std::string> all(std::begin(kCapabilities), std::end(kCapabilities));
  all.insert(std::begin(kOtherCapabilities), std::end(kOtherCapabilities));
  return all;
}

Json CapabilitySets(const std::set<std::string>& names) {
  return Json{{"bounding", names}, {"effective", names}, {"permitted", names}};
}

absl::StatusOr<Json> Capabilities(const SpecOptions& options) {
  std::set<std::string> chosen(std::begin(kCapabilities),
                               std::end(kCapabilities));
  const auto choose_all = [&chosen] { chosen = EveryCapability(); };
  if (options.privileged) choose_all();
  for (const std::string& word : options.drop_capabilities) {
    if (word == "ALL" || word == "all") {
      chosen.clear();
      continue;
    }
    HYDRA_ASSIGN_OR_RETURN(const std::string name, CapabilityOf(word));
    chosen.erase(name);
  }
  for (const std::string& word : options.add_capabilities) {
    if (word == "ALL" || word == "all") {
      choose_all();
      continue;
    }
    HYDRA_ASSIGN_OR_RETURN(const std::string name, CapabilityOf(word));
    chosen.insert(name);
  }
  return CapabilitySets(chosen);
}

// The fields of the line of /etc/passwd or group that has `name` first; empty
// if there is none.
std::vector<std::string> FindLine(const std::string& path,
                                  const std::string& name) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxPasswd);
  if (!text.ok()) return {};
  for (const auto line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ':');
    if (fields.size() > 3 && fields[0] == name) return fields;
  }
  return {};
}

Json Mount(const char* target, const char* type, const char* source,
           std::vector<std::string> options) {
  return Json{{"destination", target},
              {"type", type},
              {"source", source},
              {"options", std::move(options)}};
}

Json Mounts(const SpecOptions& options) {
  std::vector<std::string> pts = {"nosuid", "noexec", "newinstance",
                                  "ptmxmode=0666", "mode=0620"};
  // Without a mapping for the group "tty" the kernel refuses it.
  if (!options.rootless) pts.emplace_back("gid=5");
  const char* access = options.privileged ? "rw" : "ro";
  Json mounts = {
      Mount("/proc", "proc", "proc", {}),
      Mount("/dev", "tmpfs", "tmpfs",
            {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      Mount("/dev/pts", "devpts", "devpts", pts),
      Mount("/dev/shm", "tmpfs", "shm",
            {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      Mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"})};
  // Another user namespace may not mount sysfs over a network namespace that
  // it does not own.
  if (options.rootless && options.host_network) {
    mounts.push_back(Mount("/sys", "none", "/sys",
                           {"rbind", "nosuid", "noexec", "nodev", "ro"}));
  } else {
    mounts.push_back(
        Mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access}));
    if (!options.rootless) {
      mounts.push_back(
          Mount("/sys/fs/cgroup", "cgroup", "cgroup",
                {"nosuid", "noexec", "nodev", "relatime", access}));
    }
  }
  for (Json& mount : ExtraMounts(options)) mounts.push_back(std::move(mount));
  return mounts;
}

Json Resources(const SpecOptions& options) {
  Json resources = ResourceLimits(options);
  if (!options.rootless) {
    // runc adds those that every container has, /dev/null among them.
    resources["devices"] = {{{"allow", options.privileged}, {"access", "rwm"}}};
  }
  return resources;
}

Json Linux(const SpecOptions& options) {
  Json namespaces = {{{"type", "pid"}},
                     {{"type", "ipc"}},
                     {{"type", "uts"}},
                     {{"type", "mount"}}};
  if (!options.host_network) namespaces.push_back({{"type", "network"}});
  Json object = {{"cgroupsPath", options.cgroups_path},
                 {"resources", Resources(options)}};
  if (options.rootless) {
    namespaces.push_back({{"type", "user"}});
    object["uidMappings"] = {
        {{"containerID", 0}, {"hostID", geteuid()}, {"size", 1}}};
    object["gidMappings"] = {
        {{"containerID", 0}, {"hostID", getegid()}, {"size", 1}}};
    object.erase("cgroupsPath");
  }
  object["namespaces"] = namespaces;
  if (!options.privileged) {
    object["maskedPaths"] = {"/proc/acpi",          "/proc/asound",
                             "/proc/kcore",         "/proc/keys",
                             "/proc/latency_stats", "/proc/timer_list",
                             "/proc/timer_stats",   "/proc/sched_debug",
                             "/proc/scsi",          "/sys/firmware"};
    object["readonlyPaths"] = {"/proc/bus", "/proc/fs", "/proc/irq",
                               "/proc/sys", "/proc/sysrq-trigger"};
  }
  return object;
}

}  // namespace

Json AllCapabilities() { return CapabilitySets(EveryCapability()); }

Json ExtraMounts(const SpecOptions& options) {
  Json mounts = Json::array();
  for (const std::string& target : options.tmpfs) {
    mounts.push_back(Mount(target.c_str(), "tmpfs", "tmpfs",
                           {"nosuid", "nodev", "mode=1777"}));
  }
  for (const Volume& volume : options.volumes) {
    mounts.push_back(
        Mount(volume.target.c_str(), "bind", volume.source.c_str(),
              {"rbind", "rprivate", volume.read_only ? "ro" : "rw"}));
  }
  return mounts;
}

Json ResourceLimits(const SpecOptions& options) {
  Json resources = Json::object();
  if (options.memory_bytes.has_value()) {
    resources["memory"] = {{"limit", *options.memory_bytes}};
  }
  if (options.cpus.has_value()) {
    resources["cpu"] = {
        {"quota",
         static_cast<int64_t>(*options.cpus * static_cast<double>(kCpuPeriod))},
        {"period", kCpuPeriod}};
  }
  if (options.pids.has_value()) {
    resources["pids"] = {{"limit", *options.pids}};
  }
  return resources;
}

absl::StatusOr<Json> FindUser(const std::string& root,
                              const std::string& user) {
  const size_t colon = user.find(':');
  const std::string name = user.substr(0, colon);
  uint64_t uid = 0;
  uint64_t gid = 0;
  if (const auto number = ParseDecimal(name); number.has_value()) {
    uid = *number;
  } else if (!name.empty()) {
    const auto fields = FindLine(root + "/etc/passwd", name);
    if (fields.empty()) {
      return InvalidArgument("user " + name + ": not in " + root +
                             "/etc/passwd");
    }
    uid = ParseDecimal(fields[2]).value_or(0);
    gid = ParseDecimal(fields[3]).value_or(0);
  }
  if (colon != std::string::npos) {
    const std::string group = user.substr(colon + 1);
    if (const auto number = ParseDecimal(group); number.has_value()) {
      gid = *number;
    } else {
      const auto fields = FindLine(root + "/etc/group", group);
      if (fields.empty()) {
        return InvalidArgument("group " + group + ": not in " + root +
                               "/etc/group");
      }
      gid = ParseDecimal(fields[2]).value_or(0);
    }
  }
  return Json{{"uid", uid}, {"gid", gid}};
}

absl::StatusOr<Json> MakeSpec(const SpecOptions& options) {
  HYDRA_ASSIGN_OR_RETURN(const Json user,
                         FindUser(options.rootfs, options.user));
  HYDRA_ASSIGN_OR_RETURN(const Json capabilities, Capabilities(options));
  std::vector<std::string> environment = {kPath};
  if (options.terminal) environment.emplace_back("TERM=xterm");
  environment.insert(environment.end(), options.environment.begin(),
                     options.environment.end());
  Json spec = {
      {"ociVersion", "1.0.2"},
      {"process",
       {{"terminal", options.terminal},
        {"user", user},
        {"args", options.command},
        {"env", environment},
        {"cwd", options.directory},
        {"capabilities", capabilities}}},
      {"root", {{"path", options.rootfs}, {"readonly", options.read_only}}},
      {"hostname", options.hostname},
      {"mounts", Mounts(options)},
      {"linux", Linux(options)}};
  if (!options.annotations.empty()) spec["annotations"] = options.annotations;
  return spec;
}

}  // namespace hydra::command
