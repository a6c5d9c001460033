// SPDX-License-Identifier: MIT
// Memory whose page faults go to user space.
#pragma once

#include "mapping.hpp"

#include <cstdint>

namespace guest {

/// The holder reads the faults and answers them.
file open_userfaultfd();

/// Sends it the faults of that memory; \p mode is UFFDIO_REGISTER_MODE_*.
void watch(const file& events, const mapping& memory, std::uint64_t mode);

} // namespace guest
