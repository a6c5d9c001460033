// SPDX-License-Identifier: MIT
// What is mapped where.
#pragma once

#include "raw_device.hpp"

#include <cstddef>
#include <cstdint>

namespace guest {

/// The physical addresses behind the mappings of the process that makes the object, of
/// /proc/self/pagemap.
class page_table {
public:
    page_table();

    /// 0 if no page is present.
    [[nodiscard]] std::uint64_t physical_address(const std::byte* address) const;

private:
    file pagemap_;
};

/// In the process that asks.
std::uint64_t physical_address(const std::byte* address);

} // namespace guest
