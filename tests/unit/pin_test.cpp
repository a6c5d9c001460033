// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"

#include <longpin/pin.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <ranges>
#include <type_traits>
#include <vector>

TEST_CASE("A pin can be moved without throwing, and not be copied") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<longpin::pin>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<longpin::pin>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<longpin::pin>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<longpin::pin>);
}

TEST_CASE("A pin ends with its object") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    {
        const longpin::pin pin = device.pin(memory);
        CHECK(pin);
        CHECK(kernel.pins.count(pin.handle()) == 1);
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("A moved pin is released once, by its new owner") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    longpin::pin first = device.pin(memory);
    {
        const longpin::pin second = std::move(first);
        CHECK_FALSE(first); // NOLINT: a moved-from pin may be tested
        CHECK(second.handle() == 1);
        CHECK(kernel.pins.size() == 1);
    }
    CHECK(kernel.pins.empty());
    first.reset();
    CHECK(kernel.count(LONGPIN_UNPIN) == 1);
}

TEST_CASE("Assigning to a pin ends the one that it held") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    longpin::pin first = device.pin(memory);
    longpin::pin second = device.pin(memory);
    first = std::move(second);
    CHECK(first.handle() == 2);
    CHECK_FALSE(second); // NOLINT: a moved-from pin may be tested
    CHECK(kernel.pins.size() == 1);
    second = std::move(first);
    CHECK(second.query().handle == 2);
}

TEST_CASE("A pin that is moved to itself stays") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    longpin::pin pin = fake_kernel::open().pin(memory);
    longpin::pin& alias = pin;
    pin = std::move(alias);
    CHECK(pin);
    CHECK(kernel.pins.size() == 1);
}

TEST_CASE("Resetting a pin twice releases it once") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    longpin::pin pin = fake_kernel::open().pin(memory);
    pin.reset();
    pin.reset();
    CHECK(kernel.count(LONGPIN_UNPIN) == 1);
}

TEST_CASE("An empty pin throws logic_error, whatever emptied it") {
    fake_kernel kernel;
    std::vector<std::byte> memory(1);
    longpin::pin pin = fake_kernel::open().pin(memory);
    SECTION("unpin") {
        CHECK_NOTHROW(pin.unpin());
    }
    SECTION("reset") {
        CHECK_NOTHROW(pin.reset());
    }
    SECTION("detach") {
        CHECK(pin.detach() == 1);
    }
    SECTION("move") {
        const longpin::pin other = std::move(pin);
        CHECK(other);
    }
    // From here on, the use of an empty pin is what is tested.
    CHECK_FALSE(pin); // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(pin.handle(), std::logic_error);
    CHECK_THROWS_AS(pin.address(), std::logic_error);
    CHECK_THROWS_AS(pin.length(), std::logic_error);
    CHECK_THROWS_AS(pin.footprint(), std::logic_error);
    CHECK_THROWS_AS(pin.query(), std::logic_error);
    CHECK_THROWS_AS(pin.read(0, memory), std::logic_error);
    CHECK_THROWS_AS(pin.write(0, memory), std::logic_error);
    CHECK_THROWS_AS(pin.extents(), std::logic_error);
    CHECK_THROWS_AS(pin.repin(), std::logic_error);
    CHECK_THROWS_AS(pin.let_go(0, 1), std::logic_error);
    CHECK_THROWS_AS(pin.unpin(), std::logic_error);
    CHECK_THROWS_AS(pin.try_unpin(), std::logic_error);
    CHECK_THROWS_AS(pin.detach(), std::logic_error);
}

TEST_CASE("Unpinning what is gone throws ENOENT, and resetting it does not") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    longpin::pin pin = fake_kernel::open().pin(memory);
    kernel.pins.clear();
    CHECK_THROWS_WITH(pin.unpin(), Catch::Contains("cannot unpin pin 1"));
    CHECK(pin);
    CHECK_NOTHROW(pin.reset());
    CHECK_FALSE(pin);
}

TEST_CASE("A detached pin is left to its open file") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    CHECK(device.pin(memory).detach() == 1);
    CHECK(kernel.pins.size() == 1);
}

TEST_CASE("A pin knows what it was made with, and the kernel agrees") {
    fake_kernel kernel;
    std::vector<std::byte> memory(10000);
    const longpin::pin pin = fake_kernel::open().pin_writable(memory, {.cookie = 42});
    CHECK(pin.address() == reinterpret_cast<std::uintptr_t>(memory.data()));
    CHECK(pin.length() == 10000);
    CHECK(pin.footprint().kinds == longpin::memory_kind::anon);

    const longpin::pin_info info = pin.query();
    CHECK(info.handle == pin.handle());
    CHECK(info.address == pin.address());
    CHECK(info.length == pin.length());
    CHECK(info.cookie == 42);
    CHECK(info.writable);
    CHECK(info.footprint == pin.footprint());
}

