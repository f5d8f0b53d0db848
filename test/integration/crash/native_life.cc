// The steps that an engine does not have.

#include <signal.h>

#include "containerd/events/task.pb.h"
#include "hydra/v1/container.pb.h"
#include "hydra/v1/events.pb.h"
#include "hydra/v1/log.pb.h"
#include "test/integration/crash/life.h"
#include "test/integration/harness/native_container.h"

namespace hydra::testing {
namespace {

constexpr Milliseconds kAnswerLimit{15'000};
constexpr uint64_t kLogBytes = 1 << 20;

template <typename Response, typename Request>
Reply<Response> Ask(TtrpcClient* client, const char* method,
                    const Request& request) {
  return Typed<Response>(client->Call(
      kInstance, method, request.SerializeAsString(), kAnswerLimit));
}

}  // namespace

void Life::Run() {
  v1::RunRequest request;
  request.set_bundle(shim_.bundle());
  request.set_log_max_bytes(kLogBytes);
  const auto ran = Ask<v1::RunResponse>(client_.get(), "Run", request);
  SayReply("run", "", ran.code, ran.message);
  streams_[""].pid = ran.value.pid();
}

void Life::Restart() {
  v1::RestartRequest request;
  request.set_signal(SIGKILL);
  const auto restarted =
      Ask<v1::RestartResponse>(client_.get(), "Restart", request);
  SayReply("restart", "", restarted.code, restarted.message);
  story_.back() += " status " + std::to_string(restarted.value.exit_status());
  if (restarted.value.pid() == streams_[""].pid) Say("restart: the same pid");
  streams_[""].pid = restarted.value.pid();
}

void Life::Stop() {
  const auto say = [this](const char* who,
                          const Reply<v1::StopResponse>& stopped) {
    SayReply(who, "", stopped.code, stopped.message);
    story_.back() += " status " + std::to_string(stopped.value.exit_status());
    if (!stopped.value.changed()) story_.back() += ", had ended before";
  };
  v1::StopRequest patient;
  patient.set_signal(SIGCONT);
  patient.set_timeout(3'600'000);
  const uint32_t waiting =
      client_->Send(kInstance, "Stop", patient.SerializeAsString());
  v1::StopRequest hurried;
  hurried.set_signal(SIGKILL);
  say("stop", Ask<v1::StopResponse>(client_.get(), "Stop", hurried));
  say("stop with patience",
      Typed<v1::StopResponse>(client_->Await(waiting, kAnswerLimit)));
}

void Life::Log(const std::string& text) {
  std::string log;
  std::string trouble;
  const bool came = Eventually(
      [&] {
        const auto read = Ask<v1::ReadLogResponse>(client_.get(), "ReadLog",
                                                   v1::ReadLogRequest());
        log.clear();
        trouble = read.message;
        for (const v1::LogEntry& entry : read.value.entries()) {
          log += entry.data();
          if (entry.lost() > 0) trouble = "bytes are lost";
        }
        return log.size() >= text.size();
      },
      kAnswerLimit);
  if (!came || log != text || !trouble.empty()) {
    Say("log: \"" + log + "\" " + trouble);
  } else {
    Say("log: as written");
  }
}

void Life::OwnEvents() {
  const auto read = Ask<v1::ReadEventsResponse>(client_.get(), "ReadEvents",
                                                v1::ReadEventsRequest());
  SayReply("own events", "", read.code, read.message);
  uint64_t sequence = 0;
  for (const v1::Event& event : read.value.events()) {
    story_.back() += ' ' + event.topic().substr(event.topic().rfind('/') + 1);
    if (containerd::events::TaskExit exit;
        event.topic() == "/tasks/exit" &&
        exit.ParseFromString(event.payload().value())) {
      story_.back() += '=' + std::to_string(exit.exit_status());
    }
    if (event.sequence() != ++sequence) story_.back() += "(out of sequence)";
  }
}

void Life::Remove() {
  v1::RemoveRequest request;
  request.set_force(true);
  const auto removed =
      Ask<v1::RemoveResponse>(client_.get(), "Remove", request);
  SayReply("remove", "", removed.code, removed.message);
}

}  // namespace hydra::testing
