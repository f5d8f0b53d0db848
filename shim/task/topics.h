// The topics of containerd's task events (containerd:core/runtime/events.go),
// and of our own (proto/hydra/v1/events.proto).

#ifndef HYDRA_TASK_TOPICS_H_
#define HYDRA_TASK_TOPICS_H_

namespace hydra {

inline constexpr char kTaskCreateTopic[] = "/tasks/create";
inline constexpr char kTaskStartTopic[] = "/tasks/start";
inline constexpr char kTaskExitTopic[] = "/tasks/exit";
inline constexpr char kTaskDeleteTopic[] = "/tasks/delete";
inline constexpr char kTaskExecAddedTopic[] = "/tasks/exec-added";
inline constexpr char kTaskExecStartedTopic[] = "/tasks/exec-started";
inline constexpr char kTaskPausedTopic[] = "/tasks/paused";
inline constexpr char kTaskResumedTopic[] = "/tasks/resumed";
inline constexpr char kTaskOomTopic[] = "/tasks/oom";
inline constexpr char kRestartTopic[] = "/hydra/restart";

}  // namespace hydra

#endif  // HYDRA_TASK_TOPICS_H_
