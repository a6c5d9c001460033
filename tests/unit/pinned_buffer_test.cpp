// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"

#include <longpin/pinned_buffer.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/mman.h>

using longpin::huge_pages;
using longpin::pinned_buffer;

namespace {

constexpr std::size_t mebibyte = 1U << 20U;

std::uintptr_t number(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address);
}

/// Whether something is mapped at an address.
bool is_mapped(std::uintptr_t address) {
    unsigned char resident = 0;
    void* const page = reinterpret_cast<void*>(address / fake_kernel::page_size *
                                               fake_kernel::page_size); // NOLINT: it is an address
    return ::mincore(page, 1, &resident) == 0;
}

} // namespace

TEST_CASE("A buffer is memory of the size asked for, pinned whole for reading and writing") {
    fake_kernel kernel;
    const pinned_buffer buffer(fake_kernel::open(), 10000, {.cookie = 42});
    CHECK(buffer.bytes().size() == 10000);
    CHECK(buffer.bytes().back() == std::byte{0});
    buffer.bytes().back() = std::byte{1};
    CHECK(kernel.last_pin.addr == number(buffer.bytes().data()));
    CHECK(kernel.last_pin.length == 10000);
    CHECK(kernel.last_pin.flags == LONGPIN_PIN_WRITE);
    CHECK(buffer.pin().query().cookie == 42);
    CHECK(buffer.pin().length() == 10000);
}

TEST_CASE("A buffer may be pinned for reading, and is written by the program all the same") {
    const fake_kernel kernel;
    const pinned_buffer buffer(fake_kernel::open(), 1, {.writable = false});
    CHECK(kernel.last_pin.flags == 0);
    buffer.bytes().front() = std::byte{1};
}

TEST_CASE("A buffer of transparent huge pages is aligned to them") {
    const fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    for (const std::size_t size : {std::size_t{1}, 2 * mebibyte, 2 * mebibyte + 1}) {
        const pinned_buffer buffer(device, size, {.huge = huge_pages::transparent});
        CHECK(number(buffer.bytes().data()) % (2 * mebibyte) == 0);
        CHECK(buffer.bytes().size() == size);
        buffer.bytes().back() = std::byte{1};
    }
}

TEST_CASE("A buffer that ends gives its pin and its memory back") {
    const fake_kernel kernel;
    const huge_pages huge = GENERATE(huge_pages::none, huge_pages::transparent);
    std::uintptr_t address = 0;
    {
        const pinned_buffer buffer(fake_kernel::open(), 4 * mebibyte, {.huge = huge});
        address = number(buffer.bytes().data());
        CHECK(is_mapped(address));
        CHECK(kernel.pins.size() == 1);
    }
    CHECK_FALSE(is_mapped(address));
    CHECK(kernel.pins.empty());
}

TEST_CASE("A buffer whose pin is refused leaves nothing mapped") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, ENOMEM, {.why = longpin::reason::memlock, .limit = 4096});
    const auto tried = pinned_buffer::try_make(fake_kernel::open(), mebibyte);
    REQUIRE_FALSE(tried);
    CHECK(tried.error().limit() == 4096);
    CHECK(kernel.last_pin.length == mebibyte);
    CHECK_FALSE(is_mapped(kernel.last_pin.addr));
    CHECK_THROWS_AS(pinned_buffer(fake_kernel::open(), mebibyte), longpin::error);
}

TEST_CASE("A buffer that can't be mapped says what to do, and is not pinned") {
    fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    const auto error_for = [&](std::size_t size, huge_pages huge) {
        return pinned_buffer::try_make(device, size, {.huge = huge}).error();
    };
    for (const huge_pages huge : {huge_pages::none, huge_pages::transparent, huge_pages::hugetlb_2m,
                                  huge_pages::hugetlb_1g}) {
        CAPTURE(static_cast<int>(huge));
        CHECK_THAT(error_for(0, huge).what(),
                   Catch::Contains("cannot map 0 B of") && Catch::Contains("at least one byte"));
        for (const std::size_t size :
             {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 62U}) {
            CHECK_THAT(error_for(size, huge).what(), Catch::Contains("; "));
        }
    }
    CHECK(error_for(std::size_t{1} << 62U, huge_pages::none).code() ==
          std::errc::not_enough_memory);
    // Whether the host has such pages or not, it does not have so many.
    CHECK_THAT(error_for(std::size_t{1} << 46U, huge_pages::hugetlb_1g).what(),
               Catch::Contains("cannot map 64 TiB of 1 GiB huge page memory: "));
    CHECK(kernel.calls.empty());
}

TEST_CASE("A buffer is moved with its pin, and what it held before is let go") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<pinned_buffer>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<pinned_buffer>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<pinned_buffer>);
    const fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    pinned_buffer first(device, 1);
    const std::uintptr_t old = number(first.bytes().data());
    pinned_buffer second(device, 5000);
    const auto memory = second.bytes();

    first = std::move(second);
    CHECK_FALSE(is_mapped(old));
    CHECK(kernel.pins.size() == 1);
    CHECK(first.bytes().data() == memory.data());
    CHECK(first.pin().length() == 5000);
    CHECK(second.bytes().empty()); // NOLINT: a moved-from buffer may be tested
    CHECK_FALSE(second.pin());

    const pinned_buffer third = std::move(first);
    CHECK(third.bytes().size() == memory.size());
    CHECK(first.bytes().empty()); // NOLINT: as above
    CHECK(kernel.count(LONGPIN_UNPIN) == 1);
}
