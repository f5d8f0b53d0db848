#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/command.h"
#include "test/bench/engine.h"
#include "test/bench/shim_instance.h"

namespace hydra::bench {
namespace {

constexpr double kNanosecondsPerMillisecond = 1e6;

absl::StatusOr<double> Milliseconds(absl::StatusOr<double> nanoseconds) {
  if (!nanoseconds.ok()) return nanoseconds;
  return *nanoseconds / kNanosecondsPerMillisecond;
}

Participant VersionFloor(Engine* engine) {
  return {"ctr version",
          [engine] { return Milliseconds(engine->Ctr({"version"})); }};
}

// Writes the bundle of a new container, and gives its id.
absl::StatusOr<std::string> NewBundle(const Setup& setup, Engine* engine,
                                      const std::string& bundle) {
  std::string id = engine->NewId();
  HYDRA_RETURN_IF_ERROR(WriteBundle(setup, bundle,
                                    "/" + setup.containerd_namespace + "/" + id,
                                    {"/bin/true"}));
  return id;
}

// The runtime alone, with the program that the subjects run. The runtime's
// state is in `root`.
Participant RuntimeFloor(const Setup& setup, Engine* engine,
                         const std::string& root) {
  return {"runc run", [&setup, engine, root]() -> absl::StatusOr<double> {
            const std::string bundle = setup.work + "/floor";
            HYDRA_ASSIGN_OR_RETURN(const std::string id,
                                   NewBundle(setup, engine, bundle));
            HYDRA_ASSIGN_OR_RETURN(const CommandResult result,
                                   RunCommand({"runc", "--root", root, "run",
                                               "--bundle", bundle, id}));
            return static_cast<double>(result.nanoseconds) /
                   kNanosecondsPerMillisecond;
          }};
}

// The same in two steps, which is how whoever supervises a container without
// the runtime beside it has to have it.
Participant SupervisorFloor(const Setup& setup, Engine* engine,
                            const std::string& root) {
  return {"runc run -d, delete",
          [&setup, engine, root]() -> absl::StatusOr<double> {
            const std::string bundle = setup.work + "/floor";
            HYDRA_ASSIGN_OR_RETURN(const std::string id,
                                   NewBundle(setup, engine, bundle));
            CommandOptions options;
            options.discard_output = true;
            HYDRA_ASSIGN_OR_RETURN(
                const CommandResult run,
                RunCommand({"runc", "--root", root, "run", "--detach",
                            "--bundle", bundle, id},
                           options));
            HYDRA_ASSIGN_OR_RETURN(
                const CommandResult removal,
                RunCommand({"runc", "--root", root, "delete", "--force", id}));
            return static_cast<double>(run.nanoseconds + removal.nanoseconds) /
                   kNanosecondsPerMillisecond;
          }};
}

absl::StatusOr<Case> MeasureRun(const Setup& setup, Engine* engine, int count) {
  std::vector<Participant> participants;
  for (const Subject& subject : setup.subjects) {
    participants.push_back({subject.name, [&subject, engine] {
                              return Milliseconds(
                                  engine->RunToEnd(subject, {"/bin/true"}));
                            }});
  }
  participants.push_back(RuntimeFloor(setup, engine, setup.work + "/runc"));
  participants.push_back(VersionFloor(engine));
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, count));
  return Case{"run_rm", "ctr run --rm /bin/true", "ms", false,
              std::move(series)};
}

absl::StatusOr<Case> MeasureDetached(const Setup& setup, Engine* engine,
                                     int count) {
  std::vector<Participant> participants;
  for (const Subject& subject : setup.subjects) {
    participants.push_back(
        {subject.name, [&subject, engine]() -> absl::StatusOr<double> {
           const std::string id = engine->NewId();
           HYDRA_ASSIGN_OR_RETURN(
               const double time,
               Milliseconds(engine->RunDetached(subject, id)));
           HYDRA_RETURN_IF_ERROR(engine->Remove({id}));
           return time;
         }});
  }
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, count));
  return Case{"run_detached", "ctr run -d", "ms", false, std::move(series)};
}

