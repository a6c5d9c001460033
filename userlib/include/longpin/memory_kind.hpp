// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace longpin {

/// What kinds of memory a range holds: a set of bits, since a range may mix them.
enum class memory_kind : std::uint32_t {
    none = 0,
    anon = 1U << 0,         ///< anonymous memory of the process, small or transparent huge pages
    shmem = 1U << 1,        ///< shared anonymous memory, memfd, tmpfs files, System V segments
    hugetlb = 1U << 2,      ///< hugetlbfs pages of any size
    private_file = 1U << 3, ///< the process's own copies of a file that is mapped privately
    file = 1U << 4,         ///< a file mapped shared, through the page cache
    devdax = 1U << 5,       ///< device-DAX
    device = 1U << 6,       ///< pages that another driver mapped
    fsdax = 1U << 7,        ///< a file on file-system DAX, which can be leased only
};

/// The kinds in either set.
constexpr memory_kind operator|(memory_kind left, memory_kind right) noexcept {
    return static_cast<memory_kind>(static_cast<std::uint32_t>(left) |
                                    static_cast<std::uint32_t>(right));
}

/// The kinds in both sets.
constexpr memory_kind operator&(memory_kind left, memory_kind right) noexcept {
    return static_cast<memory_kind>(static_cast<std::uint32_t>(left) &
                                    static_cast<std::uint32_t>(right));
}

/// Whether \p set has one of \p wanted.
constexpr bool contains(memory_kind set, memory_kind wanted) noexcept {
    return (set & wanted) != memory_kind::none;
}

/// The names of the kinds in \p set, lowest bit first: {"anon", "hugetlb"}. A kind
/// that this version of the library does not know is named "unknown".
LONGPIN_EXPORT std::vector<std::string_view> names(memory_kind set);

} // namespace longpin
