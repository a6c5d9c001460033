// SPDX-License-Identifier: MIT
#include "event_queue.hpp"
#include "netlink_message.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <optional>
#include <string>

using longpin::detail::event_queue;

namespace {

/// An event of that number, about the pin of the same handle if none is given.
netlink_message pinned(std::uint32_t number, std::uint8_t command = LONGPIN_CMD_PINNED_NTF,
                       std::optional<std::uint32_t> handle = {}) {
    auto message = netlink_message::of_command(command);
    message.u32(LONGPIN_A_PIN_SEQUENCE, number)
        .u32(LONGPIN_A_PIN_CONTEXT, 1)
        .u32(LONGPIN_A_PIN_HANDLE, handle.value_or(number));
    return message;
}

/// Everything that is there, by the handles: "1 2 lost 3".
std::string take_all(event_queue& queue) {
    std::string all;
    while (const auto next = queue.take()) {
        const auto* const event = std::get_if<longpin::pinned_event>(&next->what);
        all += (all.empty() ? "" : " ") +
               (event != nullptr ? std::to_string(event->pin.handle) : "lost");
    }
    return all;
}

} // namespace

TEST_CASE("Events are given out in the order in which they came") {
    event_queue queue;
    CHECK_FALSE(queue.take());
    CHECK(queue.add(pinned(1).header()));
    CHECK(queue.add(pinned(2).header()));
    queue.drained();
    CHECK(take_all(queue) == "1 2");
    CHECK_FALSE(queue.take());
}

TEST_CASE("What is no event to this library is passed over, and is no loss") {
    event_queue queue;
    CHECK(queue.add(pinned(1, LONGPIN_CMD_MAX + 1).header()));
    CHECK(queue.add(pinned(2, LONGPIN_CMD_PIN_GET).header()));
    CHECK(queue.add(pinned(3).header()));
    queue.drained();
    CHECK(take_all(queue) == "3");
}

TEST_CASE("An event that makes no sense is told") {
    event_queue queue;
    auto message = netlink_message::of_command(LONGPIN_CMD_PINNED_NTF);
    CHECK_FALSE(queue.add(message.u32(LONGPIN_A_PIN_SEQUENCE, 1).header()));
    CHECK_FALSE(queue.take());
}

TEST_CASE("A loss stands behind the events that were in the buffer when it overflowed") {
    event_queue queue;
    const auto before = std::chrono::system_clock::now();
    queue.overflowed();
    const auto after = std::chrono::system_clock::now();
    CHECK_FALSE(queue.take()); // not yet: there may be older events
    CHECK(queue.add(pinned(1).header()));
    CHECK(queue.add(pinned(2).header()));
    CHECK(take_all(queue) == "1 2");
    queue.drained();
    const auto lost = queue.take();
    REQUIRE(lost);
    CHECK(std::holds_alternative<longpin::lost_events>(lost->what));
    CHECK(lost->time >= before);
    CHECK(lost->time <= after);
    CHECK(queue.add(pinned(10).header()));
    CHECK(queue.add(pinned(11).header()));
    queue.drained();
    CHECK(take_all(queue) == "10 11"); // and the loss is told once
}

TEST_CASE("A loss stands where the numbers have a gap, and behind it there may be another") {
    event_queue queue;
    queue.overflowed();
    CHECK(queue.add(pinned(1).header()));
    CHECK(queue.add(pinned(5).header()));
    CHECK(queue.add(pinned(6).header()));
    queue.drained();
    CHECK(take_all(queue) == "1 lost 5 6 lost");
}

TEST_CASE("A gap is a loss even if the buffer did not overflow") {
    event_queue queue;
    CHECK(queue.add(pinned(2).header())); // they begin with 1
    CHECK(queue.add(pinned(3).header()));
    CHECK(queue.add(pinned(5, LONGPIN_CMD_MAX + 1).header()));
    queue.drained();
    CHECK(take_all(queue) == "lost 2 3 lost");
}

TEST_CASE("The numbers of events wrap without a loss") {
    event_queue queue;
    queue.overflowed();
    queue.drained();
    CHECK(queue.add(pinned(~std::uint32_t{0}).header()));
    CHECK(queue.add(pinned(0, LONGPIN_CMD_PINNED_NTF, 1).header())); // a pin's handle is never 0
    CHECK(take_all(queue) == "lost 4294967295 1");
}

TEST_CASE("An overflow that is said before the gap of the one before is a loss of its own") {
    event_queue queue;
    CHECK(queue.add(pinned(1).header()));
    queue.overflowed();
    CHECK(queue.add(pinned(2).header()));
    queue.overflowed(); // all that was there is read, and 10 and 11 are there
    CHECK(queue.add(pinned(10).header()));
    CHECK(queue.add(pinned(11).header()));
    queue.drained();
    CHECK(take_all(queue) == "1 2 lost 10 11 lost");
}

TEST_CASE("A loss is told once, however often nothing is left to be read") {
    event_queue queue;
    CHECK(queue.add(pinned(1).header()));
    queue.overflowed();
    queue.drained();
    queue.drained();
    CHECK(take_all(queue) == "1 lost");
}
