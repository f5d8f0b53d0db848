#include "cmd/hydra/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace hydra::command {
namespace {

constexpr std::chrono::seconds kStep{1};

}  // namespace

Progress::Progress(EventLoop* loop, std::string what)
    : loop_(loop),
      what_(std::move(what)),
      begin_(std::chrono::steady_clock::now()) {
  if (what_.empty() || isatty(STDERR_FILENO) != 1) return;
  timer_ = loop_->After(kStep, [this] { Draw(); });
}

Progress::~Progress() { Hide(); }

void Progress::Hide() {
  if (std::exchange(is_drawn_, false)) fputs("\r\033[K", stderr);
}

void Progress::Draw() {
  const auto passed = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::steady_clock::now() - begin_);
  fprintf(stderr, "\r\033[K%s ... %lld s", what_.c_str(),
          static_cast<long long>(passed.count()));
  is_drawn_ = true;
  timer_ = loop_->After(kStep, [this] { Draw(); });
}

}  // namespace hydra::command
