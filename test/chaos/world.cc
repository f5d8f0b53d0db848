#include "test/chaos/world.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

// How much of the log goes with a failure.
constexpr size_t kLogLines = 60;

// One thing of which events tell: the container, or an exec.
struct Told {
  std::vector<std::string> topics;  // In the order of their first coming.
  std::string repeated;  // One that came twice in one life of the engine.
};

// The law of order, of what the tests do.
const std::vector<std::string> kInitOrder = {"/tasks/create", "/tasks/start",
                                             "/tasks/exit", "/tasks/delete"};
const std::vector<std::string> kExecOrder = {
    "/tasks/exec-added", "/tasks/exec-started", "/tasks/exit"};

// What is wrong with one thing's events.
std::string CheckOrder(const Told& told, const std::vector<std::string>& order,
                       bool complete) {
  size_t next = 0;
  for (const std::string& topic : told.topics) {
    const auto at = std::find(order.begin(), order.end(), topic);
    const auto rank = static_cast<size_t>(at - order.begin());
    if (rank < next) return topic + " comes too late";
    if (complete && rank > next) return order[next] + " is missing";
    next = rank + 1;
  }
  if (complete && next < order.size()) return order[next] + " is missing";
  if (!told.repeated.empty()) {
    return told.repeated + " comes twice";
  }
  return {};
}

}  // namespace

Gate::Pass::Pass(Gate* gate) : gate_(gate) {
  std::unique_lock<std::mutex> lock(gate_->mutex_);
  gate_->changed_.wait(lock, [this] { return !gate_->closed_; });
  ++gate_->inside_;
}

Gate::Pass::~Pass() {
  {
    const std::lock_guard<std::mutex> lock(gate_->mutex_);
    --gate_->inside_;
  }
  gate_->changed_.notify_all();
}

void Gate::Close() {
  std::unique_lock<std::mutex> lock(mutex_);
  closed_ = true;
  changed_.wait(lock, [this] { return inside_ == 0; });
}

void Gate::Open() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = false;
  }
  changed_.notify_all();
}

void EventLog::Subscribe() {
  auto events = std::make_shared<Events>(engine_->socket(), engine_->ns());
  const std::lock_guard<std::mutex> lock(mutex_);
  lives_.push_back(std::move(events));
}

void EventLog::Resume() {
  Subscribe();
  ++epoch_;
}

std::shared_ptr<Events> EventLog::current() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return lives_.back();
}

bool EventLog::WaitForExit(uint64_t epoch, const std::string& id,
                           const std::string& exec_id) {
  const auto events = current();
  const std::string& name = exec_id.empty() ? id : exec_id;
  for (int i = 0; i < 60; ++i) {
    if (epoch_ != epoch || epoch % 2 != 0) return true;
    const auto exit = events->WaitFor(
        [&](const TaskEvent& event) {
          return event.topic == "/tasks/exit" && event.container_id == id &&
                 event.exec_id == name;
        },
        Milliseconds(1000));
    if (exit.has_value()) return true;
  }
  return false;
}

std::string EventLog::Check(const std::string& id, bool complete) const {
  std::map<std::string, Told> told;  // By exec id; the container's is empty.
  std::string init_exit_before;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    bool init_exited = false;
    for (const auto& events : lives_) {
      std::set<std::pair<std::string, std::string>> seen;
      for (const TaskEvent& event : events->Of(id)) {
        if (event.topic == "/tasks/paused" || event.topic == "/tasks/resumed") {
          continue;
        }
        const std::string exec = event.exec_id == id ? "" : event.exec_id;
        Told& thing = told[exec];
        if (!seen.emplace(exec, event.topic).second) {
          thing.repeated = event.topic;
        }
        if (std::find(thing.topics.begin(), thing.topics.end(), event.topic) !=
            thing.topics.end()) {
          continue;
        }
        thing.topics.push_back(event.topic);
        if (init_exited && !exec.empty()) init_exit_before = exec;
        init_exited |= exec.empty() && event.topic == "/tasks/exit";
      }
    }
  }
  if (!init_exit_before.empty()) {
    return "the container's exit came before an event of exec " +
           init_exit_before;
  }
  if (complete && !told.contains("")) return "no event at all";
  for (const auto& [exec, thing] : told) {
    const std::string wrong =
        CheckOrder(thing, exec.empty() ? kInitOrder : kExecOrder, complete);
    if (!wrong.empty()) return "'" + exec + "': " + wrong;
  }
  return {};
}

void World::Fail(const std::string& id, const std::string& what) {
  finish = true;
  std::string text = what + "\n";
  const std::string mark = "id=" + id + " ";
  std::vector<std::string> log;
  for (std::string& line :
       Lines(ReadFile(containerd->directory() + "/containerd.log")
                 .value_or(""))) {
    if ((line + " ").find(mark) != std::string::npos) {
      log.push_back(std::move(line));
    }
  }
  const size_t first = log.size() > kLogLines ? log.size() - kLogLines : 0;
  for (size_t i = first; i < log.size(); ++i) text += "  " + log[i] + "\n";
  const std::lock_guard<std::mutex> lock(mutex_);
  failures_.push_back(std::move(text));
}

std::vector<std::string> World::failures() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failures_;
}

}  // namespace hydra::testing
