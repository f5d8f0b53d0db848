#include "cmd/hydra/describe.h"

#include <map>
#include <utility>
#include <vector>

#include "cmd/hydra/container_options.h"
#include "cmd/hydra/feed.h"
#include "containerd/events/task.pb.h"

namespace hydra::command {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

template <typename Map>
Json MapJson(const Map& map) {
  // The order of a map of protobuf's is none.
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  Json object = Json::object();
  for (const auto& [name, value] : sorted) object[name] = value;
  return object;
}

Json ExecsJson(const v1::Container& container) {
  Json list = Json::array();
  for (const v1::Exec& exec : container.execs()) {
    list.push_back(
        {{"id", exec.id()},
         {"status", StatusText(exec.status())},
         {"pid", exec.pid()},
         {"exit_status",
          exec.exited_at() == 0 ? Json(nullptr) : Json(exec.exit_status())},
         {"exited_at", TimeJson(exec.exited_at())}});
  }
  return list;
}

Json OutputsJson(const v1::Container& container) {
  Json list = Json::array();
  for (const v1::Output& output : container.outputs()) {
    list.push_back({{"stream", StreamName(output.stream())},
                    {"bytes", output.bytes()},
                    {"lost", output.lost()},
                    {"spooled", output.spooled()},
                    {"replayed", output.replayed()},
                    {"in_spool", output.in_spool()}});
  }
  return list;
}

Json ContainerJson(const v1::Container& container) {
  const bool has_ended = container.status() == containerd::v1::types::STOPPED;
  Json object = {
      {"status", StatusText(container.status())},
      {"pid", container.pid()},
      {"exit_status",
       has_ended ? Json(container.exit_status()) : Json(nullptr)},
      {"created_at", TimeJson(container.created_at())},
      {"started_at", TimeJson(container.started_at())},
      {"exited_at", TimeJson(container.exited_at())},
      {"command", Json(std::vector<std::string>(container.command().begin(),
                                                container.command().end()))},
      {"source", container.source()},
      {"bundle", container.bundle()},
      {"labels", MapJson(container.labels())},
      {"terminal", container.terminal()},
      {"input", container.input()},
      {"restart", RestartPolicyText(container.restart())},
      {"restarts", container.restarts()},
      {"next_start_at", TimeJson(container.next_start_at())},
      {"stopped", container.stopped()},
      {"execs", ExecsJson(container)},
      {"outputs", OutputsJson(container)},
      {"cgroup", MapJson(container.cgroup())}};
  if (container.has_log()) {
    object["log"] = {{"max_bytes", container.log().max_bytes()},
                     {"directory", container.log().directory()},
                     {"written", container.log().written()},
                     {"lost", container.log().lost()}};
  }
  return object;
}

template <typename Event>
Json Decoded(const v1::Event& event, Json (*fields)(const Event&)) {
  Event message;
  if (!message.ParseFromString(event.payload().value())) return Json::object();
  return fields(message);
}

int64_t Nanoseconds(const google::protobuf::Timestamp& time) {
  return time.seconds() < 0 ? 0 : time.seconds() * kSecond + time.nanos();
}

Json FieldsOf(const v1::Event& event) {
  namespace events = containerd::events;
  using Decoder = Json (*)(const v1::Event&);
  static const std::map<std::string, Decoder> decoders = {
      {"/tasks/create",
       [](const v1::Event& it) {
         return Decoded<events::TaskCreate>(it, [](const auto& message) {
           return Json{{"pid", message.pid()}, {"bundle", message.bundle()}};
         });
       }},
      {"/tasks/start",
       [](const v1::Event& it) {
         return Decoded<events::TaskStart>(it, [](const auto& message) {
           return Json{{"pid", message.pid()}};
         });
       }},
      {"/tasks/exit",
       [](const v1::Event& it) {
         return Decoded<events::TaskExit>(it, [](const auto& message) {
           return Json{
               {"process", message.id()},
               {"pid", message.pid()},
               {"exit_status", message.exit_status()},
               {"exited_at", TimeJson(Nanoseconds(message.exited_at()))}};
         });
       }},
      {"/tasks/delete",
       [](const v1::Event& it) {
         return Decoded<events::TaskDelete>(it, [](const auto& message) {
           return Json{{"process", message.id().empty() ? message.container_id()
                                                        : message.id()},
                       {"pid", message.pid()},
                       {"exit_status", message.exit_status()}};
         });
       }},
      {"/tasks/exec-added",
       [](const v1::Event& it) {
         return Decoded<events::TaskExecAdded>(it, [](const auto& message) {
           return Json{{"process", message.exec_id()}};
         });
       }},
      {"/tasks/exec-started",
       [](const v1::Event& it) {
         return Decoded<events::TaskExecStarted>(it, [](const auto& message) {
           return Json{{"process", message.exec_id()}, {"pid", message.pid()}};
         });
       }},
      {"/hydra/restart",
       [](const v1::Event& it) {
         return Decoded<v1::Restarting>(it, [](const auto& message) {
           return Json{{"exit_status", message.exit_status()},
                       {"restarts", message.restarts()},
                       {"exited_at", TimeJson(message.exited_at())},
                       {"starts_at", TimeJson(message.starts_at())}};
         });
       }},
  };
  const auto found = decoders.find(event.topic());
  return found == decoders.end() ? Json::object() : found->second(event);
}

bool IsShown(const Json& field) {
  return !field.is_null() && !(field.is_structured() && field.empty());
}

// The first line is written behind `head`, the others behind `margin`.
void Indent(const Json& value, std::string head, const std::string& margin,
            std::string* text) {
  for (const auto& [name, field] : value.items()) {
    if (!IsShown(field)) continue;
    *text +=
        std::exchange(head, margin) + (value.is_array() ? "-" : name + ":");
    if (!field.is_structured()) {
      *text += " " +
               (field.is_string() ? field.get<std::string>() : field.dump()) +
               "\n";
    } else if (value.is_array()) {
      Indent(field, " ", margin + "  ", text);
    } else {
      *text += "\n";
      Indent(field, margin + "  ", margin + "  ", text);
    }
  }
}

}  // namespace

