// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace longpin {

/// A physically contiguous stretch of a pin.
struct extent {
    std::uint64_t offset = 0;           ///< first byte, counted from the start of the pin
    std::uint64_t length = 0;           ///< bytes
    std::uint64_t physical_address = 0; ///< of the first byte; 0 without CAP_SYS_ADMIN

    bool operator==(const extent&) const = default;
};

} // namespace longpin
