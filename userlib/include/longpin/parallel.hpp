// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>
#include <longpin/export.hpp>
#include <longpin/pin.hpp>
#include <longpin/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace longpin {

/// How pin_parallel() is to pin.
struct parallel_options {
    pin_options pins; ///< how each pin is to be made

    /// How many threads pin at once, the caller's among them; 0: one for each processor that the
    /// caller may run on. If the system gives fewer, it goes on with those.
    unsigned threads = 0;

    /// Called when a piece was pinned, with the bytes pinned so far and those of the whole range:
    /// by one thread at a time, which may be another than the caller's; may be empty. If it returns
    /// false nothing more is pinned, and the call fails with ECANCELED; what it throws, the call
    /// throws. It must not wait for a thread that pins, and signals don't reach it: the threads
    /// that are made here have them blocked.
    std::function<bool(std::uint64_t done, std::uint64_t total)> progress = {};
};

/// Holds every page that \p range touches, for reading, as device::pin() does, but in pieces that
/// several threads pin: for memory so large that one thread would take long, and to see how far it
/// is. All or nothing: when a piece is refused, those that were pinned are given back before the
/// call returns. Then the error is that of the first piece, by address, that was refused.
///
/// Pieces have 2 MiB to 1 GiB, by the size of the range, and end at multiples of their size: no
/// huge page is cut. Each is a pin of its own, with its own handle, and the limit of pins
/// (device_info::pins) counts each.
///
/// \returns the pins in the order of their addresses
/// \throws error  as device::pin(); ECANCELED: the progress function gave up
[[nodiscard]] LONGPIN_EXPORT std::vector<pin> pin_parallel(const device& from,
                                                           std::span<const std::byte> range,
                                                           const parallel_options& options = {});

/// As pin_parallel(), for programs without exceptions.
[[nodiscard]] LONGPIN_EXPORT result<std::vector<pin>>
try_pin_parallel(const device& from, std::span<const std::byte> range,
                 const parallel_options& options = {});

/// As pin_parallel(), for a holder that will also write to the pages: see device::pin_writable().
[[nodiscard]] LONGPIN_EXPORT std::vector<pin>
pin_parallel_writable(const device& from, std::span<std::byte> range,
                      const parallel_options& options = {});

/// As pin_parallel_writable(), for programs without exceptions.
[[nodiscard]] LONGPIN_EXPORT result<std::vector<pin>>
try_pin_parallel_writable(const device& from, std::span<std::byte> range,
                          const parallel_options& options = {});

} // namespace longpin
