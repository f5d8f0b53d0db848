// Stands in the place of hydra-monitor: executes it under valgrind's memcheck,
// in this process, with the same arguments and descriptors.
//
// A program and no script, because a monitor executes its successor by a
// descriptor that the interpreter of a script would find closed. The report is
// a new file in $HYDRA_TEST_MEMCHECK_DIR, one for each execution: after an
// upgrade the pid is the same.

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

int main(int argc, char** argv) {
  const char* directory = getenv("HYDRA_TEST_MEMCHECK_DIR");
  if (directory == nullptr) return 126;
  std::string report = std::string(directory) + "/report-XXXXXX";
  const int fd = mkstemp(report.data());
  if (fd < 0) return 126;
  close(fd);
  const std::string log_file = "--log-file=" + report;
  std::vector<const char*> arguments = {
      "valgrind", log_file.c_str(), "--error-markers=error{,}error",
      "--leak-check=full", "--track-fds=yes",
      // Its pipes would stay in /tmp when this process is executed over.
      "--vgdb=no",
      // A child is a copy until it executes what it is for.
      "--child-silent-after-fork=yes", HYDRA_TEST_MEMCHECK_PROGRAM};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  arguments.push_back(nullptr);
  execvp("valgrind", const_cast<char* const*>(arguments.data()));
  return 127;
}
