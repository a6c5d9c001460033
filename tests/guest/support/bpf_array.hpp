// SPDX-License-Identifier: MIT
// Memory of a driver that counts who has it mapped for writing.
#pragma once

#include "raw_device.hpp"

#include <cstddef>

namespace guest {

/// A BPF array of that many bytes, a multiple of the page size, which can be mapped.
file mappable_array(std::size_t length);

/// Makes the array constant for good: 0 or the errno. EBUSY while it is mapped for writing.
int freeze(const file& array);

} // namespace guest
