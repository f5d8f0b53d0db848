// Numbers as people and configuration files write them.
//
// Any thread.

#ifndef HYDRA_BASE_NUMBERS_H_
#define HYDRA_BASE_NUMBERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hydra {

// A whole decimal number and nothing else.
std::optional<uint64_t> ParseDecimal(std::string_view text);

// Bytes: a number, and perhaps k, m, g or t (1024s), in either case, and
// perhaps a "b" or "ib" behind it.
std::optional<uint64_t> ParseSize(std::string_view text);

}  // namespace hydra

#endif  // HYDRA_BASE_NUMBERS_H_
