// SPDX-License-Identifier: MIT
// The records that read() of an open file gives.
#pragma once

#include <longpin/lease_event.hpp>

#include <chrono>
#include <optional>
#include <span>

namespace longpin::detail {

class open_file;

/// Reads the events that are there, as many as \p buffer has room for, and cuts it to what was
/// filled. Waits for the first one; it is cut to nothing when the time is over, or when a signal
/// came.
/// \param timeout  how long at most; empty: for ever
/// \returns 0 or the errno; EPROTO for records that make no sense
int read_lease_events(const open_file& file, std::span<lease_event>& buffer,
                      std::optional<std::chrono::milliseconds> timeout) noexcept;

} // namespace longpin::detail
