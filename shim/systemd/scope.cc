#include "shim/systemd/scope.h"

#include <dbus/dbus.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "shim/base/status.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr char kSystemBus[] = "unix:path=/run/dbus/system_bus_socket";
constexpr char kSystemd[] = "org.freedesktop.systemd1";
constexpr char kSystemdPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kOperation[] = "start scope";
constexpr char kJobRemoved[] = "JobRemoved";
constexpr char kMatch[] =
    "type='signal',sender='org.freedesktop.systemd1',"
    "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

struct CloseConnection {
  void operator()(DBusConnection* connection) const {
    dbus_connection_close(connection);
    dbus_connection_unref(connection);
  }
};
struct UnrefMessage {
  void operator()(DBusMessage* message) const { dbus_message_unref(message); }
};
using Connection = std::unique_ptr<DBusConnection, CloseConnection>;
using BusMessage = std::unique_ptr<DBusMessage, UnrefMessage>;

class Error final {
 public:
  Error() { dbus_error_init(&error_); }
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;
  ~Error() { dbus_error_free(&error_); }

  DBusError* get() { return &error_; }
  absl::Status ToStatus(const char* operation) const {
    absl::StatusCode code = absl::StatusCode::kUnknown;
    for (const char* name :
         {DBUS_ERROR_NO_SERVER, DBUS_ERROR_FILE_NOT_FOUND,
          DBUS_ERROR_DISCONNECTED, DBUS_ERROR_NAME_HAS_NO_OWNER,
          DBUS_ERROR_SERVICE_UNKNOWN}) {
      if (Is(name)) code = absl::StatusCode::kUnavailable;
    }
    // The bus's words for a peer that takes too long or ends.
    for (const char* name : {DBUS_ERROR_NO_REPLY, DBUS_ERROR_TIMEOUT}) {
      if (Is(name)) code = absl::StatusCode::kDeadlineExceeded;
    }
    return MakeError(code, std::string(operation) + ": " +
                               (error_.message == nullptr ? "unknown error"
                                                          : error_.message));
  }

 private:
  bool Is(const char* name) const {
    return dbus_error_has_name(&error_, name) != 0;
  }

  DBusError error_;
};

// One property of a unit into an array of them; `append` writes the value.
// libdbus fails here, and at what is like it below, only for want of memory;
// the message is then incomplete, and refused.
template <typename Append>
void AppendProperty(DBusMessageIter* properties, const char* name,
                    const char* signature, Append append) {
  DBusMessageIter entry, variant;
  dbus_message_iter_open_container(properties, DBUS_TYPE_STRUCT, nullptr,
                                   &entry);
  dbus_message_iter_append_basic(&entry, DBUS_TYPE_STRING, &name);
  dbus_message_iter_open_container(&entry, DBUS_TYPE_VARIANT, signature,
                                   &variant);
  append(&variant);
  dbus_message_iter_close_container(&entry, &variant);
  dbus_message_iter_close_container(properties, &entry);
}

void AppendString(DBusMessageIter* properties, const char* name,
                  const char* value) {
  AppendProperty(properties, name, "s", [value](DBusMessageIter* to) {
    dbus_message_iter_append_basic(to, DBUS_TYPE_STRING, &value);
  });
}

void AppendFalse(DBusMessageIter* properties, const char* name) {
  AppendProperty(properties, name, "b", [](DBusMessageIter* to) {
    const dbus_bool_t value = 0;
    dbus_message_iter_append_basic(to, DBUS_TYPE_BOOLEAN, &value);
  });
}

void AppendPids(DBusMessageIter* properties, const std::vector<pid_t>& pids) {
  AppendProperty(properties, "PIDs", "au", [&pids](DBusMessageIter* to) {
    DBusMessageIter array;
    dbus_message_iter_open_container(to, DBUS_TYPE_ARRAY, "u", &array);
    for (const pid_t pid : pids) {
      const auto value = static_cast<uint32_t>(pid);
      dbus_message_iter_append_basic(&array, DBUS_TYPE_UINT32, &value);
    }
    dbus_message_iter_close_container(to, &array);
  });
}

// StartTransientUnit(name, mode, properties, auxiliary units).
BusMessage StartTransientUnit(const Scope& scope) {
  BusMessage call(dbus_message_new_method_call(kSystemd, kSystemdPath, kManager,
                                               "StartTransientUnit"));
  const char* name = scope.name.c_str();
  const char* mode = "fail";
  DBusMessageIter arguments, properties, units;
  dbus_message_iter_init_append(call.get(), &arguments);
  dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING, &name);
  dbus_message_iter_append_basic(&arguments, DBUS_TYPE_STRING, &mode);
  dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "(sv)",
                                   &properties);
  AppendString(&properties, "Description", scope.description.c_str());
  AppendString(&properties, "Slice", scope.slice.c_str());
  AppendString(&properties, "CollectMode", "inactive-or-failed");
  AppendFalse(&properties, "DefaultDependencies");
  AppendFalse(&properties, "Delegate");
  // A memory cgroup for each instance would cost more than the instance; the
  // slice has one. Without it, the death of a head for want of memory cannot
  // make systemd stop the whole scope either (OOMPolicy=).
  AppendFalse(&properties, "MemoryAccounting");
  AppendPids(&properties, scope.pids);
  dbus_message_iter_close_container(&arguments, &properties);
  dbus_message_iter_open_container(&arguments, DBUS_TYPE_ARRAY, "(sa(sv))",
                                   &units);
  dbus_message_iter_close_container(&arguments, &units);
  return call;
}

