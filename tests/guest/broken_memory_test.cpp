// SPDX-License-Identifier: MIT
// Memory that fails: under a pin, and before one. That of the machine is in stress_test.cpp, as
// each try takes a page away from the guest.
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

using namespace guest;

namespace {

/// The block device that is mounted there.
std::string device_below(const std::string& directory) {
    std::ifstream mounts("/proc/mounts");
    std::string device;
    std::string where;
    while (mounts >> device >> where) {
        if (where == directory) {
            return device.substr(device.rfind('/') + 1);
        }
        mounts.ignore(4096, '\n');
    }
    throw std::runtime_error("nothing is mounted on " + directory);
}

/// Where the file's page is on its block device, in bytes.
std::uint64_t place_of(const file& data, std::uint64_t offset) {
    for (const fiemap_extent& extent : places_of(data)) {
        if (extent.fe_logical <= offset && offset < extent.fe_logical + extent.fe_length) {
            return extent.fe_physical + offset - extent.fe_logical;
        }
    }
    throw std::runtime_error("the file has no block there");
}

} // namespace

TEST_CASE("broken memory: a page of device-DAX that breaks under a pin is not read any more",
          "[devdax]") {
    const raw_device device;
    const std::uint32_t flags = GENERATE(0U, leased);
    CAPTURE(flags);
    // Whoever has it mapped is killed; the pin lives on with the file.
    const mapping answer = mapping::shared_anonymous(page);
    child process([&] {
        const mapping memory = map_devdax("devdax_2m", 4 * MiB);
        memory.fill();
        *answer.as<std::uint32_t>() = device.must_pin(memory.data(), memory.length(), flags);
        ::madvise(memory.at(3 * MiB), page, MADV_HWPOISON);
    });
    CHECK_FALSE(process.wait());
    const std::uint32_t handle = *answer.as<std::uint32_t>();
    REQUIRE(handle != 0);

    std::byte byte{};
    // A lease has been taken back by then, as all pages were unmapped when their process ended.
    CHECK(device.read(handle, 3 * MiB, &byte, 1) == (flags ? ESTALE : EHWPOISON));
    CHECK(device.read(handle, MiB, &byte, 1) == (flags ? ESTALE : 0));
    REQUIRE(device.unpin(handle) == 0);
    // It forgets what is broken.
    const std::string name = dax_name("devdax_2m");
    REQUIRE(write_line(dax_driver + "unbind", name) == 0);
    REQUIRE(write_line(dax_driver + "bind", name) == 0);
}

TEST_CASE("broken memory: a bad block of a file on fs-DAX is not pinned") {
    const char* const filesystem =
        GENERATE(from_range(dax_filesystems.begin(), dax_filesystems.end()));
    CAPTURE(filesystem);
    constexpr std::size_t length = 64 * page;
    constexpr std::size_t bad = 40 * page;
    // The file stays: its block must not become another's.
    const std::string path = backing(filesystem) + "/with-a-bad-block";
    const file data(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const mapping source = mapping::anonymous(length);
    source.fill();
    must(::pwrite(data.get(), source.data(), length, 0) == static_cast<ssize_t>(length), "pwrite");
    must(::fsync(data.get()) == 0, "fsync");
    const std::string badblocks = "/sys/block/" + device_below(backing(filesystem)) + "/badblocks";
    must(write_line(badblocks, std::to_string(place_of(data, bad) / 512) + " 8") == 0, "badblocks");

    const raw_device device;
    const mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    longpin_pin pin{};
    const long held = pinned_pages();
    CHECK(device.pin(memory.data(), length, leased_write, pin) == EFAULT);
    CHECK(pin.out_reason == LONGPIN_REASON_FAULT);
    CHECK(pin.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(bad)));
    CHECK(pinned_pages() == held);
    CHECK(vm_pin() == 0);
    // What lies before it and behind it can be.
    const std::uint32_t before = device.must_pin(memory.data(), bad, leased_write);
    const std::uint32_t behind =
        device.must_pin(memory.at(bad + page), length - bad - page, leased_write);
    std::byte copy[page];
    REQUIRE(device.read(before, bad - page, copy, page) == 0);
    CHECK(has_pattern(copy, page, bad - page));
    CHECK(device.unpin(before) == 0);
    CHECK(device.unpin(behind) == 0);
}
