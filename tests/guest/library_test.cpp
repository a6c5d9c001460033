// SPDX-License-Identifier: MIT
// The C++ library against the real module (the unit tests have a fake one).
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>

using namespace guest;

namespace {

std::span<std::byte> bytes_of(const mapping& memory) {
    return {memory.data(), memory.length()};
}

} // namespace

TEST_CASE("library: a pin keeps memory readable and writable after it was unmapped") {
    mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    const longpin::device device;
    longpin::pin pin = device.pin_writable(bytes_of(memory), {.cookie = 42});
    CHECK(pin.footprint().pages == 4);
    CHECK(pin.footprint().kinds == longpin::memory_kind::anon);
    CHECK(pin.query().cookie == 42);
    CHECK(pin.query().writable);
    memory.unmap();

    std::vector<std::byte> copy(4 * page);
    pin.read(0, copy);
    CHECK(has_pattern(copy.data(), copy.size()));
    const std::vector<std::byte> letters(100, std::byte{'x'});
    pin.write(page - 50, letters);
    pin.read(0, copy);
    CHECK(std::memcmp(copy.data() + page - 50, letters.data(), letters.size()) == 0);

    pin.unpin();
    CHECK_FALSE(pin);
    CHECK(vm_pin() == 0);
}

TEST_CASE("library: pins outlive the device object and end with themselves") {
    const mapping memory = mapping::anonymous(4 * page);
    {
        const longpin::pin pin = longpin::device().pin(bytes_of(memory));
        CHECK(vm_pin() == 4 * page);
        CHECK(pin.query().footprint == pin.footprint());
    }
    CHECK(vm_pin() == 0);
}

TEST_CASE("library: the extents of a pin cover it") {
    const mapping memory = mapping::anonymous(500 * page);
    const longpin::pin pin = longpin::device().pin(bytes_of(memory));
    std::uint64_t next = 0;
    for (const longpin::extent& extent : pin.extents()) {
        REQUIRE(extent.offset == next);
        next += extent.length;
    }
    CHECK(next == memory.length());
    CHECK(pin.extents().size() == pin.footprint().runs);
}

TEST_CASE("library: fs-DAX is refused with an error that explains itself") {
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    try {
        const longpin::pin pin = longpin::device().pin(bytes_of(memory));
        FAIL("it was pinned");
    } catch (const longpin::error& refused) {
        CHECK(refused.code().value() == EOPNOTSUPP);
        CHECK(refused.reason() == longpin::reason::fsdax);
        CHECK(refused.bad_address() == reinterpret_cast<std::uintptr_t>(memory.data()));
        CHECK_THAT(refused.what(), Catch::Contains("device-DAX"));
    }
    const longpin::check_result answer = longpin::device().check(bytes_of(memory));
    CHECK(std::get<longpin::error>(answer).reason() == longpin::reason::fsdax);
}

TEST_CASE("library: the limit is explained with its figures") {
    const longpin::device device;
    const mapping sentence = mapping::shared_anonymous(page);
    const auto [reason, limit, used, asked] = as_ordinary_user([&] {
        struct {
            longpin::reason reason;
            std::uint64_t limit, used, asked;
        } got{};
        set_memlock_limit(8 * page);
        const mapping memory = mapping::anonymous(16 * page);
        const longpin::pin first = device.pin(bytes_of(memory).first(6 * page));
        try {
            const longpin::pin second = device.pin(bytes_of(memory).first(3 * page));
        } catch (const longpin::error& refused) {
            got = {refused.reason(), refused.limit().value(), refused.used().value(),
                   refused.asked().value()};
            std::strncpy(sentence.as<char>(), refused.what(), page - 1);
        }
        return got;
    });
    CHECK(reason == longpin::reason::memlock);
    CHECK(limit == 8 * page);
    CHECK(used == 6 * page);
    CHECK(asked == 3 * page);
    CHECK_THAT(sentence.as<char>(), Catch::Contains("RLIMIT_MEMLOCK allows 32 KiB for user 1000") &&
                                        Catch::Contains("24 KiB") && Catch::Contains("12 KiB"));
}

TEST_CASE("library: a device that was passed on is adopted with its pins") {
    const mapping memory = mapping::anonymous(page);
    longpin::pin pin = longpin::device().pin(bytes_of(memory));
    const std::uint32_t handle = pin.detach(); // and with it goes the file, and the pin
    CHECK(handle != 0);
    CHECK(vm_pin() == 0);

    raw_device raw;
    raw.must_pin(memory.data(), page);
    const longpin::device adopted =
        longpin::device::adopt(::fcntl(raw.descriptor(), F_DUPFD_CLOEXEC, 0));
    raw.close();
    CHECK(adopted.info().pins.used == 1);
    CHECK(vm_pin() == page);
}