Json ToJson(const v1::InspectResponse& response) {
  Json object = {{"namespace", response.namespace_()}, {"id", response.id()}};
  object["engine"] =
      response.engine().empty() ? Json(nullptr) : Json(response.engine());
  object["container"] = response.has_container()
                            ? ContainerJson(response.container())
                            : Json(nullptr);
  object["monitor"] = {
      {"pid", response.monitor().pid()},
      {"version", response.monitor().version()},
      {"program", response.monitor().program()},
      {"started_at", TimeJson(response.monitor().started_at())},
      {"upgrades", response.monitor().upgrades()}};
  object["head"] = {{"pid", response.head().pid()},
                    {"version", response.head().version()},
                    {"generation", response.head().generation()},
                    {"deaths", response.head().deaths()}};
  object["counts"] = {{"connections", response.counts().connections()},
                      {"requests", response.counts().requests()},
                      {"processes", response.counts().processes()},
                      {"streams", response.counts().streams()},
                      {"operations", response.counts().operations()},
                      {"stored", response.counts().stored()}};
  object["link_version"] = response.link_version();
  return object;
}

Json ToJson(const v1::Event& event) {
  Json object = {{"sequence", event.sequence()},
                 {"time", TimeJson(event.time())},
                 {"topic", event.topic()}};
  object.update(FieldsOf(event));
  return object;
}

std::string EventText(const v1::Event& event) {
  std::string text;
  const Json fields = FieldsOf(event);
  for (const auto& [name, value] : fields.items()) {
    if (value.is_null()) continue;
    text += (text.empty() ? "" : " ") + name + "=" +
            (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

std::string Indented(const Json& object) {
  std::string text;
  Indent(object, "", "", &text);
  return text;
}

}  // namespace hydra::command
