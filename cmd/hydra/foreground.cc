#include "cmd/hydra/foreground.h"

#include <memory>
#include <utility>

#include "cmd/hydra/each.h"
#include "cmd/hydra/feed.h"
#include "cmd/hydra/find.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

constexpr int kCannotExecute = 126;
constexpr int kNoProgram = 127;

// The runtime's words are all that there is to tell them by.
int StatusOfFailure(const std::string& message) {
  const auto has = [&](const char* words) {
    return message.find(words) != std::string::npos;
  };
  if (has("executable file not found") || has("no such file or directory")) {
    return kNoProgram;
  }
  if (has("permission denied") || has("is a directory") ||
      has("exec format error")) {
    return kCannotExecute;
  }
  return kOwnStatus;
}

std::string HintForFailure(int exit_status) {
  switch (exit_status) {
    case kNoProgram:
      return "programs are looked for in the container's file system, by its "
             "PATH unless there is a slash in the name";
    case kCannotExecute:
      return "a program is a file of the container's that its user may execute";
    default:
      return {};
  }
}

}  // namespace

absl::StatusOr<Session::Options> SessionOptions(const Invocation& invocation) {
  Session::Options options;
  options.json = invocation.json();
  options.forward_signals = !invocation.Has("no-sig-proxy");
  options.detach_keys = invocation.Get("detach-keys", options.detach_keys);
  HYDRA_ASSIGN_OR_RETURN(options.limit, TimeoutOf(invocation));
  return options;
}

int TellStartFailure(const Invocation& invocation, const absl::Status& status) {
  const int exit_status = StatusOfFailure(Message(status));
  Complain(invocation.json(), invocation.verb().name, status, "",
           HintForFailure(exit_status));
  return exit_status;
}

absl::StatusOr<int> FinishSession(const Invocation& invocation,
                                  const FoundInstance& instance,
                                  const Session::End& end) {
  if (end.detached) {
    Note(invocation, "hydra: detached from " + instance.id + ", which runs on");
  }
  if (invocation.json()) {
    Json object = {{"type", end.detached ? "detached" : "exited"}};
    object.update(IdentityOf(instance));
    if (!end.detached) object["exit_status"] = end.exit_status;
    HYDRA_RETURN_IF_ERROR(PrintJson(object));
  }
  return static_cast<int>(end.exit_status);
}

absl::StatusOr<int> AttachTo(
    const Invocation& invocation, const std::string& name,
    const std::function<absl::StatusOr<Json>(Client& client)>& begin) {
  HYDRA_ASSIGN_OR_RETURN(Session::Options options, SessionOptions(invocation));
  options.limit = {};
  HYDRA_ASSIGN_OR_RETURN(const std::shared_ptr<Client> client,
                         ClientOf(invocation, name));
  HYDRA_ASSIGN_OR_RETURN(const v1::InspectResponse inspected,
                         client->Inspect());
  const v1::Container& container = inspected.container();
  options.terminal = container.terminal();
  options.input = container.input() && !invocation.Has("no-stdin");
  v1::LogStart start;
  uint64_t replay = 0;
  if (invocation.Has("replay")) {
    const auto size = ParseSize(invocation.Get("replay"));
    if (!size.has_value()) {
      return InvalidArgument("--replay " + invocation.Get("replay") +
                             ": not a size like 64k");
    }
    replay = *size;
  }
  start.set_tail_bytes(replay);
  if (begin == nullptr &&
      container.status() == containerd::v1::types::STOPPED &&
      container.next_start_at() == 0) {
    return FailedPrecondition("container " + client->instance().id +
                              " has ended: `hydra logs` has its output");
  }
  // From where the log ends now, whatever comes between this and the session.
  v1::ReadLogRequest now;
  *now.mutable_start() = start;
  now.set_max_bytes(1);
  HYDRA_ASSIGN_OR_RETURN(const v1::ReadLogResponse from,
                         client->Instance<v1::ReadLogResponse>("ReadLog", now));
  start.set_position(from.entries_size() > 0 ? from.entries(0).position()
                                             : from.next());
  if (begin != nullptr) {
    const absl::StatusOr<Json> begun = begin(*client);
    if (!begun.ok()) return TellStartFailure(invocation, begun.status());
  }
  HYDRA_ASSIGN_OR_RETURN(const std::shared_ptr<Session> session,
                         Session::Make(client, options));
  const auto feed = std::make_shared<LogFeed>(client, start, invocation.json());
  HYDRA_ASSIGN_OR_RETURN(const Session::End end,
                         session->Run(std::nullopt, feed));
  return FinishSession(invocation, client->instance(), end);
}

}  // namespace hydra::command
