// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/cause.hpp>
#include <longpin/inventory.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

namespace longpin {

namespace detail {
class subscription;
}

/// A pin was made.
struct pinned_event {
    pin_record pin; ///< as it was made
};

/// A pin ended, and its pages were given back.
struct unpinned_event {
    pin_record pin;                               ///< as it was at its end
    longpin::cause cause = longpin::cause::unpin; ///< what ended it
};

/// A pin was refused. Dry runs are no events.
struct refused_event {
    pin_record request;  ///< context, pid, comm, uid, address, length, cookie, writable
    int errno_value = 0; ///< what the call failed with
    refusal facts;       ///< why
};

/// Pages of a leased pin were taken back. Told a moment later; while many come at once some may be
/// lost, as told at lost_events.
struct revoked_event {
    pin_record pin;           ///< as it is now
    longpin::cause cause{};   ///< what took them back
    std::uint64_t offset = 0; ///< first byte that was taken back, counted from the pin's address
    std::uint64_t length = 0; ///< bytes
};

/// A leased pin got pages again, for those that had been taken back.
struct repinned_event {
    pin_record pin; ///< as it is now
};

/// The kernel had to drop events, since they were not read fast enough; how many is not known. What
/// follows is complete again: list the pins afresh to go on from there.
struct lost_events {};

/// Something that happened, and when.
struct event {
    /// When it happened; for lost_events, when the loss was noticed.
    std::chrono::system_clock::time_point time;
    /// What happened.
    std::variant<pinned_event, unpinned_event, refused_event, revoked_event, repinned_event,
                 lost_events>
        what;
};

/// Which events are meant: those that match every member that is set.
struct event_filter {
    std::optional<pid_t> pid; ///< who made the request, in the reader's pid namespace
    std::optional<uid_t> uid; ///< who is charged
};

/// The events of the module as they happen, from the making of the object on. A reader
/// with CAP_SYS_ADMIN gets those of everybody, any other those of its own uid.
///
/// To follow what is pinned, make the stream first and list the pins then: what happens in between
/// is waiting in the stream.
///
/// Move-only; an object that was moved from may be assigned and destroyed, every other member
/// throws std::logic_error.
///
/// Thread safety: one thread at a time. Different objects are independent of each other.
class LONGPIN_EXPORT event_stream {
public:
    /// Subscribes.
    /// \throws error  ENOENT: the module is not loaded; EDQUOT: the user has too many streams
    explicit event_stream(const event_filter& filter = {});

    /// As the constructor, for programs without exceptions.
    [[nodiscard]] static result<event_stream> try_open(const event_filter& filter = {});

    /// Takes it over, and leaves \p other without.
    event_stream(event_stream&& other) noexcept;

    /// Lets go of what it had, and takes \p other's over.
    event_stream& operator=(event_stream&& other) noexcept;
    event_stream(const event_stream&) = delete;
    event_stream& operator=(const event_stream&) = delete;
    ~event_stream();

    /// The next event, in the order in which they happened. Waits for one.
    /// \param timeout  how long at most; empty: for ever. 0: not at all
    /// \returns empty when the time is over, or when a signal came meanwhile (so that a program
    ///          can look at what its handler left)
    /// \throws error  ENODEV: the module was unloaded, and has forgotten the stream
    [[nodiscard]] std::optional<event> next(std::optional<std::chrono::milliseconds> timeout = {});

    /// As next(), for programs without exceptions.
    [[nodiscard]] result<std::optional<event>>
    try_next(std::optional<std::chrono::milliseconds> timeout = {});

    /// A file descriptor for poll(): readable when there are events. Stays the property of
    /// the stream. One wakeup may stand for several events, and for none now and then: call
    /// next() with a timeout of 0 until it returns nothing.
    [[nodiscard]] int native_handle() const;

private:
    explicit event_stream(std::unique_ptr<detail::subscription> subscription) noexcept;
    [[nodiscard]] detail::subscription& subscription() const;

    std::unique_ptr<detail::subscription> subscription_;
};

} // namespace longpin
