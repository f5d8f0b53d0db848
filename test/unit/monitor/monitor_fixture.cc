#include "test/unit/monitor/monitor_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "shim/base/process_stat.h"
#include "shim/monitor/spawn.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Type;

UniqueFd Listen(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof(address.sun_path));
  strcpy(address.sun_path, path.c_str());
  REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&address),
               sizeof(address)) == 0);
  REQUIRE(listen(fd.get(), 128) == 0);
  return fd;
}

std::string ReadWholeFile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

MonitorFixture::MonitorFixture(const Options& options) {
  // A write to what the monitor has closed is to fail, not to end the tests.
  signal(SIGPIPE, SIG_IGN);
  char name[] = "/tmp/hydra-monitor-test-XXXXXX";
  REQUIRE(mkdtemp(name) != nullptr);
  directory_ = name;
  control_ = Listen(path("head.sock"));
  StartMonitor(options);
}

void MonitorFixture::StartMonitor(const Options& options) {
  const UniqueFd listener = Listen(socket_path());
  Pipe ready = MakePipe();
  const UniqueFd log(open(path("log").c_str(),
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  pid_ = fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    ExecMonitor(options, listener.get(), ready.write.get(), log.get());
  }
  ready.write.Reset();
  ready_ = ReadBytes(ready.read.get(), 4096);
  if (options.expect_failure || ready_ == std::string(1, '\0')) return;
  // A constructor that throws has no destructor.
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  std::filesystem::remove_all(directory_);
  FAIL("the monitor did not start: " << ready_);
}

void MonitorFixture::ExecMonitor(const Options& options, int listener,
                                 int ready_pipe, int log) {
  const int null_fd = open("/dev/null", O_RDWR);
  const int fds[] = {null_fd, null_fd, log, listener, ready_pipe};
  int moved[5];
  for (int i = 0; i < 5; ++i) moved[i] = fcntl(fds[i], F_DUPFD, 100);
  for (int i = 0; i < 5; ++i) dup2(moved[i], i);
  if (options.file_limit != 0) {
    const rlimit limit = {options.file_limit, options.file_limit};
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  setenv("NOTIFY_SOCKET", "/nowhere", 1);
  std::vector<std::string> words;
  if (const char* wrapper = getenv("HYDRA_TEST_WRAPPER")) {
    std::istringstream in(wrapper);
    for (std::string word; in >> word;) words.push_back(word);
  }
  for (const std::string& word :
       {std::string(HYDRA_MONITOR), std::string("--directory"), directory_,
        std::string("--socket"), socket_path(), std::string("--head"),
        std::string(options.head)}) {
    words.push_back(word);
  }
  if (options.starts_with_head) {
    int link[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0) {
      _exit(126);
    }
    const std::string control = path("head.sock");
    SpawnArgs head;
    head.argv = {options.head, control.c_str()};
    head.fds = {{link[1], link::kLinkFd}};
    pid_t head_pid = 0;
    if (SpawnProcess(head, &head_pid) != 0 || dup2(link[0], 5) < 0) _exit(126);
    words.insert(words.end(), {"--head-pid", std::to_string(head_pid)});
  }
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  words.insert(words.end(), {"--", path("head.sock")});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(126);
}

MonitorFixture::~MonitorFixture() {
  if (pid_ > 0) {
    for (pid_t child : Children()) {
      if (last_head_ != nullptr && child == last_head_->pid) continue;
      kill(child, SIGKILL);
    }
    bool quits = false;
    if (last_head_ != nullptr && last_head_->is_ready &&
        last_head_->link.valid() && IsAlive()) {
      last_head_->writer.Clear();
      last_head_->writer.Add(Type::kQuit);
      quits = last_head_->writer.Flush(last_head_->link.get());
    }
    if (!quits) kill(pid_, SIGKILL);
    const int status = WaitForEnd();
    if (quits) CHECK(status == 0);
  }
  std::filesystem::remove_all(directory_);
}

std::shared_ptr<FakeHead> MonitorFixture::AcceptHead() {
  REQUIRE(HeadComes(kPatience));
  auto head = std::make_shared<FakeHead>();
  head->control.Reset(accept4(control_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(head->control.valid());
  alignas(cmsghdr) char buffer[CMSG_SPACE(sizeof(int))];
  iovec iov = {&head->pid, sizeof(head->pid)};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = buffer;
  message.msg_controllen = sizeof(buffer);
  REQUIRE(Ready(head->control.get(), POLLIN, kPatience));
  REQUIRE(recvmsg(head->control.get(), &message, MSG_CMSG_CLOEXEC) ==
          sizeof(head->pid));
  int fd;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
  head->link.Reset(fd);
  last_head_ = head;
  return head;
}

std::shared_ptr<FakeHead> MonitorFixture::AcceptReadyHead() {
  auto head = AcceptHead();
  head->Hello();
  return head;
}

bool MonitorFixture::HeadComes(int timeout_ms) {
  return Ready(control_.get(), POLLIN, timeout_ms);
}

Message MonitorFixture::Deliver(Client& client, FakeHead& head,
                                uint32_t stream_id, std::string_view payload) {
  client.Send(stream_id, payload);
  Message message = head.Expect(Type::kRequest);
  CHECK(message.Body<link::Request>().stream_id == stream_id);
  CHECK(message.tail() == payload);
  return message;
}

int MonitorFixture::WaitForEnd() {
  int status = -1;
  const bool ended =
      Eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
  if (!ended) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  }
  CHECK(ended);
  pid_ = 0;
  return status;
}

bool MonitorFixture::IsAlive() {
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid_), &info,
                WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

std::string MonitorFixture::Log() { return ReadWholeFile(path("log")); }

int MonitorFixture::FdCount() const {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           "/proc/" + std::to_string(pid_) + "/fd")) {
    (void)entry;  // Only counted.
    ++count;
  }
  return count;
}

int64_t MonitorFixture::WakeUps() const {
  const std::string status =
      ReadWholeFile("/proc/" + std::to_string(pid_) + "/status");
  const std::string name = "\nvoluntary_ctxt_switches:";
  return std::stoll(status.substr(status.find(name) + name.size()));
}

bool MonitorFixture::ComesToRest() {
  // One that spins never goes to sleep, so its state is looked at as well.
  const std::string stat = "/proc/" + std::to_string(pid_) + "/stat";
  return Eventually([&] {
    const int64_t before = WakeUps();
    for (int slept = 0; slept < 300; slept += 10) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const std::string text = ReadWholeFile(stat);
      if (text[text.rfind(')') + 2] != 'S') return false;
    }
    return WakeUps() == before;
  });
}

std::chrono::milliseconds MonitorFixture::ProcessorTime() const {
  constexpr size_t kUserTime = 14 - 3, kSystemTime = 15 - 3;
  const std::vector<std::string> fields = ReadProcessStat(pid_);
  REQUIRE(fields.size() > kSystemTime);
  const long ticks =
      atol(fields[kUserTime].c_str()) + atol(fields[kSystemTime].c_str());
  return std::chrono::milliseconds(ticks * 1000 / sysconf(_SC_CLK_TCK));
}

std::vector<pid_t> MonitorFixture::Children() const {
  const std::string id = std::to_string(pid_);
  std::istringstream in(
      ReadWholeFile("/proc/" + id + "/task/" + id + "/children"));
  std::vector<pid_t> children;
  for (pid_t child; in >> child;) children.push_back(child);
  return children;
}

}  // namespace hydra::monitor
