#include "test/unit/start/report.h"

#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace hydra::test {

void Report(const char* variable, int argc, char** argv) {
  const char* path = getenv(variable);
  if (path == nullptr) return;
  const std::string temporary = std::string(path) + ".tmp";
  // Above those that came, which are reported.
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
  char directory_name[4096] = {};
  if (getcwd(directory_name, sizeof(directory_name)) != nullptr) {
    fprintf(file, "cwd %s\n", directory_name);
  }
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

}  // namespace hydra::test
