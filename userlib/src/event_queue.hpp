// SPDX-License-Identifier: MIT
// The events that a stream has received and not given out yet.
#pragma once

#include <longpin/event_stream.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

struct nlmsghdr;

namespace longpin::detail {

/// Puts lost_events into its place among the events.
///
/// The kernel says that the buffer overflowed (ENOBUFS) before it hands out what is in the buffer,
/// and puts nothing more into it until that is read. So the gap is behind those events: where
/// the numbers of the events have one, or where nothing is left to be read. It may say so once
/// for two overflows with events between them, if the reader empties the buffer just then. So a gap
/// in the numbers does not settle an overflow: it is said once more when nothing is left, rather
/// than never. Events for which the kernel had no memory leave a gap in the numbers, and no other
/// trace.
class event_queue {
public:
    /// Takes a message of the family. One that is no event known to the library is passed
    /// over. Returns false for one that makes no sense.
    bool add(nlmsghdr& message);

    /// The kernel says that it dropped events.
    void overflowed();

    /// The kernel has nothing to be read.
    void drained();

    /// The next event; empty: there is none yet.
    std::optional<event> take();

private:
    std::deque<event> waiting_;
    std::optional<std::uint32_t> next_number_ = 1; // empty: any, since a loss was said just now
    std::optional<std::chrono::system_clock::time_point> overflow_; // not yet said
};

} // namespace longpin::detail
