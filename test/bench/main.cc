// hydra_bench: two shims, measured against each other in one run.
//
// run.sh starts it, inside namespaces of its own and beside a containerd of
// its own. Prints figures; the exit code says only whether they could be had.

#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/command.h"
#include "test/bench/engine_process.h"
#include "test/bench/report.h"
#include "test/bench/setup.h"

namespace hydra::bench {
namespace {

struct Options {
  std::string runtime = "io.containerd.hydra.v1";
  std::string against = "io.containerd.runc.v2";
  bool quick = false;
  std::string json;
  std::string svg;
  std::vector<std::string> only;
  Setup setup;
  Sizes sizes;
};

// Small enough for a test of the benchmark itself.
Sizes Quick() {
  Sizes sizes;
  sizes.runs = 2;
  sizes.calls = 50;
  sizes.streams = 1;
  sizes.stream_bytes = 16 << 20;
  sizes.containers = {2};
  sizes.settle_seconds = 1;
  sizes.deaths = 3;
  sizes.restarts = 1;
  sizes.polls = 1;
  sizes.polled_containers = 2;
  sizes.poll_seconds = 2;
  return sizes;
}

// By containerd's rule: io.containerd.runc.v2 is containerd-shim-runc-v2.
absl::StatusOr<Subject> ParseSubject(const std::string& runtime) {
  const size_t last = runtime.rfind('.');
  if (last == std::string::npos || last == 0) {
    return InvalidArgument("runtime " + runtime + ": no such name");
  }
  const size_t dot = runtime.rfind('.', last - 1);
  const size_t begin = dot == std::string::npos ? 0 : dot + 1;
  Subject subject;
  subject.runtime = runtime;
  subject.name =
      runtime.substr(begin, last - begin) + "-" + runtime.substr(last + 1);
  subject.shim = "containerd-shim-" + subject.name;
  subject.executables = {subject.shim};
  if (subject.name.rfind("hydra", 0) == 0) {
    subject.executables.push_back("hydra-monitor");
    subject.executables.push_back("hydra-grpc");
    subject.head = subject.shim;
  }
  return subject;
}

std::string FirstLine(const std::vector<std::string>& argv) {
  const absl::StatusOr<CommandResult> result = RunCommand(argv);
  if (!result.ok()) return "unknown";
  return result->output.substr(0, result->output.find('\n'));
}

std::string Processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

Report NewReport() {
  utsname system{};
  uname(&system);
  Report report;
  report.environment = {
      {"processors", std::to_string(std::thread::hardware_concurrency()) +
                         " x " + Processor()},
      {"kernel", system.release},
      {"containerd", FirstLine({"containerd", "--version"})},
      {"runtime", FirstLine({"runc", "--version"})}};
  return report;
}

absl::Status Write(const std::string& path, const std::string& text) {
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path);
  file << text;
  file.close();
  return file ? absl::OkStatus() : ErrnoError(EIO, "write", path);
}

// A case that does not work is named, and the others are measured all the
// same.
absl::Status Measure(const Options& options, EngineProcess* process,
                     Report* report) {
  const Notice notice = [](std::string_view text) {
    std::cerr << "  " << text << std::endl;
  };
  const Setup& setup = options.setup;
  const Sizes& sizes = options.sizes;
  const std::pair<const char*,
                  std::function<absl::StatusOr<std::vector<Case>>()>>
      groups[] = {
          {"commands", [&] { return MeasureCommands(setup, sizes); }},
          {"calls", [&] { return MeasureCalls(setup, sizes); }},
          {"output", [&] { return MeasureOutput(setup, sizes); }},
          {"deaths", [&] { return MeasureDeaths(setup, sizes, process); }},
          {"memory",
           [&] { return MeasureMemory(setup, sizes, process, notice); }},
          {"restart",
           [&] { return MeasureRestart(setup, sizes, process, notice); }},
          {"polls",
           [&] { return MeasurePolls(setup, sizes, process, notice); }},
      };
  absl::Status worst;
  for (const auto& [name, measure] : groups) {
    if (!options.only.empty() &&
        std::find(options.only.begin(), options.only.end(), name) ==
            options.only.end()) {
      continue;
    }
    std::cerr << "measuring " << name << std::endl;
    absl::StatusOr<std::vector<Case>> cases = measure();
    if (!cases.ok()) {
      std::cerr << "hydra_bench: " << name << ": " << Message(cases.status())
                << std::endl;
      worst = cases.status();
      continue;
    }
    for (Case& result : *cases) report->cases.push_back(std::move(result));
  }
  return worst;
}

absl::Status Run(Options* options) {
  for (const std::string& runtime : {options->runtime, options->against}) {
    HYDRA_ASSIGN_OR_RETURN(options->setup.subjects.emplace_back(),
                           ParseSubject(runtime));
  }
  EngineProcess process(options->setup);
  HYDRA_RETURN_IF_ERROR(process.Start({}));
  Report report = NewReport();
  const absl::Status status = Measure(*options, &process, &report);
  std::cout << Table(report);
  HYDRA_RETURN_IF_ERROR(Write(options->json, Json(report)));
  HYDRA_RETURN_IF_ERROR(Write(options->svg, Svg(report)));
  return status;
}

void Declare(CLI::App* app, Options* options) {
  Setup* setup = &options->setup;
  Sizes* sizes = &options->sizes;
  app->add_option("--runtime", options->runtime, "What is measured")
      ->capture_default_str();
  app->add_option("--against", options->against, "What it is compared with")
      ->capture_default_str();
  app->add_option("--only", options->only, "All without this")
      ->delimiter(',')
      ->check(CLI::IsMember({"commands", "calls", "output", "deaths", "memory",
                             "restart", "polls"}));
  app->add_option("--json", options->json, "A file for machines");
  app->add_option("--svg", options->svg, "A file with a picture");
  app->add_option("--runs", sizes->runs, "Samples of what runs a container");
  app->add_option("--calls", sizes->calls, "Samples of State");
  app->add_option("--streams", sizes->streams, "Samples of output");
  app->add_option("--bytes", sizes->stream_bytes, "Bytes of one stream");
  app->add_option("--containers", sizes->containers,
                  "At how many to measure memory and restarts, growing");
  app->add_option("--settle", sizes->settle_seconds,
                  "Seconds from the last start to measuring memory");
  app->add_option("--deaths", sizes->deaths, "Heads to kill");
  app->add_option("--restarts", sizes->restarts,
                  "Restarts of the engine at each count of containers");
  app->add_option("--polls", sizes->polls, "Polls of stats");
  app->add_option("--polled", sizes->polled_containers, "Containers polled");
  app->add_option("--poll-seconds", sizes->poll_seconds,
                  "From one poll to the next");
  app->add_option("--config", setup->config, "containerd's configuration")
      ->required();
  app->add_option("--log", setup->log, "Where containerd logs")->required();
  app->add_option("--address", setup->address, "Its socket")->required();
  app->add_option("--state", setup->state, "Its state directory")->required();
  app->add_option("--namespace", setup->containerd_namespace)->required();
  app->add_option("--image", setup->image, "busybox, unpacked")->required();
  app->add_option("--snapshotter", setup->snapshotter)->required();
  app->add_option("--rootfs", setup->rootfs, "busybox")->required();
  app->add_option("--work", setup->work, "An empty directory")->required();
}

}  // namespace
}  // namespace hydra::bench

int main(int argc, char** argv) {
  using namespace hydra::bench;
  signal(SIGPIPE, SIG_IGN);
  Options options;
  // Before the rest, so that a size given besides is kept.
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--quick") options.sizes = Quick();
  }
  CLI::App app("Measures a shim against another, in the same run.",
               "hydra_bench");
  app.add_flag("--quick", options.quick, "Tiny sizes, to see that it works");
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(&options);
  if (status.ok()) return 0;
  std::cerr << "hydra_bench: " << hydra::Message(status) << std::endl;
  return 1;
}
