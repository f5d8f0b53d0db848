#include "shim/rpc/dispatcher.h"

#include <chrono>
#include <utility>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/ttrpc/frame.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra {
namespace {

constexpr std::chrono::milliseconds kLastAnswersLimit{1000};

// The codes of absl and of ttrpc, which are gRPC's, have the same numbers.
static_assert(static_cast<int>(absl::StatusCode::kUnauthenticated) == 16);

// A ttrpc.Response.
std::string EncodeResponse(const absl::StatusOr<std::string>& result) {
  ::ttrpc::Response response;
  if (result.ok()) {
    response.set_payload(*result);
  } else {
    response.mutable_status()->set_code(
        static_cast<int>(result.status().code()));
    response.mutable_status()->set_message(Message(result.status()));
  }
  std::string bytes = response.SerializeAsString();
  if (bytes.size() > ttrpc::kMaxFrameData) {
    return EncodeResponse(MakeError(absl::StatusCode::kResourceExhausted,
                                    "message length " +
                                        std::to_string(bytes.size()) +
                                        " exceed maximum message size of " +
                                        std::to_string(ttrpc::kMaxFrameData)));
  }
  return bytes;
}

constexpr char kInstanceService[] = "hydra.v1.Instance";

bool IsTaskService(std::string_view service) {
  return service == "containerd.task.v2.Task" ||
         service == "containerd.task.v3.Task";
}

}  // namespace

template <typename Service, typename Request, typename Response>
Dispatcher::Entry Dispatcher::MakeEntry(
    Service* service,
    Async<absl::StatusOr<Response>> (Service::*method)(Call, Request)) {
  Entry entry;
  entry.method = [service, method](Call call, std::string payload) {
    // A function, not a lambda: a coroutine's frame holds its parameters but
    // not the captures of a lambda.
    struct Body {
      static Async<absl::StatusOr<std::string>> Run(
          Service* its_service,
          Async<absl::StatusOr<Response>> (Service::*function)(Call, Request),
          Call caller, std::string bytes) {
        Request request;
        if (!request.ParseFromString(bytes)) {
          co_return InvalidArgument("unmarshal request error: not a " +
                                    request.GetTypeName());
        }
        absl::StatusOr<Response> response = co_await (its_service->*function)(
            std::move(caller), std::move(request));
        if (!response.ok()) co_return response.status();
        co_return response->SerializeAsString();
      }
    };
    return Body::Run(service, method, std::move(call), std::move(payload));
  };
  return entry;
}

template <typename Request, typename Response>
void Dispatcher::Add(
    const char* name, bool mutates,
    Async<absl::StatusOr<Response>> (TaskService::*method)(Call, Request)) {
  Entry entry = MakeEntry(&tasks_, method);
  entry.mutates = mutates;
  task_methods_[name] = std::move(entry);
}

Dispatcher::Dispatcher(Instance* instance, TaskService* tasks,
                       InstanceService* itself, absl::Status broken)
    : instance_(*instance), tasks_(*tasks), broken_(std::move(broken)) {
  Add("State", false, &TaskService::State);
  Add("Create", true, &TaskService::Create);
  Add("Start", true, &TaskService::Start);
  Add("Delete", true, &TaskService::Delete);
  Add("Pids", false, &TaskService::Pids);
  Add("Pause", true, &TaskService::Pause);
  Add("Resume", true, &TaskService::Resume);
  Add("Checkpoint", true, &TaskService::Checkpoint);
  Add("Kill", true, &TaskService::Kill);
  Add("Exec", true, &TaskService::Exec);
  Add("ResizePty", false, &TaskService::ResizePty);
  Add("CloseIO", true, &TaskService::CloseIO);
  Add("Update", true, &TaskService::Update);
  Add("Wait", false, &TaskService::Wait);
  Add("Stats", false, &TaskService::Stats);
  Add("Connect", false, &TaskService::Connect);
  Add("Shutdown", false, &TaskService::Shutdown);
  // What needs no state still works, so that the engine can get rid of us, or
  // an operator can upgrade us to what reads it.
  task_methods_["Connect"].needs_record = false;
  task_methods_["Shutdown"].needs_record = false;
  task_methods_["Wait"].waits = true;
  instance_methods_["Inspect"] = MakeEntry(itself, &InstanceService::Inspect);
  instance_methods_["Upgrade"] = MakeEntry(itself, &InstanceService::Upgrade);
  for (auto& [name, entry] : instance_methods_) entry.needs_record = false;
  instance_methods_["ReadLog"] = MakeEntry(itself, &InstanceService::ReadLog);
  instance_methods_["ReadEvents"] =
      MakeEntry(itself, &InstanceService::ReadEvents);
  for (const char* name : {"ReadLog", "ReadEvents"}) {
    instance_methods_[name].waits = true;
  }
  instance_methods_["WriteInput"] =
      MakeEntry(itself, &InstanceService::WriteInput);
  instance_methods_["Run"] = MakeEntry(itself, &InstanceService::Run);
  instance_methods_["Stop"] = MakeEntry(itself, &InstanceService::Stop);
  instance_methods_["Restart"] = MakeEntry(itself, &InstanceService::Restart);
  instance_methods_["Remove"] = MakeEntry(itself, &InstanceService::Remove);
  for (const char* name :
       {"WriteInput", "Run", "Stop", "Restart", "Remove"}) {
    instance_methods_[name].mutates = true;
  }
}