// A connection that waits for nothing longer than until its deadline. libdbus's
// own blocking calls do: for a peer that accepts and then says nothing.
class Bus final {
 public:
  static absl::StatusOr<Bus> Connect(steady_clock::time_point deadline);

  // The reply. The error that came instead; Unavailable, DeadlineExceeded.
  absl::StatusOr<BusMessage> Call(DBusMessage* call, const char* operation);
  // Nobody answers it.
  void Send(DBusMessage* call);
  // The next message of any kind; errors as for Call.
  absl::StatusOr<BusMessage> Next(const char* operation);

 private:
  Bus(Connection connection, steady_clock::time_point deadline)
      : connection_(std::move(connection)), deadline_(deadline) {}

  Connection connection_;
  steady_clock::time_point deadline_;
};

absl::StatusOr<Bus> Bus::Connect(steady_clock::time_point deadline) {
  const char* address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
  Error error;
  Connection connection(dbus_connection_open_private(
      address != nullptr && *address != '\0' ? address : kSystemBus,
      error.get()));
  if (connection == nullptr) return error.ToStatus("connect to system bus");
  dbus_connection_set_exit_on_disconnect(connection.get(), 0);
  Bus bus(std::move(connection), deadline);
  const BusMessage hello(dbus_message_new_method_call(
      DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "Hello"));
  HYDRA_RETURN_IF_ERROR(bus.Call(hello.get(), "greet system bus").status());
  return bus;
}

absl::StatusOr<BusMessage> Bus::Next(const char* operation) {
  for (;;) {
    BusMessage message(dbus_connection_pop_message(connection_.get()));
    if (message != nullptr) return message;
    const auto left =
        std::chrono::ceil<milliseconds>(deadline_ - steady_clock::now());
    if (left.count() <= 0) {
      return MakeError(absl::StatusCode::kDeadlineExceeded,
                       std::string(operation) + ": no answer in time");
    }
    if (!dbus_connection_read_write(connection_.get(),
                                    static_cast<int>(left.count()))) {
      return MakeError(absl::StatusCode::kUnavailable,
                       std::string(operation) + ": the system bus is gone");
    }
  }
}

absl::StatusOr<BusMessage> Bus::Call(DBusMessage* call, const char* operation) {
  dbus_uint32_t serial = 0;
  dbus_connection_send(connection_.get(), call, &serial);
  for (;;) {
    HYDRA_ASSIGN_OR_RETURN(BusMessage message, Next(operation));
    if (dbus_message_get_reply_serial(message.get()) != serial) continue;
    Error error;
    if (dbus_set_error_from_message(error.get(), message.get())) {
      return error.ToStatus(operation);
    }
    return message;
  }
}

void Bus::Send(DBusMessage* call) {
  dbus_message_set_no_reply(call, 1);
  dbus_connection_send(connection_.get(), call, nullptr);
}

void WatchJobs(Bus* bus) {
  const BusMessage call(dbus_message_new_method_call(
      DBUS_SERVICE_DBUS, DBUS_PATH_DBUS, DBUS_INTERFACE_DBUS, "AddMatch"));
  const char* match = kMatch;
  dbus_message_append_args(call.get(), DBUS_TYPE_STRING, &match,
                           DBUS_TYPE_INVALID);
  // The bus takes messages in their order, so the match is there before the
  // job is.
  bus->Send(call.get());
}

// systemd answers before it does the job, so no end of it is missed.
absl::Status WaitForJob(Bus* bus, const char* job) {
  for (;;) {
    HYDRA_ASSIGN_OR_RETURN(const BusMessage message, bus->Next(kOperation));
    if (!dbus_message_is_signal(message.get(), kManager, kJobRemoved)) continue;
    uint32_t id = 0;
    const char *path = nullptr, *unit = nullptr, *result = nullptr;
    Error error;
    if (!dbus_message_get_args(message.get(), error.get(), DBUS_TYPE_UINT32,
                               &id, DBUS_TYPE_OBJECT_PATH, &path,
                               DBUS_TYPE_STRING, &unit, DBUS_TYPE_STRING,
                               &result, DBUS_TYPE_INVALID) ||
        strcmp(path, job) != 0) {
      continue;
    }
    if (strcmp(result, "done") == 0) return absl::OkStatus();
    return Unknown(std::string(kOperation) + ": systemd's job ended as " +
                   result);
  }
}

}  // namespace

bool SystemdRuns() {
  struct stat info;
  return lstat("/run/systemd/system", &info) == 0 && S_ISDIR(info.st_mode);
}

absl::Status StartScope(const Scope& scope, milliseconds timeout) {
  HYDRA_ASSIGN_OR_RETURN(Bus bus, Bus::Connect(steady_clock::now() + timeout));
  WatchJobs(&bus);
  HYDRA_ASSIGN_OR_RETURN(const BusMessage reply,
                         bus.Call(StartTransientUnit(scope).get(), kOperation));
  const char* job = nullptr;
  Error error;
  if (!dbus_message_get_args(reply.get(), error.get(), DBUS_TYPE_OBJECT_PATH,
                             &job, DBUS_TYPE_INVALID)) {
    return error.ToStatus(kOperation);
  }
  return WaitForJob(&bus, job);
}

}  // namespace hydra
