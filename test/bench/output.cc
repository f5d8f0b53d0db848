#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "test/bench/cases.h"
#include "test/bench/command.h"
#include "test/bench/engine.h"
#include "test/bench/shim_instance.h"

namespace hydra::bench {
namespace {

// Of one write of the container, and of one read here: a pipe's capacity.
constexpr long long kBlock = 64 << 10;
constexpr int kPatienceMilliseconds = 30'000;

std::vector<std::string> Writer(long long bytes) {
  return {"/bin/dd", "if=/dev/zero", "bs=64k",
          "count=" + std::to_string(bytes / kBlock)};
}

// Reads `bytes` from `fd`: MB/s from the first byte on, so that the
// container's start is not in it.
absl::StatusOr<double> ReadRate(int fd, long long bytes) {
  std::vector<char> buffer(kBlock);
  long long total = 0;
  long long first = 0;
  long long start = 0;
  while (total < bytes) {
    pollfd ready = {fd, POLLIN, 0};
    if (poll(&ready, 1, kPatienceMilliseconds) <= 0) {
      return MakeError(
          absl::StatusCode::kDeadlineExceeded,
          "read: nothing for 30 s after " + std::to_string(total) + " bytes");
    }
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0) return ErrnoError(errno, "read");
    if (n == 0) {
      return DataLoss("read: end after " + std::to_string(total) + " bytes");
    }
    if (total == 0) {
      start = Now();
      first = n;
    }
    total += n;
  }
  return static_cast<double>(total - first) * 1e3 /
         static_cast<double>(Now() - start);
}

// Opened for reading and writing, so that it is there before the shim is, and
// does not end when the shim opens it twice.
absl::StatusOr<UniqueFd> MakeFifo(const std::string& path) {
  if (mkfifo(path.c_str(), 0600) != 0) return ErrnoError(errno, "mkfifo", path);
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  return fd;
}

absl::StatusOr<double> ThroughShim(const Setup& setup, const Subject& subject,
                                   const std::string& id, long long bytes) {
  HYDRA_ASSIGN_OR_RETURN(
      ShimInstance shim,
      ShimInstance::Prepare(setup, subject, id, Writer(bytes)));
  const std::string out_path = shim.bundle() + "/stdout";
  const std::string err_path = shim.bundle() + "/stderr";
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd out, MakeFifo(out_path));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd err, MakeFifo(err_path));
  HYDRA_RETURN_IF_ERROR(shim.Start().status());
  HYDRA_RETURN_IF_ERROR(shim.CreateTask(out_path, err_path));
  HYDRA_RETURN_IF_ERROR(shim.StartTask());
  HYDRA_ASSIGN_OR_RETURN(const double rate, ReadRate(out.get(), bytes));
  HYDRA_RETURN_IF_ERROR(shim.End());
  return rate;
}

// The same container, with nothing between it and the reader.
absl::StatusOr<double> ThroughPipe(const Setup& setup, const std::string& id,
                                   long long bytes) {
  const std::string bundle = setup.work + "/floor";
  HYDRA_RETURN_IF_ERROR(WriteBundle(setup, bundle,
                                    "/" + setup.containerd_namespace + "/" + id,
                                    Writer(bytes)));
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe2");
  UniqueFd read_end(fds[0]), write_end(fds[1]);
  HYDRA_ASSIGN_OR_RETURN(const pid_t pid,
                         SpawnCommand({"runc", "--root", setup.work + "/runc",
                                       "run", "--bundle", bundle, id},
                                      write_end.get()));
  write_end.Reset();
  const absl::StatusOr<double> rate = ReadRate(read_end.get(), bytes);
  HYDRA_RETURN_IF_ERROR(WaitCommand(pid));
  return rate;
}

}  // namespace

absl::StatusOr<std::vector<Case>> MeasureOutput(const Setup& setup,
                                                const Sizes& sizes) {
  Engine engine(setup);
  const long long bytes = sizes.stream_bytes;
  std::vector<Participant> participants;
  for (const Subject& subject : setup.subjects) {
    participants.push_back({subject.name, [&setup, &subject, &engine, bytes] {
                              return ThroughShim(setup, subject, engine.NewId(),
                                                 bytes);
                            }});
  }
  participants.push_back({"bare pipe", [&setup, &engine, bytes] {
                            return ThroughPipe(setup, engine.NewId(), bytes);
                          }});
  HYDRA_ASSIGN_OR_RETURN(std::vector<Series> series,
                         TakeTurns(participants, sizes.streams));
  return std::vector<Case>{
      {"stdout", "container's stdout", "MB/s", true, std::move(series)}};
}

}  // namespace hydra::bench
