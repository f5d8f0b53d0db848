#include <memory>
#include <string>
#include <utility>

#include "containerd/task/v2/task.pb.h"
#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/command.h"
#include "test/bench/engine.h"
#include "test/bench/shim_instance.h"
#include "test/bench/ttrpc_client.h"

namespace hydra::bench {
namespace {

namespace task = containerd::task::v2;

constexpr double kNanosecondsPerMillisecond = 1e6;
constexpr double kNanosecondsPerMicrosecond = 1e3;

const std::vector<std::string>& Sleep() {
  static const auto* const command =
      new std::vector<std::string>{"/bin/sleep", "1000000"};
  return *command;
}

absl::StatusOr<Case> MeasureStart(const Setup& setup, Engine* engine,
                                  int count) {
  std::vector<Participant> participants;
  for (const Subject& subject : setup.subjects) {
    participants.push_back(
        {subject.name, [&setup, &subject, engine]() -> absl::StatusOr<double> {
           HYDRA_ASSIGN_OR_RETURN(
               ShimInstance shim,
               ShimInstance::Prepare(setup, subject, engine->NewId(), Sleep()));
           HYDRA_ASSIGN_OR_RETURN(const double time, shim.Start());
           HYDRA_RETURN_IF_ERROR(shim.End());
           return time / kNanosecondsPerMillisecond;
         }});
  }
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, count));
  return Case{"start", "shim start, to its address", "ms", false,
              std::move(series)};
}

// runc's own two steps, for what a shim cannot be faster than.
absl::StatusOr<double> TimeRuntime(const Setup& setup, const std::string& id) {
  const std::string bundle = setup.work + "/floor";
  HYDRA_RETURN_IF_ERROR(WriteBundle(
      setup, bundle, "/" + setup.containerd_namespace + "/" + id, Sleep()));
  const std::vector<std::string> runc = {"runc", "--root",
                                         setup.work + "/runc"};
  const auto run = [&runc](std::initializer_list<std::string> arguments) {
    std::vector<std::string> argv = runc;
    argv.insert(argv.end(), arguments);
    CommandOptions options;
    options.discard_output = true;
    return RunCommand(argv, options);
  };
  HYDRA_ASSIGN_OR_RETURN(const CommandResult create,
                         run({"create", "--bundle", bundle, id}));
  const absl::StatusOr<CommandResult> start = run({"start", id});
  HYDRA_RETURN_IF_ERROR(run({"delete", "--force", id}).status());
  HYDRA_RETURN_IF_ERROR(start.status());
  return static_cast<double>(create.nanoseconds + start->nanoseconds) /
         kNanosecondsPerMillisecond;
}

absl::StatusOr<Case> MeasureCreate(const Setup& setup, Engine* engine,
                                   int count) {
  std::vector<Participant> participants;
  for (const Subject& subject : setup.subjects) {
    participants.push_back(
        {subject.name, [&setup, &subject, engine]() -> absl::StatusOr<double> {
           HYDRA_ASSIGN_OR_RETURN(
               ShimInstance shim,
               ShimInstance::Prepare(setup, subject, engine->NewId(), Sleep()));
           HYDRA_RETURN_IF_ERROR(shim.Start().status());
           const long long start = Now();
           HYDRA_RETURN_IF_ERROR(shim.CreateTask("", ""));
           HYDRA_RETURN_IF_ERROR(shim.StartTask());
           const long long end = Now();
           HYDRA_RETURN_IF_ERROR(shim.End());
           return static_cast<double>(end - start) / kNanosecondsPerMillisecond;
         }});
  }
  participants.push_back({"runc create, start", [&setup, engine] {
                            return TimeRuntime(setup, engine->NewId());
                          }});
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, count));
  return Case{"create_start", "Create and Start", "ms", false,
              std::move(series)};
}

absl::StatusOr<Case> MeasureState(const Setup& setup, Engine* engine,
                                  int count) {
  std::vector<Participant> participants;
  std::vector<std::string> ids;
  for (const Subject& subject : setup.subjects) {
    const std::string id = engine->NewId();
    HYDRA_RETURN_IF_ERROR(engine->RunDetached(subject, id).status());
    ids.push_back(id);
    HYDRA_ASSIGN_OR_RETURN(const std::string address, engine->ShimAddress(id));
    HYDRA_ASSIGN_OR_RETURN(TtrpcClient client, TtrpcClient::Connect(address));
    // Shared, because std::function wants to be copied.
    auto shared = std::make_shared<TtrpcClient>(std::move(client));
    participants.push_back(
        {subject.name, [shared, id]() -> absl::StatusOr<double> {
           task::StateRequest request;
           request.set_id(id);
           task::StateResponse response;
           const long long start = Now();
           HYDRA_RETURN_IF_ERROR(shared->Call("State", request, &response));
           const long long end = Now();
           if (response.id() != id) return DataLoss("State of another: " + id);
           return static_cast<double>(end - start) / kNanosecondsPerMicrosecond;
         }});
  }
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, count));
  participants.clear();
  HYDRA_RETURN_IF_ERROR(engine->Remove(ids));
  return Case{"state", "State over ttrpc", "us", false, std::move(series)};
}

}  // namespace

absl::StatusOr<std::vector<Case>> MeasureCalls(const Setup& setup,
                                               const Sizes& sizes) {
  Engine engine(setup);
  std::vector<Case> cases;
  HYDRA_ASSIGN_OR_RETURN(cases.emplace_back(),
                         MeasureStart(setup, &engine, sizes.runs));
  HYDRA_ASSIGN_OR_RETURN(cases.emplace_back(),
                         MeasureCreate(setup, &engine, sizes.runs));
  HYDRA_ASSIGN_OR_RETURN(cases.emplace_back(),
                         MeasureState(setup, &engine, sizes.calls));
  return cases;
}

}  // namespace hydra::bench
