// A shim that the test drives instead of containerd: the bundle, the FIFOs and
// the calls are the test's own. Events go to a real containerd, or to nobody.
//
// Main thread only. What the test creates it must delete: the fixture's check
// for leftovers covers these shims too.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_BARE_SHIM_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_BARE_SHIM_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/containerd.h"
#include "test/integration/harness/task_client.h"

namespace hydra::testing {

class BareShim final {
 public:
  // Makes the bundle with a root file system, config.json for `command` and
  // the log FIFO. `engine` stays the caller's.
  BareShim(const Containerd* engine, const std::string& runtime,
           const std::string& id, const std::vector<std::string>& command);

  const std::string& id() const { return id_; }
  const std::string& bundle() const { return bundle_; }

  // For changes before Start; to be written with WriteSpec.
  nlohmann::json& spec() { return spec_; }
  void WriteSpec() const;
  // Its instance is to belong to nobody; before Start. Events are not sent.
  void LeaveEngine() { has_engine_ = false; }
  // "NAME=value", for the shim and the processes that it starts; before Start.
  void AddEnvironment(const std::string& variable) {
    environment_.push_back(variable);
  }

  // `SHIM start` with `input` on standard input; the address, when it exits
  // with 0, becomes socket().
  Result Start(const std::string& input = {});
  // `SHIM delete`, as containerd calls it when the connection has ended.
  Result Delete() const;
  const std::string& socket() const { return socket_; }
  std::unique_ptr<TtrpcClient> Connect() const;

  // A request for the bundle; standard streams are FIFOs in the bundle if
  // `with_streams`, else empty.
  task_api::CreateTaskRequest CreateRequest(bool with_streams = false) const;
  std::string stream(const std::string& name) const {
    return bundle_ + "/" + name;
  }

 private:
  Result RunShim(const std::vector<std::string>& arguments,
                 const std::string& input) const;

  const Containerd* engine_;
  std::string runtime_;
  std::string id_;
  std::string bundle_;
  std::string socket_;
  bool has_engine_ = true;
  std::vector<std::string> environment_;
  nlohmann::json spec_;
  // Held open as containerd does.
  UniqueFd log_;
};

// Collects what comes out of a FIFO, without ever blocking its writer's open.
class FifoReader final {
 public:
  // Makes the FIFO if it is not there.
  explicit FifoReader(const std::string& path);
  // Until the writers, of which there must have been one, are gone; false at
  // the limit.
  bool ReadToEnd(Milliseconds limit = kPatience);
  bool ReadUntil(const std::string& text, Milliseconds limit = kPatience);
  const std::string& data() const { return data_; }

 private:
  // False at the end of the file.
  bool ReadSome(Milliseconds limit);

  UniqueFd fd_;
  std::string data_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_BARE_SHIM_H_
