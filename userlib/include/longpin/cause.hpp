// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>

#include <cstdint>
#include <string_view>

namespace longpin {

/// What ended a pin, or took pages of a leased one back. The numbers are those of the kernel's
/// interface, and a newer module may send one that is not listed.
enum class cause : std::uint32_t {
    unpin = 1,      ///< LONGPIN_UNPIN
    close = 2,      ///< the last reference to the open file went
    unmap = 3,      ///< the range was unmapped, moved or mapped over
    invalidate = 4, ///< the pages were taken out of the mapping: a file was cut, MADV_DONTNEED, or
                    ///< the kernel moved or reclaimed them
    exit = 5,       ///< the process that made the pin ended, or called execve()
    let_go = 6,     ///< LONGPIN_LET_GO
    write_protect = 7, ///< a file system with DAX write-protected pages of a lease for writing
};

/// The short name of a cause: "unpin". "unknown" for a number that this version of the
/// library does not know.
LONGPIN_EXPORT std::string_view name(cause what) noexcept;

} // namespace longpin
