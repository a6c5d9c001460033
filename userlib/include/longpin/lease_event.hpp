// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/cause.hpp>
#include <longpin/export.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>

namespace longpin {

/// What a lease_event says. The numbers are those of the kernel's interface, and a newer module
/// may send one that is not listed.
enum class lease_event_type : std::uint32_t {
    revoking = 1, ///< the pages will be taken back when the pin's grace is over: stop what uses
                  ///< them, and pin::let_go() of them then; revoked follows for the others
    revoked = 2,  ///< the pages of the range that the pin held were taken back
    overflow = 3, ///< events were dropped here, since too many waited: pin::query() each leased
                  ///< pin, whose revoked_pages tell
};

/// The short name of a type: "revoked". "unknown" for a number that this version of the
/// library does not know.
LONGPIN_EXPORT std::string_view name(lease_event_type type) noexcept;

/// What happened to a leased pin: given by device::next_event().
struct lease_event {
    lease_event_type type = lease_event_type::revoked; ///< what this is
    std::uint32_t handle = 0;        ///< the pin, which may have ended by now; 0 for overflow
    longpin::cause cause{};          ///< what took the pages back; 0 for overflow
    std::uint64_t cookie = 0;        ///< the pin's
    std::uint64_t offset = 0;        ///< first byte, counted from the start of the pin
    std::uint64_t length = 0;        ///< bytes; adjacent pages may come as one event
    std::uint64_t lost = 0;          ///< overflow: how many events; 0 for all others
    std::chrono::nanoseconds time{}; ///< when, by CLOCK_BOOTTIME

    /// Equal when all members are.
    bool operator==(const lease_event&) const = default;
};

} // namespace longpin
