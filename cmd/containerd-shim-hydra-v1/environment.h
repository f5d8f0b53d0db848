// What is passed on to the processes that are started here.

#ifndef HYDRA_CMD_SHIM_ENVIRONMENT_H_
#define HYDRA_CMD_SHIM_ENVIRONMENT_H_

#include <string>
#include <vector>

namespace hydra {

// This process's environment without NOTIFY_SOCKET: it is the engine's, whose
// readiness nobody but the engine may report. If `ttrpc_address` is not empty,
// TTRPC_ADDRESS is set to it.
std::vector<std::string> ChildEnvironment(
    const std::string& ttrpc_address = {});

// Pointers into `strings` as execve(2) wants them, with the null at the end;
// they live as long as `strings` stays unchanged.
std::vector<char*> PointersTo(std::vector<std::string>& strings);

// The same to look at, and without the null.
std::vector<const char*> ConstPointersTo(
    const std::vector<std::string>& strings);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_ENVIRONMENT_H_
