// SPDX-License-Identifier: MIT
// The kinds of memory that the benchmark of pinning walks, in sizes that are worth measuring.
#pragma once

#include "../guest/support/mapping.hpp"
#include "pinners.hpp"

#include <span>
#include <string_view>

namespace bench {

struct memory_kind {
    std::string_view name;
    promise promised;
    /// New memory of that kind, of that size at least, all of it present and writable. Throws if
    /// it isn't of that kind: if there was no huge page to be had, say.
    guest::mapping (*map)(std::size_t length);
};

std::span<const memory_kind> memory_kinds();

} // namespace bench
