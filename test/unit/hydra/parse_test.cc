#include <catch2/catch.hpp>
#include <set>

#include "cmd/hydra/container_options.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/verb.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

using Words = std::vector<std::string>;

Invocation Parsed(const std::string& verb, const Words& words) {
  const absl::StatusOr<Invocation> parsed = Parse(*FindVerb(verb), words);
  if (!parsed.ok()) FAIL(Message(parsed.status()));
  return *parsed;
}

absl::Status Wrong(const std::string& verb, const Words& words) {
  return Parse(*FindVerb(verb), words).status();
}

TEST_CASE("verbs are found by their names and aliases", "[hydra]") {
  std::set<std::string> names;
  for (const Verb& verb : Verbs()) {
    CHECK(names.insert(verb.name).second);
    CHECK(FindVerb(verb.name) == &verb);
    for (const std::string& alias : verb.aliases) {
      CHECK(names.insert(alias).second);
      CHECK(FindVerb(alias) == &verb);
    }
    CHECK_FALSE(verb.summary.empty());
    CHECK_FALSE(verb.summary.ends_with("."));
    // No option means two things.
    std::set<std::string> options;
    for (const auto* list : {&verb.options, &CommonOptions()}) {
      for (const Option& option : *list) {
        const size_t comma = option.names.find(',');
        CAPTURE(verb.name, option.names);
        CHECK(options.insert(option.names.substr(comma + 1)).second);
        if (comma != std::string::npos) {
          CHECK(options.insert(option.names.substr(0, comma)).second);
        }
      }
    }
  }
  CHECK(FindVerb("resume") == FindVerb("unpause"));
  CHECK(FindVerb("nosuch") == nullptr);
}

TEST_CASE("the command of a container keeps its options", "[hydra]") {
  const Invocation run =
      Parsed("run", {"-it", "--rootfs", "/r", "-e", "A=1", "-eB=2", "--rm",
                     "sh", "-c", "x", "--rm", "-d"});
  CHECK(run.Has("tty"));
  CHECK(run.Has("interactive"));
  CHECK(run.Has("rm"));
  CHECK_FALSE(run.Has("detach"));
  CHECK(run.Get("rootfs") == "/r");
  CHECK(run.All("env") == Words{"A=1", "B=2"});
  CHECK(run.arguments() == Words{"sh", "-c", "x", "--rm", "-d"});

  CHECK(Parsed("run", {"--rootfs=/r", "--", "-d"}).arguments() == Words{"-d"});
  CHECK(Parsed("run", {"-de", "A=1", "x", "-y"}).arguments() ==
        Words{"x", "-y"});
  const Invocation exec =
      Parsed("exec", {"-w", "/tmp", "c", "ls", "-l", "--format", "json"});
  CHECK(exec.arguments() == Words{"c", "ls", "-l", "--format", "json"});
  CHECK_FALSE(exec.json());
  CHECK(Parsed("exec", {"--format=json", "c", "ls"}).json());
  CHECK(Parsed("exec", {"c", "--", "ls", "-l"}).arguments() ==
        Words{"c", "ls", "-l"});
}

TEST_CASE("options of verbs without a command go anywhere", "[hydra]") {
  const Invocation stop = Parsed("stop", {"a", "-t", "5", "b"});
  CHECK(stop.Get("time") == "5");
  CHECK(stop.arguments() == Words{"a", "b"});
  CHECK(Parsed("ps", {"-aq"}).Has("quiet"));
  // The last one counts, where there is one.
  CHECK(Parsed("stop", {"-t", "5", "-t", "6", "a"}).Get("time") == "6");
  CHECK(Parsed("stop", {"-h"}).Has("help"));
}

TEST_CASE("words that make no sense", "[hydra]") {
  for (const auto& [verb, words] :
       std::vector<std::pair<std::string, Words>>{{"stop", {}},
                                                  {"stop", {"--bogus", "a"}},
                                                  {"stop", {"a", "-t"}},
                                                  {"ps", {"a"}},
                                                  {"attach", {"a", "b"}},
                                                  {"exec", {"a"}},
                                                  {"exec", {}},
                                                  {"ps", {"--format", "xml"}},
                                                  {"ps", {"--timeout", "x"}},
                                                  {"run", {"--rootfs"}}}) {
    CAPTURE(verb, words);
    CHECK(absl::IsInvalidArgument(Wrong(verb, words)));
  }
}

TEST_CASE("durations", "[hydra]") {
  using std::chrono::milliseconds;
  for (const auto& [text, ms] :
       std::vector<std::pair<std::string, int>>{{"0", 0},
                                                {"30", 30'000},
                                                {"30s", 30'000},
                                                {"500ms", 500},
                                                {"2m", 120'000},
                                                {"1h", 3'600'000}}) {
    const auto parsed = ParseDuration("--time", text);
    REQUIRE(parsed.ok());
    CHECK(*parsed == milliseconds(ms));
  }
  for (const char* text :
       {"", "s", "-1", "1.5s", "1d", "99999999999h", "1 s"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(ParseDuration("--time", text).status()));
  }
}

TEST_CASE("restart policies", "[hydra]") {
  for (const char* text :
       {"no", "on-failure", "on-failure:3", "always", "unless-stopped"}) {
    const auto policy = ParseRestartPolicy(text);
    REQUIRE(policy.ok());
    CHECK(RestartPolicyText(*policy) == text);
  }
  CHECK(ParseRestartPolicy("on-failure:3")->max_retries() == 3);
  for (const char* text : {"", "yes", "on-failure:", "on-failure:x",
                           "on-failure3", "on-failure:-1", "always:2"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(ParseRestartPolicy(text).status()));
  }
}

}  // namespace
}  // namespace hydra::command
