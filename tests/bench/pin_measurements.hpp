// SPDX-License-Identifier: MIT
// Counting what pinning and unpinning takes, in a guest whose clock counts instructions.
#pragma once

#include "figures.hpp"

#include <string_view>

namespace bench {

/// By longpin and by its peers, of the kinds of memory that have \p wanted in their names. Tells
/// each figure on standard error.
figures measure_pins(std::string_view wanted);

/// A few figures of longpin that stand for the others, in some seconds.
figures measure_recorded_pins();

} // namespace bench