TEST_CASE("A cookie leads from any handle back to what the program knows it by") {
    const fake_kernel kernel;
    std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    const longpin::pin reading = device.pin(memory, {.cookie = ~std::uint64_t{0}});
    const longpin::pin writing = device.pin_writable(memory, {.cookie = 7});
    const longpin::pin without = device.pin(memory);
    CHECK(reading.query().cookie == ~std::uint64_t{0});
    CHECK(writing.query().cookie == 7);
    CHECK(without.query().cookie == 0);
}

TEST_CASE("Bytes are read and written through a pin, not through the mapping") {
    fake_kernel kernel;
    std::vector<std::byte> memory(100, std::byte{1});
    const longpin::pin pin = fake_kernel::open().pin_writable(memory);
    memory.assign(100, std::byte{2});
    std::vector<std::byte> bytes(3);
    pin.read(97, bytes);
    CHECK(bytes == std::vector(3, std::byte{1}));
    pin.write(10, std::span(memory).first(2));
    pin.read(9, bytes);
    CHECK(bytes == std::vector{std::byte{1}, std::byte{2}, std::byte{2}});
}

TEST_CASE("What lies beyond a pin can't be read, nor a pin for reading be written") {
    fake_kernel kernel;
    std::vector<std::byte> memory(100);
    const longpin::pin pin = fake_kernel::open().pin(memory);
    CHECK_THROWS_WITH(pin.read(1, memory), Catch::Contains("cannot read 100 B at offset 1"));
    CHECK_THROWS_WITH(pin.read(0, {}), Catch::Contains("empty"));
    CHECK_THROWS_WITH(pin.write(0, memory), Catch::Contains("made for reading"));
}

TEST_CASE("Extents are fetched over as many calls as it takes, and none is lost") {
    fake_kernel kernel;
    const std::size_t pages = 1000;
    const std::vector<std::byte> memory(pages * fake_kernel::page_size);
    const longpin::pin pin = fake_kernel::open().pin(memory);
    kernel.extents_in_an_answer = GENERATE(1U, 7U, 100000U);
    std::vector<longpin::extent> extents;
    std::ranges::copy(pin.extents(), std::back_inserter(extents));
    CHECK(extents.size() == pin.footprint().pages);
    CHECK(kernel.count(LONGPIN_EXTENTS) >= 4);

    std::uint64_t next = 0;
    bool gapless = true;
    for (const longpin::extent& extent : extents) {
        gapless = gapless && extent.offset == next;
        next = extent.offset + extent.length;
    }
    CHECK(gapless);
    CHECK(next == memory.size());
}

TEST_CASE("Extents are asked for only as far as they are looked at") {
    STATIC_REQUIRE(std::ranges::input_range<longpin::extent_range>);
    fake_kernel kernel;
    kernel.extents_in_an_answer = 10;
    const std::vector<std::byte> memory(100 * fake_kernel::page_size);
    const longpin::pin pin = fake_kernel::open().pin(memory);
    longpin::extent_range extents = pin.extents();
    CHECK(kernel.count(LONGPIN_EXTENTS) == 0);
    auto at = extents.begin();
    for (int i = 0; i < 9; ++i) {
        ++at;
    }
    CHECK(kernel.count(LONGPIN_EXTENTS) == 1);
    const std::uint64_t tenth = at->offset;
    CHECK((++at)->offset > tenth);
    CHECK(kernel.count(LONGPIN_EXTENTS) == 2);
    CHECK(extents.begin()->offset == 0);
}

TEST_CASE("Extents of a pin that ends meanwhile throw ENOENT, wherever its object is") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(3 * fake_kernel::page_size);
    longpin::pin pin = fake_kernel::open().pin(memory);
    kernel.extents_in_an_answer = 1;
    longpin::extent_range extents = pin.extents();
    longpin::pin moved = std::move(pin);
    auto at = extents.begin();
    CHECK(at->offset == 0);
    moved.unpin();
    CHECK_THROWS_WITH(++at, Catch::Contains("cannot list the extents of pin 1 from offset"));
}

TEST_CASE("A module that lists no extents, for ever, is not asked for ever") {
    fake_kernel kernel;
    kernel.extents_in_an_answer = 0;
    const std::vector<std::byte> memory(1);
    const longpin::pin pin = fake_kernel::open().pin(memory);
    CHECK_THROWS_WITH(pin.extents().begin(), Catch::Contains("makes no sense"));
}
