#include "shim/task/output_log.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/state/paths.h"
#include "shim/task/instance.h"

namespace hydra {
namespace {

// For clients that watch beside an engine: what they may be behind.
constexpr uint64_t kTemporaryBytes = 16 << 20;
constexpr std::chrono::seconds kTemporaryTime{60};

}  // namespace

OutputLog::OutputLog(EventLoop* loop, Instance* instance)
    : loop_(loop), instance_(*instance) {}

std::string OutputLog::directory() const {
  return instance_.data_directory() + "/log";
}

absl::Status OutputLog::Use() {
  const state::Container& container = instance_.record().container();
  if (container.log().max_bytes() == 0) HYDRA_RETURN_IF_ERROR(Begin());
  if (container.log().temporary()) EndLater();
  return absl::OkStatus();
}

absl::Status OutputLog::Begin() {
  HYDRA_RETURN_IF_ERROR(MakeDataDirectory(instance_.data_directory()));
  state::Container& container = *instance_.record().mutable_container();
  container.mutable_log()->set_max_bytes(kTemporaryBytes);
  container.mutable_log()->set_temporary(true);
  instance_.Touch();
  (void)instance_.Save();  // Logged there.
  const auto live = instance_.live(container.init());
  if (live->stdio != nullptr) {
    live->stdio->SetJournal(instance_.JournalOf(container.init()));
  }
  return absl::OkStatus();
}

void OutputLog::TakeOver() {
  if (instance_.record().container().log().temporary()) EndLater();
}

void OutputLog::EndLater() {
  end_ = loop_->After(kTemporaryTime, [this] {
    if (followers_ > 0) {
      EndLater();
    } else {
      End();
    }
  });
}

void OutputLog::End() {
  end_.reset();
  state::Container& container = *instance_.record().mutable_container();
  container.clear_log();
  instance_.Touch();
  (void)instance_.Save();  // Logged there.
  const auto live = instance_.live(container.init());
  if (live->stdio != nullptr) live->stdio->SetJournal({});
  Close();
  const absl::Status removed = RemoveDataDirectory(instance_.data_directory());
  if (!removed.ok()) LogWarning("remove log, ignoring: ", Message(removed));
}

void OutputLog::Close() {
  end_.reset();
  watch_ = {};
  inotify_.Reset();
  Wake();
}

absl::Status OutputLog::Watch() {
  // The monitor makes the directory when there is something to write.
  HYDRA_RETURN_IF_ERROR(MakeDataDirectory(directory()));
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid() ||
      inotify_add_watch(inotify.get(), directory().c_str(),
                        IN_MODIFY | IN_CREATE | IN_ONLYDIR) < 0) {
    return ErrnoError(errno, "watch", directory());
  }
  HYDRA_ASSIGN_OR_RETURN(
      watch_, loop_->Watch(inotify.get(), EPOLLIN, [this](uint32_t) {
        char events[4096];
        while (read(inotify_.get(), events, sizeof(events)) > 0) {
        }
        Wake();
      }));
  inotify_ = std::move(inotify);
  return absl::OkStatus();
}

absl::StatusOr<Future<bool>> OutputLog::Changed() {
  if (!inotify_.valid()) HYDRA_RETURN_IF_ERROR(Watch());
  return changed_;
}

void OutputLog::Wake() { std::exchange(changed_, {}).Set(true); }

}  // namespace hydra
