#include "shim/base/version.h"

namespace hydra {

const char* Version() { return HYDRA_VERSION; }

}  // namespace hydra
