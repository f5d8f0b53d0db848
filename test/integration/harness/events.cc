#include "test/integration/harness/events.h"

#include <grpcpp/grpcpp.h>

#include "containerd/events/task.pb.h"
#include "containerd/services/events/v1/events.grpc.pb.h"

namespace hydra::testing {
namespace {

namespace api = ::containerd::services::events::v1;

// Published by us until it comes back: containerd does not say when a
// subscription has begun.
constexpr char kMarkerTopic[] = "/hydra-test/subscribed";

template <typename Message>
std::optional<Message> Unpack(const google::protobuf::Any& any) {
  Message message;
  if (any.type_url() != message.GetTypeName() ||
      !message.ParseFromString(any.value())) {
    return std::nullopt;
  }
  return message;
}

// The fields by payload type; a type_url that does not fit its topic leaves
// them empty, which the tests then see.
TaskEvent Decode(const api::Envelope& envelope) {
  TaskEvent event;
  event.topic = envelope.topic();
  const google::protobuf::Any& any = envelope.event();
  if (auto create = Unpack<containerd::events::TaskCreate>(any)) {
    event.container_id = create->container_id();
    event.pid = create->pid();
  } else if (auto start = Unpack<containerd::events::TaskStart>(any)) {
    event.container_id = start->container_id();
    event.pid = start->pid();
  } else if (auto exit = Unpack<containerd::events::TaskExit>(any)) {
    event.container_id = exit->container_id();
    event.exec_id = exit->id();
    event.pid = exit->pid();
    event.exit_status = exit->exit_status();
  } else if (auto gone = Unpack<containerd::events::TaskDelete>(any)) {
    event.container_id = gone->container_id();
    event.exec_id = gone->id();
    event.pid = gone->pid();
    event.exit_status = gone->exit_status();
  } else if (auto added = Unpack<containerd::events::TaskExecAdded>(any)) {
    event.container_id = added->container_id();
    event.exec_id = added->exec_id();
  } else if (auto exec = Unpack<containerd::events::TaskExecStarted>(any)) {
    event.container_id = exec->container_id();
    event.exec_id = exec->exec_id();
    event.pid = exec->pid();
  } else if (auto paused = Unpack<containerd::events::TaskPaused>(any)) {
    event.container_id = paused->container_id();
  } else if (auto resumed = Unpack<containerd::events::TaskResumed>(any)) {
    event.container_id = resumed->container_id();
  } else if (auto oom = Unpack<containerd::events::TaskOOM>(any)) {
    event.container_id = oom->container_id();
  }
  return event;
}

}  // namespace

struct Events::Stream {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<api::Events::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<api::Envelope>> reader;
};

Events::Events(const std::string& socket, const std::string& ns)
    : ns_(ns), stream_(std::make_unique<Stream>()) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  stream_->channel = grpc::CreateCustomChannel(
      "unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
  stream_->stub = api::Events::NewStub(stream_->channel);
  api::SubscribeRequest request;
  request.add_filters("namespace==" + ns);
  stream_->context.set_wait_for_ready(true);
  stream_->reader = stream_->stub->Subscribe(&stream_->context, request);
  thread_ = std::thread([this] { Follow(); });
  Eventually([this] {
    api::PublishRequest marker;
    marker.set_topic(kMarkerTopic);
    marker.mutable_event()->set_type_url("google.protobuf.Empty");
    grpc::ClientContext context;
    context.AddMetadata("containerd-namespace", ns_);
    google::protobuf::Empty empty;
    (void)stream_->stub->Publish(&context, marker, &empty);  // Tried again.
    std::unique_lock<std::mutex> lock(mutex_);
    return arrived_.wait_for(lock, Milliseconds(20), [this] { return ready_; });
  });
}

Events::~Events() {
  stream_->context.TryCancel();
  thread_.join();
}

void Events::Follow() {
  api::Envelope envelope;
  while (stream_->reader->Read(&envelope)) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (envelope.topic() == kMarkerTopic) {
      ready_ = true;
    } else if (envelope.topic().rfind("/tasks/", 0) == 0) {
      events_.push_back(Decode(envelope));
    }
    arrived_.notify_all();
  }
  (void)stream_->reader->Finish();  // Cancelled, or containerd has gone.
}

std::optional<TaskEvent> Events::WaitFor(
    const std::function<bool(const TaskEvent&)>& matches, Milliseconds limit) {
  std::optional<TaskEvent> found;
  std::unique_lock<std::mutex> lock(mutex_);
  arrived_.wait_for(lock, limit, [&] {
    for (const TaskEvent& event : events_) {
      if (matches(event)) {
        found = event;
        return true;
      }
    }
    return false;
  });
  return found;
}

std::optional<TaskEvent> Events::WaitFor(const std::string& topic,
                                         const std::string& container_id,
                                         Milliseconds limit) {
  return WaitFor(
      [&](const TaskEvent& event) {
        return event.topic == topic && event.container_id == container_id;
      },
      limit);
}

std::vector<TaskEvent> Events::Of(const std::string& container_id) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<TaskEvent> events;
  for (const TaskEvent& event : events_) {
    if (container_id.empty() || event.container_id == container_id) {
      events.push_back(event);
    }
  }
  return events;
}

std::string Events::Summary(const std::string& container_id) const {
  constexpr std::string_view kTasks = "/tasks/";
  std::string summary;
  for (const TaskEvent& event : Of(container_id)) {
    if (!summary.empty()) summary += ' ';
    summary += event.topic.substr(kTasks.size());
    if (!event.exec_id.empty() && event.exec_id != container_id) {
      summary += '[' + event.exec_id + ']';
    }
    if (event.topic == "/tasks/exit" || event.topic == "/tasks/delete") {
      summary += '=' + std::to_string(event.exit_status);
    }
  }
  return summary;
}

}  // namespace hydra::testing
