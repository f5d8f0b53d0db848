// A pipe, and a Catch2 failure where there is none to be had.

#ifndef HYDRA_TEST_UNIT_BASE_PIPE_H_
#define HYDRA_TEST_UNIT_BASE_PIPE_H_

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "shim/base/unique_fd.h"

namespace hydra {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

inline Pipe MakePipe() {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_BASE_PIPE_H_
