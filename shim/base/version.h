// The release's number, which comes from CMake's project version.
//
// Any thread. Libc only, so that the monitor can use it. A function, so that a
// test build can be of another version without compiling everything again.

#ifndef HYDRA_BASE_VERSION_H_
#define HYDRA_BASE_VERSION_H_

namespace hydra {

// "0.1.0".
const char* Version();

}  // namespace hydra

#endif  // HYDRA_BASE_VERSION_H_
