// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"

#include <longpin/device.hpp>
#include <longpin/generation.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <map>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using Catch::Matchers::Contains;
using longpin::reason;

namespace {

/// The errno of the longpin::error that \p action throws; 0 if it throws none.
template <typename Action>
int errno_of(Action action) {
    try {
        action();
    } catch (const longpin::error& failure) {
        return failure.code().value();
    }
    return 0;
}

} // namespace

TEST_CASE("Every request carries the size of its structure") {
    fake_kernel kernel;
    std::vector<std::byte> memory(100);
    const longpin::device device = fake_kernel::open();
    static_cast<void>(device.info());
    longpin::pin pin = device.pin_writable(memory);
    static_cast<void>(pin.query());
    pin.read(0, memory);
    static_cast<void>(pin.extents().begin());
    static_cast<void>(pin.try_repin());
    static_cast<void>(pin.try_let_go(0, 1));
    pin.unpin();

    const std::map<unsigned long, std::size_t> sizes{
        {LONGPIN_INFO, sizeof(longpin_info)},   {LONGPIN_PIN, sizeof(longpin_pin)},
        {LONGPIN_UNPIN, sizeof(longpin_unpin)}, {LONGPIN_QUERY, sizeof(longpin_query)},
        {LONGPIN_COPY, sizeof(longpin_copy)},   {LONGPIN_EXTENTS, sizeof(longpin_extents)},
        {LONGPIN_REPIN, sizeof(longpin_repin)}, {LONGPIN_LET_GO, sizeof(longpin_let_go)},
    };
    std::map<unsigned long, std::size_t> seen;
    for (const fake_kernel::call& call : kernel.calls) {
        seen[call.request] = call.size;
    }
    CHECK(seen == sizes);
}

TEST_CASE("The information of the device is what the module says") {
    fake_kernel kernel;
    kernel.info.out_memlock_used = 4096;
    const longpin::device_info info = fake_kernel::open().info();
    CHECK(info.version == "1.2.3");
    CHECK(info.page_size == 4096);
    CHECK(info.pin_flags == 15);
    CHECK(info.leases);
    CHECK(info.max_grace == std::chrono::seconds(1));
    CHECK(info.memlock.limit == 8U << 20U);
    CHECK(info.memlock.used == 4096);
    CHECK(info.pins.limit == 100);
    CHECK_FALSE(info.pinned.limit);
}

TEST_CASE("A version that fills its field is not read beyond it") {
    fake_kernel kernel;
    std::ranges::fill(kernel.info.out_version, 'x');
    CHECK(fake_kernel::open().info().version == std::string(32, 'x'));
}

TEST_CASE("A pin is asked for with the range, the cookie and the right to write") {
    fake_kernel kernel;
    std::vector<std::byte> memory(5000);
    const longpin::device device = fake_kernel::open();

    const longpin::pin reading = device.pin(memory, {.cookie = 7});
    CHECK(kernel.last_pin.addr == reinterpret_cast<std::uintptr_t>(memory.data()));
    CHECK(kernel.last_pin.length == 5000);
    CHECK(kernel.last_pin.cookie == 7);
    CHECK(kernel.last_pin.flags == 0);

    const longpin::pin writing = device.pin_writable(memory);
    CHECK(kernel.last_pin.flags == LONGPIN_PIN_WRITE);
    CHECK(kernel.last_pin.cookie == 0);
}

TEST_CASE("A refused pin throws the errno, the reason and what was attempted") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = reason::fsdax, .bad_address = 0x1000});
    const std::vector<std::byte> memory(8192);
    try {
        static_cast<void>(fake_kernel::open().pin(memory));
        FAIL("the pin was not refused");
    } catch (const longpin::error& refused) {
        CHECK(refused.code() == std::errc::operation_not_supported);
        CHECK(refused.reason() == reason::fsdax);
        CHECK(refused.bad_address() == 0x1000);
        CHECK_THAT(refused.what(), Contains("cannot pin 8 KiB at 0x") && Contains("fs-DAX"));
    }
}

