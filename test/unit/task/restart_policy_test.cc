#include "shim/task/restart_policy.h"

#include <catch2/catch.hpp>

namespace hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

state::Native WithPolicy(v1::RestartPolicy::Name name, uint32_t retries = 0) {
  state::Native native;
  native.mutable_restart()->set_name(name);
  native.mutable_restart()->set_max_retries(retries);
  return native;
}

TEST_CASE("without a policy nothing starts again", "[restart]") {
  state::Native native = WithPolicy(v1::RestartPolicy::NO);
  CHECK_FALSE(DelayOfNextStart(&native, 1, seconds(0)).has_value());
  CHECK(native.failures() == 0);
}

TEST_CASE("only so many failures in a row", "[restart]") {
  state::Native native = WithPolicy(v1::RestartPolicy::ON_FAILURE, 2);
  CHECK_FALSE(DelayOfNextStart(&native, 0, seconds(0)).has_value());
  CHECK(DelayOfNextStart(&native, 1, seconds(0)) == milliseconds(100));
  CHECK(DelayOfNextStart(&native, 1, seconds(0)) == milliseconds(200));
  CHECK_FALSE(DelayOfNextStart(&native, 1, seconds(0)).has_value());
  // A long run begins the count anew.
  CHECK(DelayOfNextStart(&native, 1, seconds(10)) == milliseconds(100));
}

TEST_CASE("the wait doubles up to a minute", "[restart]") {
  for (const auto name :
       {v1::RestartPolicy::ALWAYS, v1::RestartPolicy::UNLESS_STOPPED,
        v1::RestartPolicy::ON_FAILURE}) {
    state::Native native = WithPolicy(name);
    milliseconds wanted{100};
    for (int i = 0; i < 100; ++i) {
      CHECK(DelayOfNextStart(&native, 1, seconds(9)) ==
            std::min(wanted, milliseconds(60'000)));
      wanted = std::min(wanted * 2, milliseconds(60'000));
    }
    CHECK(DelayOfNextStart(&native, 1, seconds(3600)) == milliseconds(100));
  }
  // Whatever the status.
  state::Native native = WithPolicy(v1::RestartPolicy::ALWAYS);
  CHECK(DelayOfNextStart(&native, 0, seconds(0)) == milliseconds(100));
}

TEST_CASE("what was stopped stays so", "[restart]") {
  state::Native native = WithPolicy(v1::RestartPolicy::ALWAYS);
  native.set_stopped(true);
  CHECK_FALSE(DelayOfNextStart(&native, 1, seconds(0)).has_value());
}

}  // namespace
}  // namespace hydra
