// SPDX-License-Identifier: MIT
// The form of the library that returns its errors.
#include "fake_kernel.hpp"
#include "no_exceptions.hpp"

#include <longpin/result.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <memory>
#include <stdexcept>
#include <vector>

using longpin::reason;

TEST_CASE("A result is what a call gave, or why it failed") {
    longpin::result<std::unique_ptr<int>> success = std::make_unique<int>(7);
    REQUIRE(success);
    CHECK(**success == 7);
    CHECK(success->get() == &**success);
    CHECK_THROWS_AS(success.error(), std::logic_error);
    const std::unique_ptr<int> taken = std::move(success).value();
    CHECK(*taken == 7);

    const longpin::error why(ESTALE, "read", "gone");
    longpin::result<std::unique_ptr<int>> failure = why;
    CHECK_FALSE(failure);
    CHECK(failure.error().attempted() == "read");
    CHECK_THROWS_AS(*failure, std::logic_error);
    CHECK_THROWS_WITH(std::move(failure).value(), "cannot read: gone");
}

TEST_CASE("A result of a call that gives nothing tells success from failure") {
    CHECK(longpin::result<void>());
    CHECK_NOTHROW(longpin::result<void>().value());
    longpin::result<void> failure = longpin::error(EIO, "write", "no");
    CHECK_FALSE(failure);
    CHECK_THROWS_AS(std::move(failure).value(), longpin::error);
}

TEST_CASE("A program without exceptions can make every call") {
    const fake_kernel kernel;
    std::vector<std::byte> memory(10 * fake_kernel::page_size);
    CHECK(use_without_exceptions("/dev/null", memory) == 0);
    CHECK(kernel.pins.empty());
    CHECK(use_without_exceptions("/nonexistent", memory) == ENOENT);
}

TEST_CASE("What fails for a program without exceptions is returned, whichever call it is") {
    fake_kernel kernel;
    std::vector<std::byte> memory(1);
    for (const unsigned long request :
         {LONGPIN_INFO, LONGPIN_PIN, LONGPIN_QUERY, LONGPIN_COPY, LONGPIN_EXTENTS, LONGPIN_UNPIN}) {
        CAPTURE(request);
        kernel.fail(request, EINTR);
        CHECK(use_without_exceptions("/dev/null", memory) == EINTR);
        kernel.fail(request, 0);
    }
}

TEST_CASE("A returned refusal carries the kernel's reason and figures, as a thrown one does") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = reason::fsdax, .bad_address = 0x1000});
    const std::vector<std::byte> memory(8192);
    const longpin::device device = fake_kernel::open();
    const longpin::result<longpin::pin> tried = device.try_pin(memory);
    REQUIRE_FALSE(tried);
    CHECK(tried.error().code() == std::errc::operation_not_supported);
    CHECK(tried.error().reason() == reason::fsdax);
    CHECK(tried.error().bad_address() == 0x1000);
    CHECK_THROWS_WITH(device.pin(memory), tried.error().what());
}

TEST_CASE("A returned dry run does not tell refusals from other failures, but by the reason") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    CHECK(device.try_check(memory)->pages == 1);
    kernel.fail(LONGPIN_PIN, ENOMEM);
    CHECK(device.try_check(memory).error().reason() == reason::none);
    kernel.fail(LONGPIN_PIN, ENOMEM, {.why = reason::max_pins});
    CHECK(device.try_check(memory).error().reason() == reason::max_pins);
}

TEST_CASE("A pin that could not be unpinned keeps its handle") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    longpin::pin pin = fake_kernel::open().pin(memory);
    kernel.fail(LONGPIN_UNPIN, EINTR);
    CHECK(pin.try_unpin().error().code().value() == EINTR);
    CHECK(pin);
    kernel.fail(LONGPIN_UNPIN, 0);
    CHECK(pin.try_unpin());
    CHECK_FALSE(pin);
}

TEST_CASE("Extents are listed into the room that the caller has") {
    fake_kernel kernel;
    kernel.extents_in_an_answer = 100;
    const std::vector<std::byte> memory(5 * fake_kernel::page_size);
    const longpin::pin pin = fake_kernel::open().pin(memory);
    std::vector<longpin::extent> room(3);

    const auto first = pin.try_extents(0, room);
    REQUIRE(first);
    CHECK(first->extents.data() == room.data());
    CHECK(first->extents.size() == 3);
    CHECK(first->next == room[2].offset + room[2].length);

    const auto last = pin.try_extents(first->next, room);
    REQUIRE(last);
    CHECK(last->extents.size() <= 3);
    CHECK(last->extents.front().offset == first->next);
    CHECK(last->next == pin.length());

    CHECK(pin.try_extents(0, {})->next == 0);
    CHECK(pin.try_extents(pin.length(), room)->extents.empty());
}