TEST_CASE("A dry run holds nothing and tells the cost") {
    fake_kernel kernel;
    std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    for (const longpin::check_result& answer :
         {device.check(memory), device.check_writable(memory)}) {
        REQUIRE(std::holds_alternative<longpin::footprint>(answer));
        CHECK(std::get<longpin::footprint>(answer).pages == 1);
    }
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_WRITE));
    CHECK(kernel.pins.empty());
}

TEST_CASE("A dry run answers with a refusal, and does not throw it") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, ENOMEM,
                {.why = reason::memlock, .limit = 8192, .used = 4096, .asked = 8192});
    const std::vector<std::byte> memory(8192);
    const longpin::check_result answer = fake_kernel::open().check(memory);
    REQUIRE(std::holds_alternative<longpin::error>(answer));
    CHECK(std::get<longpin::error>(answer).used() == 4096);
}

TEST_CASE("A dry run throws what is no answer") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    for (const int errno_value : {ENOTTY, EINTR, EAGAIN, ENOMEM}) {
        kernel.fail(LONGPIN_PIN, errno_value);
        CHECK(errno_of([&] { static_cast<void>(device.check(memory)); }) == errno_value);
    }
}

TEST_CASE("An interrupted call is reported, not repeated") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, EINTR);
    const std::vector<std::byte> memory(1);
    const longpin::device device = fake_kernel::open();
    CHECK(errno_of([&] { static_cast<void>(device.pin(memory)); }) == EINTR);
    CHECK(kernel.calls.size() == 1);
}

TEST_CASE("A file that is no longpin device is told by its first call") {
    const longpin::device device("/dev/null"); // no fake here: the real ioctl
    CHECK(errno_of([&] { static_cast<void>(device.info()); }) == ENOTTY);
}

TEST_CASE("A device that is not there can't be opened") {
    CHECK(errno_of([] { const longpin::device device("/nonexistent/longpin"); }) == ENOENT);
}

TEST_CASE("A device is closed on exec") {
    const longpin::device device("/dev/null");
    CHECK((::fcntl(device.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("An adopted descriptor is closed with the last of the device and its pins") {
    fake_kernel kernel;
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_NONBLOCK) == 0);
    char byte = 0;
    {
        const std::vector<std::byte> memory(1);
        std::vector<longpin::pin> pins;
        {
            const longpin::device device = longpin::device::adopt(ends[1]);
            CHECK(device.native_handle() == ends[1]);
            pins.push_back(device.pin(memory));
            pins.push_back(device.pin(memory));
        }
        pins.pop_back();
        CHECK(::read(ends[0], &byte, 1) == -1); // nothing to read, but the other end is open
        CHECK(pins.front().query().length == 1);
        CHECK(kernel.calls.back().descriptor == ends[1]);
    }
    CHECK(::read(ends[0], &byte, 1) == 0); // the other end is closed
    CHECK(kernel.pins.empty());
    ::close(ends[0]);
}

TEST_CASE("A device that was moved from throws, and can be assigned again") {
    fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    longpin::device first = fake_kernel::open();
    longpin::device second = std::move(first);
    CHECK_THROWS_AS(first.info(), std::logic_error);               // NOLINT: on purpose
    CHECK_THROWS_AS(first.native_handle(), std::logic_error);      // NOLINT
    CHECK_THROWS_AS(first.pin(memory), std::logic_error);          // NOLINT
    CHECK_THROWS_AS(first.check(memory), std::logic_error);        // NOLINT
    CHECK_THROWS_AS(first.next_event(), std::logic_error);         // NOLINT
    CHECK_THROWS_AS(longpin::generation(first), std::logic_error); // NOLINT
    first = std::move(second);
    CHECK(first.info().page_size == 4096);
}
