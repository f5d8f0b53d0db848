// One after the other, containers whose whole life is checked.

#ifndef HYDRA_TEST_CHAOS_LANE_H_
#define HYDRA_TEST_CHAOS_LANE_H_

#include <cstdint>

#include "test/chaos/world.h"

namespace hydra::testing {

// A thread's body: containers of the plan, until World::finish. Asserts
// nothing; what is wrong goes to World::Fail.
void RunLane(World* world, uint64_t lane);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_CHAOS_LANE_H_