absl::Status Dispatcher::FaultOf(const link::Request& request) {
  switch (request.fault) {
    case link::kFrameTooLong:
      return MakeError(absl::StatusCode::kResourceExhausted,
                       "message length " +
                           std::to_string(request.frame_length) +
                           " exceed maximum message size of " +
                           std::to_string(ttrpc::kMaxFrameData));
    case link::kStreamIdEven:
      return InvalidArgument(
          "StreamID must be odd for client initiated streams");
    case link::kStreamIdReused:
      return InvalidArgument("StreamID cannot be re-used and must increment");
    case link::kFrameNotRequest:
      return InvalidArgument("StreamID is no longer active");
    default:
      break;
  }
  if (request.deaths >= link::kMaxAttempts) {
    return Internal("request was given up: " + std::to_string(request.deaths) +
                    " servers crashed while they worked on it");
  }
  return absl::OkStatus();
}

void Dispatcher::OnRequest(MonitorClient::Request request) {
  const uint64_t token = request.token;
  pending_.try_emplace(token);
  for (const auto& outcome : instance_.record().outcomes()) {
    if (outcome.token() == token) {
      Respond(token, outcome.response(), false);
      return;
    }
  }
  absl::Status fault = FaultOf(request.info);
  ::ttrpc::Request message;
  if (fault.ok() && !message.ParseFromString(request.payload)) {
    fault = InvalidArgument("unmarshal request error: not a ttrpc request");
  }
  if (!fault.ok()) {
    Respond(token, EncodeResponse(fault), false);
    return;
  }
  Detach(Answer(token, std::move(*message.mutable_service()),
                std::move(*message.mutable_method()),
                std::move(*message.mutable_payload())));
}

void Dispatcher::OnCancelled(uint64_t token) {
  auto it = pending_.find(token);
  if (it != pending_.end()) it->second.Set(true);
}

absl::StatusOr<const Dispatcher::Entry*> Dispatcher::Find(
    const std::string& service, const std::string& method) const {
  if (!IsTaskService(service) && service != kInstanceService) {
    return Unimplemented("service " + service);
  }
  const Methods& methods =
      service == kInstanceService ? instance_methods_ : task_methods_;
  auto it = methods.find(method);
  if (it == methods.end()) return Unimplemented("method " + method);
  if (!broken_.ok() && it->second.needs_record) return broken_;
  return &it->second;
}

Async<void> Dispatcher::Answer(uint64_t token, std::string service,
                               std::string method, std::string payload) {
  const absl::StatusOr<const Entry*> entry = Find(service, method);
  if (!entry.ok()) {
    Respond(token, EncodeResponse(entry.status()), false);
    co_return;
  }
  Call call;
  call.token = token;
  call.cancelled = pending_[token];
  if ((*entry)->waits) instance_.monitor()->Park(token);
  const absl::StatusOr<std::string> result =
      co_await Run(*entry, method, std::move(call), std::move(payload));
  Respond(token, EncodeResponse(result), (*entry)->mutates);
}

Async<absl::StatusOr<std::string>> Dispatcher::Run(const Entry* entry,
                                                   std::string_view method,
                                                   Call call,
                                                   std::string payload) {
  const bool works = !entry->waits && method != "Shutdown";
  ending_ |= method == "Shutdown";
  if (works) {
    ++working_;
  } else if (method == "Shutdown" && working_ > 0) {
    (void)co_await SetWithin(instance_.loop(), all_done_, kLastAnswersLimit);
  }
  absl::StatusOr<std::string> result =
      co_await entry->method(std::move(call), std::move(payload));
  // Posted: the answer goes out first.
  if (works) {
    instance_.loop()->Post([this] {
      if (--working_ == 0) std::exchange(all_done_, {}).Set(true);
    });
  }
  co_return result;
}

void Dispatcher::Respond(uint64_t token, const std::string& response,
                         bool mutates) {
  auto* outcomes = instance_.record().mutable_outcomes();
  if (mutates && instance_.dirty()) {
    auto* outcome = outcomes->Add();
    outcome->set_token(token);
    outcome->set_response(response);
    (void)instance_.Save();  // Logged there.
  }
  instance_.monitor()->Respond(token, response);
  pending_.erase(token);
  // The monitor has it: the next save need not repeat it.
  for (int i = outcomes->size() - 1; i >= 0; --i) {
    if (outcomes->Get(i).token() == token) outcomes->DeleteSubrange(i, 1);
  }
  if (mutates) instance_.Settle();
}

}  // namespace hydra
