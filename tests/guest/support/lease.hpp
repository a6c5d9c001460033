// SPDX-License-Identifier: MIT
// Files on fs-DAX, and leased pins of them.
#pragma once

#include "mapping.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace guest {

inline constexpr std::uint32_t leased = LONGPIN_PIN_LEASE;
inline constexpr std::uint32_t leased_write = LONGPIN_PIN_LEASE | LONGPIN_PIN_WRITE;

/// The backings that are file systems with DAX.
inline constexpr std::array<const char*, 2> dax_filesystems = {"xfs_dax", "ext4_dax"};

/// A file on fs-DAX, filled with the pattern of fill() and mapped whole, shared.
struct dax_file {
    dax_file(const std::string& filesystem, std::size_t size);

    file descriptor;
    mapping memory;
};

/// What QUERY says of a pin that has to be there.
longpin_query must_query(const raw_device& device, std::uint32_t handle);

/// Whether the pages [\p first, \p end) are those that COPY calls stale, and all others of the pin,
/// which starts at a page, hold what is mapped there. QUERY, EXTENTS and COPY agree.
bool lost_exactly(const raw_device& device, std::uint32_t handle, std::size_t first,
                  std::size_t end);

} // namespace guest
