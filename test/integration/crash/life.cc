#include "test/integration/crash/life.h"

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

// A request that has not been answered by then never will be.
constexpr Milliseconds kAnswerLimit{15'000};
// The longest that a killed head's successor may take to clear up.
constexpr Milliseconds kEndLimit{15'000};

std::string Quoted(std::string text) {
  for (size_t at = 0; (at = text.find_first_of("\r\n", at)) != text.npos;) {
    text.replace(at, 1, text[at] == '\r' ? "\\r" : "\\n");
  }
  return '\'' + text + '\'';
}

std::vector<std::string> Shell(const std::string& script) {
  return {"/bin/sh", "-c", script};
}

template <typename Timestamp>
std::string Printed(const Timestamp& time) {
  return std::to_string(time.seconds()) + '.' + std::to_string(time.nanos());
}

}  // namespace

Life::Life(const Containerd* engine, Events* events, const std::string& id,
           const std::string& shell, bool terminal)
    : engine_(engine),
      events_(events),
      shim_(engine, kHydraRuntime, id, Shell(shell)),
      terminal_(terminal),
      crash_directory_(engine->directory() + "/crash/" + id),
      stream_directory_(engine->directory() + "/streams/" + id) {
  fs::create_directories(crash_directory_);
  fs::create_directories(stream_directory_);
  WriteFile(crash_directory_ + "/record", "");
  shim_.AddEnvironment("HYDRA_CRASH_DIRECTORY=" + crash_directory_);
  if (terminal) {
    shim_.spec()["process"]["terminal"] = true;
    shim_.WriteSpec();
  }
}

Life::~Life() {
  streams_.clear();
  std::error_code error;
  fs::remove_all(crash_directory_, error);
  fs::remove_all(stream_directory_, error);
  // Only what the engine would remove, and nothing that is still mounted.
  if (std::find(story_.begin(), story_.end(), "leftovers: none") !=
      story_.end()) {
    fs::remove_all(shim_.bundle(), error);
  }
}

void Life::Arm(const std::vector<CrashPoint>& points) {
  if (points.size() > 1) {
    WriteFile(crash_directory_ + "/next", points[1].text() + '\n');
  }
  // The first is armed last, and at once: a head may pass it any time.
  const std::string arm = crash_directory_ + "/arm";
  WriteFile(arm + ".new", points[0].text() + '\n');
  fs::rename(arm + ".new", arm);
}

bool Life::AllFired() const { return !fs::exists(crash_directory_ + "/arm"); }

std::vector<std::vector<CrashPoint>> Life::Passed() const {
  std::vector<std::string> pids;
  std::vector<std::vector<CrashPoint>> heads;
  std::map<std::pair<std::string, std::string>, int> counts;
  const std::string record =
      ReadFile(crash_directory_ + "/record").value_or("");
  for (const std::string& line : Lines(record)) {
    const size_t space = line.find(' ');
    const std::string pid = line.substr(0, space);
    const std::string name = line.substr(space + 1);
    if (pids.empty() || pids.back() != pid) {
      pids.push_back(pid);
      heads.emplace_back();
    }
    heads.back().push_back({name, ++counts[{pid, name}]});
  }
  return heads;
}

void Life::CreateAndHangUp(const std::string& rootfs) {
  auto request = CreateRequest(rootfs);
  OpenStreams("", false);
  request.set_stdin(StreamPath("", "in"));
  request.set_stdout(StreamPath("", "out"));
  request.set_stderr(StreamPath("", "err"));
  // The head is stopped where it is to die, so that the monitor learns of the
  // end of the connection first.
  WriteFile(crash_directory_ + "/stop", "");
  client_->Send(kTaskV2, "Create", request.SerializeAsString());
  if (!Eventually([this] { return AllFired(); }, kAnswerLimit)) {
    Say("the head did not come to the point");
  }
  Connect();
  undoing_ = true;
  const std::vector<std::string> record =
      Lines(ReadFile(crash_directory_ + "/record").value_or(""));
  if (record.empty() || kill(std::stoi(record.back()), SIGKILL) != 0) {
    Say("no head to kill");
  }
}

void Life::SayReply(const std::string& step, const std::string& exec, Code code,
                    const std::string& message) {
  std::string line = step + (exec.empty() ? "" : ' ' + exec) + ": ";
  if (code == Code::kOk) {
    line += "ok";
  } else {
    line += "code " + std::to_string(static_cast<int>(code)) + ' ' + message;
  }
  Say(line);
}

void Life::StartShim() {
  const Result started = shim_.Start();
  Say("shim: " + std::to_string(started.status) + started.err);
  Connect();
}

void Life::Connect() {
  client_.reset();
  client_ = shim_.Connect();
  task_ = std::make_unique<TaskClient>(client_.get());
}

std::string Life::StreamPath(const std::string& exec, const char* name) const {
  return stream_directory_ + '/' + (exec.empty() ? "" : exec + '-') + name;
}

void Life::OpenStreams(const std::string& exec, bool terminal) {
  Streams& streams = streams_[exec];
  streams.terminal = terminal;
  streams.out.reset();
  streams.err.reset();
  streams.out = std::make_unique<Drain>(StreamPath(exec, "out"));
  if (!terminal) {
    streams.err = std::make_unique<Drain>(StreamPath(exec, "err"));
  }
  OpenInput(exec);
}

void Life::OpenInput(const std::string& exec) {
  auto& in = streams_[exec].in;
  if (in == nullptr) in = std::make_unique<Feed>(StreamPath(exec, "in"));
}

void Life::DoCreate(const task_api::CreateTaskRequest& request) {
  Reply<task_api::CreateTaskResponse> created;
  // While a Create before it is being undone, there is a container.
  Eventually(
      [&] {
        created = task_->Call<task_api::CreateTaskResponse>("Create", request,
                                                            kAnswerLimit);
        return !undoing_ || created.code != Code::kAlreadyExists;
      },
      kAnswerLimit);
  SayReply("create", "", created.code, created.message);
  streams_[""].pid = created.value.pid();
}

task_api::CreateTaskRequest Life::CreateRequest(
    const std::string& rootfs) const {
  auto request = shim_.CreateRequest();
  auto* mount = request.add_rootfs();
  mount->set_type("bind");
  mount->set_source(rootfs);
  mount->add_options("rbind");
  return request;
}

void Life::Create(const std::string& rootfs) {
  auto request = CreateRequest(rootfs);
  OpenStreams("", terminal_);
  request.set_terminal(terminal_);
  request.set_stdin(StreamPath("", "in"));
  request.set_stdout(StreamPath("", "out"));
  if (!terminal_) request.set_stderr(StreamPath("", "err"));
  DoCreate(request);
}

void Life::CreateNothing(const std::string& rootfs) {
  const nlohmann::json command = shim_.spec()["process"]["args"];
  shim_.spec()["process"]["args"] = {"/bin/is-not-there"};
  shim_.WriteSpec();
  DoCreate(CreateRequest(rootfs));
  shim_.spec()["process"]["args"] = command;
  shim_.WriteSpec();
}

void Life::CreateWithLogger(const std::string& rootfs) {
  const std::string logger = stream_directory_ + "/logger";
  WriteFile(logger, "#!/bin/sh\nexec 5>&-\ncat <&4 >>" + StreamPath("", "log") +
                        " &\ncat <&3 >>" + StreamPath("", "log") + "\nwait\n");
  chmod(logger.c_str(), 0755);
  auto request = CreateRequest(rootfs);
  request.set_stdout("binary://" + logger);
  request.set_stderr("binary://" + logger);
  DoCreate(request);
}

void Life::SendExec(const std::string& exec, const std::string& program,
                    const std::string& shell, bool terminal) {
  nlohmann::json arguments = {program, "-c", shell};
  const nlohmann::json process = {
      {"terminal", terminal}, {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", arguments},    {"env", {"PATH=/bin"}},
      {"cwd", "/"},
  };
  OpenStreams(exec, terminal);
  task_api::ExecProcessRequest request;
  request.set_id(shim_.id());
  request.set_exec_id(exec);
  request.set_terminal(terminal);
  request.set_stdin(StreamPath(exec, "in"));
  request.set_stdout(StreamPath(exec, "out"));
  if (!terminal) request.set_stderr(StreamPath(exec, "err"));
  request.mutable_spec()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/Process");
  request.mutable_spec()->set_value(process.dump());
  const RawReply reply = task_->Do("Exec", request);
  SayReply("exec", exec, reply.code, reply.message);
}

void Life::Exec(const std::string& exec, const std::string& shell,
                bool terminal) {
  SendExec(exec, "/bin/sh", shell, terminal);
}

void Life::ExecNothing(const std::string& exec) {
  SendExec(exec, "/bin/is-not-there", "", false);
}

void Life::Start(const std::string& exec) {
  Streams& streams = streams_[exec];
  // Before Start, as containerd's client does, or an exit could be missed.
  streams.wait = SendWait(client_.get(), shim_.id(), exec);
  const auto started = task_->Start(shim_.id(), exec);
  SayReply("start", exec, started.code, started.message);
  if (!started.ok()) return;
  if (exec.empty() && streams.pid != started.value.pid()) {
    Say("start: another pid than Create's");
  }
  streams.pid = started.value.pid();
}

void Life::Input(const std::string& text, const std::string& exec) {
  OpenInput(exec);
  streams_[exec].in->Write(text);
}

void Life::Output(const std::string& text, const std::string& exec) {
  const bool came = streams_[exec].out->ReadUntil(text, kAnswerLimit);
  Say("output" + (exec.empty() ? "" : ' ' + exec) + ": " + Quoted(text) +
      (came ? "" : " did not come"));
}

void Life::CloseInput(const std::string& exec) {
  if (!streams_[exec].in->Close(kAnswerLimit)) Say("input: lost");
  streams_[exec].in.reset();
  task_api::CloseIORequest request;
  request.set_id(shim_.id());
  request.set_exec_id(exec);
  request.set_stdin(true);
  const RawReply reply = task_->Do("CloseIO", request);
  SayReply("close input", exec, reply.code, reply.message);
}

void Life::Resize(const std::string& exec) {
  task_api::ResizePtyRequest request;
  request.set_id(shim_.id());
  request.set_exec_id(exec);
  request.set_width(100);
  request.set_height(30);
  const RawReply reply = task_->Do("ResizePty", request);
  SayReply("resize", exec, reply.code, reply.message);
}

void Life::Pause() {
  const RawReply reply =
      task_->Do("Pause", TaskClient::For<task_api::DeleteRequest>(shim_.id()));
  SayReply("pause", "", reply.code, reply.message);
}

void Life::Resume() {
  const RawReply reply =
      task_->Do("Resume", TaskClient::For<task_api::DeleteRequest>(shim_.id()));
  SayReply("resume", "", reply.code, reply.message);
}

void Life::Kill(int signal, const std::string& exec) {
  const RawReply reply =
      task_->Kill(shim_.id(), static_cast<uint32_t>(signal), exec);
  SayReply("kill", exec, reply.code, reply.message);
}

void Life::Exit(const std::string& exec) {
  Streams& streams = streams_[exec];
  const auto waited =
      Typed<task_api::WaitResponse>(client_->Await(streams.wait, kAnswerLimit));
  SayReply("wait", exec, waited.code, waited.message);
  story_.back() += " status " + std::to_string(waited.value.exit_status());
  streams.exited_at = Printed(waited.value.exited_at());
}

void Life::Logged(const std::string& text) {
  const std::string path = StreamPath("", "log");
  std::string log;
  Eventually(
      [&] {
        log = ReadFile(path).value_or("");
        return log.size() >= text.size();
      },
      kAnswerLimit);
  // Two streams, in the order in which they came.
  std::vector<std::string> lines = Lines(log);
  std::sort(lines.begin(), lines.end());
  log.clear();
  for (const std::string& line : lines) log += line + '\n';
  Say("logged: " + Quoted(log));
}

void Life::LoggedInAll() {
  Logged("");
  story_.back().insert(std::string("logged").size(), " in all");
}

void Life::End(const std::string& exec) {
  Streams& streams = streams_[exec];
  const std::string of = exec.empty() ? "" : ' ' + exec;
  const auto say = [&](const char* name, const std::unique_ptr<Drain>& drain) {
    if (drain == nullptr) return;
    const auto data = drain->ReadToEnd(kAnswerLimit);
    Say(name + of + ": " + (data.has_value() ? Quoted(*data) : "no end"));
  };
  say("out", streams.out);
  say("err", streams.err);
}

void Life::State(const std::string& exec) {
  const auto state = task_->State(shim_.id(), exec);
  SayReply("state", exec, state.code, state.message);
  if (!state.ok()) return;
  story_.back() += ' ' +
                   containerd::v1::types::Status_Name(state.value.status()) +
                   " status " + std::to_string(state.value.exit_status());
  if (state.value.pid() != streams_[exec].pid) Say("state: another pid");
}

void Life::Delete(const std::string& exec) {
  const Streams& streams = streams_[exec];
  const auto deleted = task_->Delete(shim_.id(), exec);
  SayReply("delete", exec, deleted.code, deleted.message);
  if (!deleted.ok()) return;
  if (exec.empty()) deleted_ = true;
  story_.back() += " status " + std::to_string(deleted.value.exit_status());
  if (deleted.value.pid() != streams.pid) Say("delete: another pid");
  if (!streams.exited_at.empty() &&
      Printed(deleted.value.exited_at()) != streams.exited_at) {
    Say("delete: another time of the exit than Wait's");
  }
}

void Life::Shutdown() {
  const RawReply reply = task_->Shutdown(shim_.id());
  SayReply("shutdown", "", reply.code, reply.message);
}

std::string Life::BundleFiles() const {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(shim_.bundle(), error)) {
    names.insert(entry.path().filename());
  }
  std::string text;
  for (const std::string& name : names) text += ' ' + name;
  return text;
}

std::string Life::EventsTold() const {
  std::string text;
  for (const TaskEvent& event : events_->Of(shim_.id())) {
    text += ' ' + event.topic.substr(event.topic.rfind('/') + 1);
    if (!event.exec_id.empty() && event.exec_id != shim_.id()) {
      text += '[' + event.exec_id + ']';
    }
    if (event.topic == "/tasks/exit" || event.topic == "/tasks/delete") {
      text += '=' + std::to_string(event.exit_status);
    }
    const auto streams = streams_.find(
        event.exec_id == shim_.id() ? std::string() : event.exec_id);
    if (event.pid != 0 && streams != streams_.end() &&
        event.pid != streams->second.pid) {
      text += "(another pid)";
    }
  }
  return text;
}

void Life::Aftermath() {
  const std::vector<std::string> leftovers =
      engine_->AwaitNoLeftovers(kEndLimit);
  if (leftovers.empty()) Say("leftovers: none");
  for (const std::string& line : leftovers) Say("left behind: " + line);
  Say("files:" + BundleFiles());
  if (deleted_) {
    (void)events_->WaitFor("/tasks/delete", shim_.id(), kAnswerLimit);
  }
  Say("events:" + EventsTold());
}

}  // namespace hydra::testing