absl::StatusOr<Case> MeasureExec(const Setup& setup, Engine* engine,
                                 int count) {
  std::vector<Participant> participants;
  std::vector<std::string> ids;
  for (const Subject& subject : setup.subjects) {
    const std::string id = engine->NewId();
    HYDRA_RETURN_IF_ERROR(engine->RunDetached(subject, id).status());
    participants.push_back(
        {subject.name, [id, engine] {
           return Milliseconds(engine->Ctr({"tasks", "exec", "--exec-id",
                                            engine->NewId(), id, "/bin/true"}));
         }});
    ids.push_back(id);
  }
  participants.push_back(VersionFloor(engine));
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, count));
  HYDRA_RETURN_IF_ERROR(engine->Remove(ids));
  return Case{"exec", "ctr task exec /bin/true", "ms", false,
              std::move(series)};
}

// The same after a pause. What moves a process into a cgroup right after
// another has done so spares itself the kernel's wait for RCU, half of what the
// runtime takes; who starts a container now and then never does.
Participant AfterPause(const Participant& participant) {
  static constexpr std::chrono::milliseconds kPause{200};
  return {participant.name, [measure = participant.measure] {
            std::this_thread::sleep_for(kPause);
            return measure();
          }};
}

// What a container costs without any engine, against the runtime alone: one
// after the other at once, and with pauses. What is in /run elsewhere is in
// memory here, too.
absl::StatusOr<std::vector<Case>> MeasureNativeRun(const Setup& setup,
                                                   Engine* engine, int count) {
  const std::string in_memory = "/run/containerd/native";
  CommandOptions directories;
  directories.environment = {"HYDRA_RUN_DIR=" + in_memory + "/hydra",
                             "HYDRA_STATE_DIR=" + setup.work + "/state"};
  const Participant hydra = {
      "hydra run --rm",
      [&setup, engine, directories]() -> absl::StatusOr<double> {
        const std::string bundle = setup.work + "/native";
        HYDRA_ASSIGN_OR_RETURN(const std::string id,
                               NewBundle(setup, engine, bundle));
        HYDRA_ASSIGN_OR_RETURN(const CommandResult result,
                               RunCommand({"hydra", "run", "--rm", "--bundle",
                                           bundle, "--name", id},
                                          directories));
        return static_cast<double>(result.nanoseconds) /
               kNanosecondsPerMillisecond;
      }};
  const std::string root = in_memory + "/runc";
  const Participant runtime = RuntimeFloor(setup, engine, root);
  const Participant floor = SupervisorFloor(setup, engine, root);
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> at_once,
                         TakeTurns({hydra, runtime, floor}, count));
  HYDRA_ASSIGN_OR_RETURN(
      std::vector<Series> with_pauses,
      TakeTurns({AfterPause(hydra), AfterPause(runtime), AfterPause(floor)},
                count));
  std::vector<Case> cases;
  cases.push_back({"native_run", "hydra run --rm /bin/true, no engine", "ms",
                   false, std::move(at_once)});
  cases.push_back({"native_run_after_pause",
                   "hydra run --rm /bin/true, after a pause", "ms", false,
                   std::move(with_pauses)});
  return cases;
}

}  // namespace

absl::StatusOr<std::vector<Case>> MeasureCommands(const Setup& setup,
                                                  const Sizes& sizes) {
  Engine engine(setup);
  std::vector<Case> cases;
  HYDRA_ASSIGN_OR_RETURN(cases.emplace_back(),
                         MeasureRun(setup, &engine, sizes.runs));
  HYDRA_ASSIGN_OR_RETURN(cases.emplace_back(),
                         MeasureDetached(setup, &engine, sizes.runs));
  HYDRA_ASSIGN_OR_RETURN(cases.emplace_back(),
                         MeasureExec(setup, &engine, sizes.runs));
  HYDRA_ASSIGN_OR_RETURN(std::vector<Case> native,
                         MeasureNativeRun(setup, &engine, sizes.runs));
  std::move(native.begin(), native.end(), std::back_inserter(cases));
  return cases;
}

}  // namespace hydra::bench
