// Stands in for hydra-monitor. Writes what it was given into
// $FAKE_MONITOR_REPORT, then does as $FAKE_MONITOR says:
//   (nothing)  reports readiness and waits to be killed
//   exit       ends with status 3 at once
//   hang       never reports readiness
//   child      forks a child that waits too, then as without
//   closes     as without, but closes the socket; ends after 100 ms

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

void Report(int argc, char** argv) {
  const char* path = getenv("FAKE_MONITOR_REPORT");
  if (path == nullptr) return;
  const std::string temporary = std::string(path) + ".tmp";
  // Above 4 by force: what is reported are the descriptors that came.
  FILE* file = fopen(temporary.c_str(), "we");
  if (file == nullptr) return;
  for (int i = 0; i < argc; ++i) fprintf(file, "arg %s\n", argv[i]);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    fprintf(file, "env %s\n", *entry);
  }
  DIR* directory = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(directory)) {
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == fileno(file) || fd == dirfd(directory))
      continue;
    char target[256] = {};
    const std::string link = std::string("/proc/self/fd/") + entry->d_name;
    if (readlink(link.c_str(), target, sizeof(target) - 1) > 0) {
      fprintf(file, "fd %d %s\n", fd, target);
    }
  }
  closedir(directory);
  int listening = 0;
  socklen_t size = sizeof(listening);
  getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
  fprintf(file, "listening %d\n", listening);
  fprintf(file, "session %d\n", getsid(0) == getpid());
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  fprintf(file, "sigterm %d\n",
          sigismember(&mask, SIGTERM) || signal(SIGTERM, SIG_DFL) == SIG_IGN);
  fclose(file);
  rename(temporary.c_str(), path);
}

}  // namespace

int main(int argc, char** argv) {
  Report(argc, argv);
  const char* value = getenv("FAKE_MONITOR");
  const std::string mode = value == nullptr ? "" : value;
  if (mode == "exit") return 3;
  if (mode == "child" && fork() == 0) {
    for (;;) pause();
  }
  if (mode == "closes") close(3);
  if (mode != "hang") {
    if (write(4, "R", 1) != 1) return 4;
    close(4);
  }
  if (mode == "closes") {
    poll(nullptr, 0, 100);
    return 0;
  }
  for (;;) pause();
}
