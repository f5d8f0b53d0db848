// What an instance says of itself, as JSON and for people. Any thread.

#ifndef HYDRA_CMD_HYDRA_DESCRIBE_H_
#define HYDRA_CMD_HYDRA_DESCRIBE_H_

#include <string>

#include "cmd/hydra/output.h"
#include "hydra/v1/events.pb.h"
#include "hydra/v1/instance.pb.h"

namespace hydra::command {

Json ToJson(const v1::InspectResponse& response);

// The fields of the events that are known; of others only the topic.
Json ToJson(const v1::Event& event);
// "exit_status=1 pid=7": what is in the event beside the container's name.
std::string EventText(const v1::Event& event);

// An object of objects, as indented lines "name: value".
std::string Indented(const Json& object);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_DESCRIBE_H_
