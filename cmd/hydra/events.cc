// events.

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "cmd/hydra/client.h"
#include "cmd/hydra/describe.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"
#include "shim/ttrpc/client.h"

namespace hydra::command {
namespace {

// Between two looks for new instances.
constexpr std::chrono::milliseconds kLook{250};

// The events of any number of instances, on one loop.
class Watcher final {
 public:
  Watcher(const Invocation& invocation, EventLoop* loop, uint64_t from)
      : invocation_(invocation), loop_(loop), from_(from) {}

  absl::Status Run(const std::vector<FoundInstance>& instances, bool all) {
    for (const FoundInstance& instance : instances) Add(instance);
    const bool follow = invocation_.Has("follow");
    if (follow && all) look_ = loop_->After(kLook, [this] { Look(); });
    goes_on_ = follow && all;
    EventLoop::Registration limit;
    HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                           TimeoutOf(invocation_));
    if (timeout.count() > 0) {
      limit = loop_->After(timeout, [this] { loop_->Quit(); });
    }
    if (reading_ > 0 || goes_on_) loop_->Run();
    return status_;
  }

 private:
  static std::string KeyOf(const FoundInstance& instance) {
    return instance.engine + "/" + instance.container_namespace + "/" +
           instance.id;
  }

  void Add(const FoundInstance& instance) {
    auto& client = clients_[KeyOf(instance)];
    if (client != nullptr) return;
    client = std::make_shared<ttrpc::Client>(loop_, instance.socket,
                                             instance.container_namespace);
    ++reading_;
    Detach(Read(instance, client));
  }

  // Instances come and go.
  void Look() {
    const absl::StatusOr<std::vector<FoundInstance>> found =
        FindAll(invocation_);
    if (found.ok()) {
      for (const FoundInstance& instance : *found) Add(instance);
    }
    look_ = loop_->After(kLook, [this] { Look(); });
  }

  Async<void> Read(FoundInstance instance,
                   std::shared_ptr<ttrpc::Client> client) {
    v1::ReadEventsRequest request;
    request.set_from(from_);
    request.set_wait(invocation_.Has("follow"));
    while (status_.ok()) {
      const absl::StatusOr<std::string> bytes = co_await client->Call(
          kInstanceService, "ReadEvents", request.SerializeAsString(), {});
      const auto response = Client::Parsed<v1::ReadEventsResponse>(bytes);
      // It has gone, with its container.
      if (!response.ok()) break;
      Tell(instance, *response);
      request.set_from(response->next());
      if (!request.wait() && response->events().empty()) break;
    }
    // We run inside of it here: it may go when it has returned.
    loop_->Post([this, client, key = KeyOf(instance)] { clients_.erase(key); });
    if (--reading_ == 0 && !goes_on_) loop_->Quit();
  }

  void Tell(const FoundInstance& instance,
            const v1::ReadEventsResponse& response) {
    if (response.missed() > 0 && invocation_.json()) {
      Json object = IdentityOf(instance);
      object["missed"] = response.missed();
      Write(PrintJson(object));
    } else if (response.missed() > 0) {
      Note(invocation_, "hydra events: " + instance.id + ": " +
                            std::to_string(response.missed()) +
                            " older ones are not kept any more");
    }
    for (const v1::Event& event : response.events()) {
      Json object = IdentityOf(instance);
      object.update(ToJson(event));
      Write(invocation_.json()
                ? PrintJson(object)
                : Print(TimeText(event.time()) + " " +
                        instance.container_namespace + "/" + instance.id + " " +
                        event.topic() + " " + EventText(event) + "\n"));
    }
  }

  void Write(const absl::Status& status) {
    if (status.ok()) return;
    status_ = status;
    loop_->Quit();
  }

  const Invocation& invocation_;
  EventLoop* const loop_;
  const uint64_t from_;
  std::map<std::string, std::shared_ptr<ttrpc::Client>> clients_;
  EventLoop::Registration look_;
  int reading_ = 0;
  bool goes_on_ = false;
  absl::Status status_;
};

absl::StatusOr<int> Events(const Invocation& invocation) {
  uint64_t from = 0;
  if (invocation.Has("from")) {
    const auto number = ParseDecimal(invocation.Get("from"));
    if (!number.has_value()) {
      return InvalidArgument("--from " + invocation.Get("from") +
                             ": not a sequence number");
    }
    from = *number;
  }
  std::vector<FoundInstance> instances;
  for (const std::string& name : invocation.arguments()) {
    HYDRA_ASSIGN_OR_RETURN(FoundInstance instance,
                           FindContainer(invocation, name));
    instances.push_back(std::move(instance));
  }
  const bool all = instances.empty();
  if (all) {
    HYDRA_ASSIGN_OR_RETURN(instances, FindAll(invocation));
  }
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop,
                         EventLoop::Create());
  HYDRA_RETURN_IF_ERROR(
      Watcher(invocation, loop.get(), from).Run(instances, all));
  return 0;
}

}  // namespace

Verb EventsVerb() {
  return {"events",
          {},
          "Tell what has happened to containers",
          "Each has numbers of its own for its events, 1, 2, 3, ...; who comes "
          "back asks from the next one on and misses nothing, while the last "
          "256 are kept.",
          {{"CONTAINER", "all if none is given", Argument::Count::kAny,
            "container"}},
          {{"-f,--follow", "",
            "go on, until --timeout, or until those that were named are gone"},
           {"--from", "NUMBER", "the first one wanted"}},
          "stream of events: sequence, time, topic, and what the topic has",
          Events};
}

}  // namespace hydra::command
