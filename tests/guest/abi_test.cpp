// SPDX-License-Identifier: MIT
// What holds for every ioctl: its structure may be too long as long as the tail is zero, and what
// it may do depends on how the file was opened.
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <linux/ioctl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

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

TEST_CASE("how the file was opened decides what may be done by it") {
    const mapping memory = mapping::anonymous(page);
    std::uint64_t word = 0;
    const auto pin = [&](const raw_device& device, std::uint32_t flags) {
        return device.pin(memory.data(), page, flags);
    };
    const auto copy = [&](const raw_device& device, std::uint32_t handle, std::uint32_t flags) {
        auto arguments = request<longpin_copy>();
        arguments.flags = flags;
        arguments.handle = handle;
        arguments.length = sizeof(word);
        arguments.buffer = reinterpret_cast<std::uintptr_t>(&word);
        return device.call(LONGPIN_COPY, &arguments);
    };
    const auto extents = [](const raw_device& device, std::uint32_t handle) {
        auto arguments = request<longpin_extents>();
        arguments.handle = handle;
        return device.call(LONGPIN_EXTENTS, &arguments);
    };
    struct attempt {
        unsigned long command; ///< 0: no ioctl
        const char* what;
        std::function<int(const raw_device&, std::uint32_t handle)> make; ///< handle: of a lease
        std::array<int, 3> results; ///< by an open file for reading, for writing, for both
    };
    const attempt attempts[] = {
        {LONGPIN_INFO,
         "INFO",
         [](const raw_device& device, std::uint32_t) {
             auto arguments = request<longpin_info>();
             return device.call(LONGPIN_INFO, &arguments);
         },
         {0, 0, 0}},
        {LONGPIN_PIN,
         "PIN",
         [&](const raw_device& device, std::uint32_t) { return pin(device, 0); },
         {0, 0, 0}},
        {LONGPIN_PIN,
         "PIN for writing",
         [&](const raw_device& device, std::uint32_t) { return pin(device, LONGPIN_PIN_WRITE); },
         {EBADF, 0, 0}},
        {LONGPIN_PIN,
         "dry run of PIN for writing",
         [&](const raw_device& device, std::uint32_t) {
             return pin(device, LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN);
         },
         {EBADF, 0, 0}},
        {LONGPIN_PIN,
         "PIN for writing, as a lease",
         [&](const raw_device& device, std::uint32_t) {
             return pin(device, LONGPIN_PIN_WRITE | LONGPIN_PIN_LEASE);
         },
         {EBADF, 0, 0}},
        {LONGPIN_QUERY,
         "QUERY",
         [](const raw_device& device, std::uint32_t handle) {
             longpin_query answer{};
             return device.query(handle, answer);
         },
         {0, 0, 0}},
        {LONGPIN_COPY,
         "COPY",
         [&](const raw_device& device, std::uint32_t handle) { return copy(device, handle, 0); },
         {0, EBADF, 0}},
        {LONGPIN_COPY,
         "COPY into a pin for reading",
         [&](const raw_device& device, std::uint32_t handle) {
             return copy(device, handle, LONGPIN_COPY_WRITE);
         },
         {EBADF, EPERM, EPERM}},
        {LONGPIN_COPY,
         "COPY into what is no pin",
         [&](const raw_device& device, std::uint32_t) {
             return copy(device, 0, LONGPIN_COPY_WRITE);
         },
         {EBADF, ENOENT, ENOENT}},
        {LONGPIN_EXTENTS,
         "EXTENTS",
         [&](const raw_device& device, std::uint32_t handle) { return extents(device, handle); },
         {0, 0, 0}},
        {LONGPIN_LET_GO,
         "LET_GO",
         [](const raw_device& device, std::uint32_t handle) {
             return device.let_go(handle, 0, page);
         },
         {0, 0, 0}},
        {LONGPIN_REPIN,
         "REPIN",
         [](const raw_device& device, std::uint32_t handle) {
             longpin_repin answer{};
             return device.repin(handle, answer);
         },
         {0, 0, 0}},
        {0,
         "poll",
         [](const raw_device& device, std::uint32_t) {
             pollfd file{.fd = device.descriptor(), .events = POLLIN, .revents = 0};
             return ::poll(&file, 1, 0) == 0 ? 0 : EIO;
         },
         {0, 0, 0}},
        {0,
         "read",
         [&](const raw_device& device, std::uint32_t) {
             longpin_event event{};
             return ::read(device.descriptor(), &event, sizeof(event)) < 0 ? errno : 0;
         },
         {EAGAIN, EBADF, EAGAIN}},
        {0,
         "mmap of the status",
         [](const raw_device& device, std::uint32_t) {
             void* const status =
                 ::mmap(nullptr, page, PROT_READ, MAP_SHARED, device.descriptor(), 0);
             const int err = status == MAP_FAILED ? errno : 0;
             if (err == 0) {
                 ::munmap(status, page);
             }
             return err;
         },
         {0, EACCES, 0}},
        {LONGPIN_UNPIN,
         "UNPIN",
         [](const raw_device& device, std::uint32_t handle) { return device.unpin(handle); },
         {0, 0, 0}},
    };
    for (const row& ioctl : rows) {
        INFO(ioctl.name);
        CHECK(std::any_of(std::begin(attempts), std::end(attempts),
                          [&](const attempt& made) { return made.command == ioctl.command; }));
    }
    const std::array modes{O_RDONLY, O_WRONLY, O_RDWR};
    for (std::size_t i = 0; i < modes.size(); i++) {
        CAPTURE(modes[i]);
        const raw_device device(open_file("/dev/longpin", modes[i] | O_NONBLOCK));
        const std::uint32_t handle = device.must_pin(memory.data(), page, LONGPIN_PIN_LEASE);
        for (const attempt& made : attempts) {
            INFO(made.what);
            CHECK(made.make(device, handle) == made.results[i]);
        }
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
