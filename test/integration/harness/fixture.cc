#include "test/integration/harness/fixture.h"

#include <catch2/catch.hpp>
#include <exception>
#include <filesystem>
#include <iostream>

#include "test/integration/harness/files.h"
#include "test/integration/harness/image.h"

namespace hydra::testing {
namespace {

int skip_count = 0;

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

void NoteSkip(const std::string& reason) {
  ++skip_count;
  std::cout << "SKIPPED: " << reason << '\n';
}

int SkipCount() { return skip_count; }

Arguments Join(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

IntegrationTest::IntegrationTest(const std::string& runtime,
                                 const Engine& engine)
    : runtime_(runtime) {
  const std::string shim = FindShim(runtime, engine);
  if (shim.find('/') == std::string::npos) {
    FAIL(shim << " is neither in " << BinaryDirectory() << " nor in "
              << engine.Path());
  }
  containerd_ =
      std::make_unique<Containerd>(ContainerdOptions{.engine = engine});
  const std::string archive = containerd_->directory() + "/image.tar";
  WriteImage(archive);
  MustCtr({"images", "import", archive});
}

IntegrationTest::~IntegrationTest() {
  const bool failing = std::uncaught_exceptions() > 0;
  if (containerd_ == nullptr) return;
  if (failing) {
    std::cerr << "--- containerd's log\n" << containerd_->LogTail() << '\n';
    return;
  }
  RemoveAll();
  events_.reset();
  containerd_->CheckLeftovers();
}

Events& IntegrationTest::events() {
  return events_ == nullptr ? NewEvents() : *events_;
}

Events& IntegrationTest::NewEvents() {
  events_.reset();
  events_ = std::make_unique<Events>(containerd_->socket(), containerd_->ns());
  return *events_;
}

Result IntegrationTest::Ctr(const Arguments& arguments,
                            const RunOptions& options) const {
  return Run(containerd_->CtrCommand(arguments), options);
}

std::string IntegrationTest::MustCtr(const Arguments& arguments) const {
  const Result result = Ctr(arguments);
  if (result.status != 0) {
    FAIL("ctr " << arguments[0] << " " << arguments[1] << ": status "
                << result.status << ": " << result.err);
  }
  return result.out;
}

Arguments IntegrationTest::RunArguments(const std::string& id,
                                        const Arguments& command,
                                        const Arguments& flags) const {
  Arguments arguments = {"run", "--runtime", runtime_, "--fifo-dir",
                         containerd_->fifo_directory()};
  arguments = Join(arguments, flags);
  return Join(Join(arguments, {kImage, id}), command);
}

Result IntegrationTest::RunContainer(const std::string& id,
                                     const Arguments& command,
                                     const Arguments& flags,
                                     const RunOptions& options) const {
  return Ctr(RunArguments(id, command, flags), options);
}

Result IntegrationTest::RunScript(const std::string& id,
                                  const std::string& script,
                                  const Arguments& flags,
                                  Milliseconds limit) const {
  const std::string mark = "=the end=\n";
  const std::string command = "(" + script +
                              "); status=$?; echo '=the end='; "
                              "echo '=the end=' >&2; read -r _; exit $status";
  Session session(containerd_->CtrCommand(
      RunArguments(id, {"/bin/sh", "-c", command}, flags)));
  const bool complete = session.ReadUntil(
      [&] {
        return EndsWith(session.out(), mark) && EndsWith(session.err(), mark);
      },
      limit);
  session.Write("\n");
  Result result;
  result.status = session.Wait(limit).value_or(-1);
  result.out = session.out();
  result.err = session.err();
  if (complete) {
    result.out.resize(result.out.size() - mark.size());
    result.err.resize(result.err.size() - mark.size());
  }
  return result;
}

void IntegrationTest::StartDetached(const std::string& id,
                                    const Arguments& command,
                                    const Arguments& flags) const {
  MustCtr(RunArguments(id, command, Join({"-d"}, flags)));
  // A start is answered when runc's own init process has been let go, which
  // then has several threads and has not yet executed `command`.
  const std::string comm = "/proc/" + std::to_string(TaskPid(id)) + "/comm";
  REQUIRE(Eventually(
      [&] { return ReadFile(comm).value_or("").rfind("runc:[", 0) != 0; }));
}

Arguments IntegrationTest::ExecArguments(const std::string& id,
                                         const std::string& exec_id,
                                         const Arguments& command,
                                         const Arguments& flags) const {
  Arguments arguments = {"tasks", "exec",       "--exec-id",
                         exec_id, "--fifo-dir", containerd_->fifo_directory()};
  return Join(Join(Join(arguments, flags), {id}), command);
}

Result IntegrationTest::Exec(const std::string& id, const std::string& exec_id,
                             const Arguments& command, const Arguments& flags,
                             const RunOptions& options) const {
  return Ctr(ExecArguments(id, exec_id, command, flags), options);
}

std::string IntegrationTest::TaskStatus(const std::string& id) const {
  for (const std::string& line : Lines(Ctr({"tasks", "ls"}).out)) {
    const std::vector<std::string> fields = Words(line);
    if (fields.size() >= 3 && fields[0] == id) return fields[2];
  }
  return {};
}

pid_t IntegrationTest::TaskPid(const std::string& id) const {
  for (const std::string& line : Lines(Ctr({"tasks", "ls"}).out)) {
    const std::vector<std::string> fields = Words(line);
    if (fields.size() >= 3 && fields[0] == id) return std::stoi(fields[1]);
  }
  return 0;
}

bool IntegrationTest::WaitForStatus(const std::string& id,
                                    const std::string& status,
                                    Milliseconds limit) const {
  return Eventually([&] { return TaskStatus(id) == status; }, limit);
}

void IntegrationTest::SeeOff(TaskClient* task, const std::string& id) const {
  (void)task->Shutdown(id);  // The shim may exit before it answers.
  CHECK(Eventually(
      [&] { return !std::filesystem::exists(containerd_->bundle(id)); }));
}

int IntegrationTest::DeleteTask(const std::string& id) const {
  const Result result = Ctr({"tasks", "rm", id});
  if (result.status != 0) return -1;
  // "task c exit with non-zero exit code 137", quoted by the logger.
  const std::string text = "exit code ";
  const size_t at = result.err.find(text);
  return at == std::string::npos
             ? 0
             : std::stoi(result.err.substr(at + text.size()));
}

Result IntegrationTest::Remove(const std::string& id) const {
  if (!TaskStatus(id).empty()) {
    (void)Ctr({"tasks", "rm", "--force", id});  // Its status is the task's.
  }
  return Ctr({"containers", "rm", id});
}

void IntegrationTest::RemoveAll() const {
  for (const std::string& id : Lines(Ctr({"containers", "ls", "-q"}).out)) {
    const Result removed = Remove(id);
    // The destructor calls this: CHECK does not throw.
    INFO("ctr containers rm " << id << ": " << removed.err);
    CHECK(removed.status == 0);
  }
}

std::unique_ptr<TtrpcClient> IntegrationTest::Shim(
    const std::string& id) const {
  auto client = std::make_unique<TtrpcClient>(containerd_->shim_socket(id),
                                              containerd_->ns());
  if (!client->connected()) {
    FAIL("cannot connect to the shim of "
         << id << " at '" << containerd_->shim_socket(id) << "'");
  }
  return client;
}

v1::InspectResponse IntegrationTest::Inspect(const std::string& id) const {
  const auto reply = Typed<v1::InspectResponse>(
      Shim(id)->Call("hydra.v1.Instance", "Inspect", ""));
  CAPTURE(reply.message);
  CHECK(reply.ok());
  return reply.value;
}

}  // namespace hydra::testing
