// SPDX-License-Identifier: MIT
// The structures' lengths: every ioctl takes its structure too long as long as the tail is zero.
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <vector>

using namespace guest;

namespace {

struct row {
    const char* name;
    unsigned long command;
    std::uint32_t first_size; ///< of the structure as first published
    std::uint32_t size;       ///< as this header has it
    int empty_result;         ///< of a call with all but the size zero
};

const row rows[] = {
    {"INFO", LONGPIN_INFO, 96, sizeof(longpin_info), 0},
    {"PIN", LONGPIN_PIN, 104, sizeof(longpin_pin), EINVAL},
    {"UNPIN", LONGPIN_UNPIN, 16, sizeof(longpin_unpin), ENOENT},
    {"QUERY", LONGPIN_QUERY, 72, sizeof(longpin_query), ENOENT},
    {"COPY", LONGPIN_COPY, 40, sizeof(longpin_copy), ENOENT},
    {"EXTENTS", LONGPIN_EXTENTS, 48, sizeof(longpin_extents), ENOENT},
    {"REPIN", LONGPIN_REPIN, 80, sizeof(longpin_repin), ENOENT},
    {"LET_GO", LONGPIN_LET_GO, 40, sizeof(longpin_let_go), ENOENT},
};

int call(const raw_device& device, const row& ioctl, std::uint32_t size,
         std::size_t dirty_byte = 0) {
    // As long as the size says and no longer: what lies behind is not the kernel's to touch.
    const mapping memory = mapping::anonymous(3 * page);
    memory.unmap_part(2 * page, page);
    std::byte* const arguments = memory.at(2 * page - std::min<std::size_t>(size, 2 * page));
    if (size >= sizeof(size)) {
        std::memcpy(arguments, &size, sizeof(size));
    }
    if (dirty_byte) {
        arguments[dirty_byte] = std::byte{1};
    }
    return device.call(ioctl.command, arguments);
}

} // namespace

TEST_CASE("every ioctl of the module has a row in the table of lengths") {
    const raw_device device;
    auto probe = request<longpin_info>();
    for (unsigned int number = 0; number < 256; number++) {
        const unsigned long command = _IO(LONGPIN_IOC_TYPE, number);
        const bool listed = std::any_of(std::begin(rows), std::end(rows),
                                        [&](const row& r) { return r.command == command; });
        probe.size = 0;
        INFO("ioctl number " << number);
        CHECK(device.call(command, &probe) == (listed ? EINVAL : ENOTTY));
    }
}

TEST_CASE("an ioctl of another type, direction or size gets ENOTTY") {
    const raw_device device;
    auto probe = request<longpin_info>();
    CHECK(device.call(_IO(LONGPIN_IOC_TYPE + 1, 0), &probe) == ENOTTY);
    CHECK(device.call(_IOR(LONGPIN_IOC_TYPE, 0, longpin_info), &probe) == ENOTTY);
    CHECK(device.call(0, &probe) == ENOTTY);
    CHECK(device.call(~0UL, &probe) == ENOTTY);
}

TEST_CASE("a structure shorter than the first published one gets EINVAL") {
    const raw_device device;
    for (const row& ioctl : rows) {
        INFO(ioctl.name);
        CHECK(ioctl.size >= ioctl.first_size);
        for (std::uint32_t size = 4; size < ioctl.first_size; size++) {
            REQUIRE(call(device, ioctl, size) == EINVAL);
        }
    }
}

TEST_CASE("a structure of every published size is taken") {
    const raw_device device;
    for (const row& ioctl : rows) {
        INFO(ioctl.name);
        for (std::uint32_t size = ioctl.first_size; size <= ioctl.size; size++) {
            REQUIRE(call(device, ioctl, size) == ioctl.empty_result);
        }
    }
}

TEST_CASE("a longer structure is taken if its tail is zero") {
    const raw_device device;
    for (const row& ioctl : rows) {
        INFO(ioctl.name);
        for (const std::uint32_t more : {1U, 7U, 8U, 64U, std::uint32_t{page} - ioctl.size}) {
            CHECK(call(device, ioctl, ioctl.size + more) == ioctl.empty_result);
        }
    }
}

TEST_CASE("a longer structure with a byte set in its tail gets E2BIG") {
    const raw_device device;
    for (const row& ioctl : rows) {
        INFO(ioctl.name);
        for (std::size_t byte = ioctl.size; byte < ioctl.size + 64U; byte++) {
            REQUIRE(call(device, ioctl, ioctl.size + 64, byte) == E2BIG);
        }
        CHECK(call(device, ioctl, page, page - 1) == E2BIG);
    }
}

TEST_CASE("a structure longer than a page gets E2BIG") {
    const raw_device device;
    for (const row& ioctl : rows) {
        INFO(ioctl.name);
        CHECK(call(device, ioctl, page + 1) == E2BIG);
        CHECK(call(device, ioctl, ~0U) == E2BIG);
    }
}
