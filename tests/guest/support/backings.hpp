// SPDX-License-Identifier: MIT
// The kinds of memory that the contract speaks of, made ready to be pinned: one list for every test
// that walks them.
#pragma once

#include "mapping.hpp"

#include <span>
#include <string_view>

namespace guest {

enum class backing_kind {
    anonymous,
    shmem,
    hugetlb,
    private_file,
    shared_file,
    device_dax,
    fs_dax,
    secret,
    io,
    pfnmap,
    hole,
};

struct memory_backing {
    std::string_view name;
    backing_kind kind;
    int protection;
    /// New memory of that kind. What may be touched, and isn't wanted untouched, has the pattern
    /// of fill() in its first and last pages.
    mapping (*map)();
    /// What of it one reference holds.
    std::size_t unit = page;
};

/// All that this kernel has: with PREEMPT_RT there are neither device-DAX nor huge pages of
/// anonymous memory.
std::span<const memory_backing> memory_backings();

/// The one of that name. Throws if there is none.
const memory_backing& memory_backing_named(std::string_view name);

/// Where the backing "hole" has its hole.
inline constexpr std::size_t hole_offset = 3 * page;

} // namespace guest
