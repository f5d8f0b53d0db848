#include "cmd/hydra/each.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cmd/hydra/find.h"
#include "cmd/hydra/progress.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

// Each has a connection, of which a process may have 1024 by default.
constexpr size_t kAtOnce = 100;

Json Described(const Client& client, const Json& result) {
  Json object = IdentityOf(client.instance());
  object.update(result);
  return object;
}

// Whether it has failed, as it then says. An error: nothing can be printed.
absl::StatusOr<bool> Tell(const Invocation& invocation, const std::string& name,
                          const absl::StatusOr<Json>& result) {
  if (!result.ok()) {
    Complain(invocation.json(), invocation.verb().name, result.status(), name);
    return true;
  }
  HYDRA_RETURN_IF_ERROR(invocation.json() ? PrintJson(*result)
                                          : Print(name + "\n"));
  return false;
}

using Act = std::function<Async<absl::StatusOr<Json>>(Client& client)>;

// One of those that are under way.
struct Work {
  std::string name;
  std::unique_ptr<Client> client;
  Future<absl::StatusOr<Json>> result;
};

Async<void> Run(const Act& act, Work* work) {
  const absl::StatusOr<Json> result = co_await act(*work->client);
  if (!result.ok()) {
    work->result.Set(result.status());
  } else {
    work->result.Set(Described(*work->client, *result));
  }
}

std::unique_ptr<Work> Begin(const Invocation& invocation,
                            const std::string& name, EventLoop* loop,
                            const Act& act) {
  auto work = std::make_unique<Work>();
  work->name = name;
  absl::StatusOr<std::unique_ptr<Client>> client =
      ClientOf(invocation, name, loop);
  if (!client.ok()) {
    work->result.Set(client.status());
  } else {
    work->client = *std::move(client);
    Detach(Run(act, work.get()));
  }
  return work;
}

Async<absl::StatusOr<Json>> End(const Work* work) {
  co_return co_await work->result;
}

}  // namespace

Json IdentityOf(const FoundInstance& instance) {
  return {{"namespace", instance.container_namespace}, {"id", instance.id}};
}

absl::StatusOr<int> ForEachContainer(
    const Invocation& invocation,
    const std::function<absl::StatusOr<Json>(Client& client)>& act) {
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop,
                         EventLoop::Create());
  bool has_failed = false;
  for (const std::string& name : invocation.arguments()) {
    const auto act_on = [&]() -> absl::StatusOr<Json> {
      HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                             ClientOf(invocation, name, loop.get()));
      HYDRA_ASSIGN_OR_RETURN(const Json result, act(*client));
      return Described(*client, result);
    };
    HYDRA_ASSIGN_OR_RETURN(const bool failed, Tell(invocation, name, act_on()));
    has_failed = has_failed || failed;
  }
  return has_failed ? kFailedStatus : 0;
}

absl::StatusOr<int> ForEachAtOnce(const Invocation& invocation,
                                  const std::string& what, const Act& act) {
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop,
                         EventLoop::Create());
  const std::vector<std::string>& names = invocation.arguments();
  bool has_failed = false;
  for (size_t begin = 0; begin < names.size(); begin += kAtOnce) {
    const size_t end = std::min(begin + kAtOnce, names.size());
    Progress progress(
        loop.get(),
        what + " " +
            (end - begin == 1 ? names[begin]
                              : std::to_string(end - begin) + " containers"));
    std::vector<std::unique_ptr<Work>> works;
    for (size_t i = begin; i < end; ++i) {
      works.push_back(Begin(invocation, names[i], loop.get(), act));
    }
    for (const auto& work : works) {
      const absl::StatusOr<Json> result = Await(loop.get(), End(work.get()));
      progress.Hide();
      HYDRA_ASSIGN_OR_RETURN(const bool failed,
                             Tell(invocation, work->name, result));
      has_failed = has_failed || failed;
    }
  }
  return has_failed ? kFailedStatus : 0;
}

}  // namespace hydra::command
