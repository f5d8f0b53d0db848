// Scenarios that the reference shim does not pass, and why.
//
// They run all the same, so that the day is noticed on which one does. A fault
// of Hydra's has no place here: it is fixed.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_DIFFERENCES_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_DIFFERENCES_H_

#include <string>

namespace hydra::testing {

// Why a test of what the runtime can do is skipped.
inline constexpr char kNotAsked[] =
    "containerd 1 asks no shim what its runtime can do";

// Why the test case may fail with the runtime and the engine under test; empty
// if it must not.
std::string ReferenceFault(const std::string& test_case);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_DIFFERENCES_H_
