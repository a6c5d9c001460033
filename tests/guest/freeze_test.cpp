// SPDX-License-Identifier: MIT
// A lease for writing and what keeps a file system from being written to: freezing, and mounting it
// read-only. What a store of the process itself must not do, a lease must not do either.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>
#include <vector>

using namespace guest;

namespace {

constexpr std::size_t pages = 4;
constexpr std::byte mark{0x5a};

/// What is on the device: through the mapping, which is the storage itself.
std::byte stored(const dax_file& data, std::size_t offset) {
    return *static_cast<volatile std::byte*>(data.memory.at(offset));
}

} // namespace

TEST_CASE("freeze: a lease for writing holds nothing of a file system that is frozen") {
    for (const char* const filesystem : dax_filesystems) {
        for (const bool synced : {false, true}) {
            INFO(filesystem << (synced ? ", after fsync()" : ""));
            const raw_device device;
            const dax_file data(filesystem, pages * page);
            const std::uint32_t handle =
                device.must_pin(data.memory.data(), pages * page, leased_write);
            constexpr std::byte before{1};
            *data.memory.at(page) = before;
            if (synced) { // what is taken after that is dirty again
                REQUIRE(::fsync(data.descriptor.get()) == 0);
                longpin_repin answer{};
                REQUIRE(device.repin(handle, answer) == 0);
            }

            frozen filesystem_frozen(data.descriptor);
            CHECK(must_query(device, handle).out_pages == 0);
            for (std::size_t at = 0; at < pages * page; at += page) {
                CHECK(device.write(handle, at, &mark, 1) == ESTALE);
            }
            child pinner([&] { // by a lease, which is its own; and by a store
                const raw_device own;
                longpin_pin pin{};
                if (own.pin(data.memory.data(), pages * page, leased_write, pin) != 0 ||
                    own.write(pin.out_handle, page, &mark, 1) != 0) {
                    throw std::runtime_error("PIN and COPY");
                }
            });
            child control([&] { *data.memory.at(2 * page) = mark; });
            CHECK(falls_asleep(pinner.pid()));
            CHECK(falls_asleep(control.pid()));
            CHECK(stored(data, page) == before);

            filesystem_frozen.thaw();
            CHECK(pinner.wait());
            CHECK(control.wait());
            CHECK(stored(data, page) == mark);
            longpin_repin answer{};
            REQUIRE(device.repin(handle, answer) == 0);
            CHECK(device.write(handle, 3 * page, &mark, 1) == 0);
        }
    }
}

TEST_CASE("freeze: nothing of a frozen file changes, whoever writes and pins all the time") {
    const char* const filesystem =
        GENERATE(from_range(dax_filesystems.begin(), dax_filesystems.end()));
    CAPTURE(filesystem);
    const raw_device device;
    const dax_file data(filesystem, pages * page);
    const std::uint32_t handle = device.must_pin(data.memory.data(), pages * page, leased_write);
    std::uint8_t next = 0;
    std::atomic<int> written = 0;
    const repeated writer([&] {
        std::array<std::byte, 64> content{};
        content.fill(std::byte(next++));
        for (std::size_t at = 0; at < pages * page; at += page) {
            written += device.write(handle, at, content.data(), content.size()) == 0 ? 1 : 0;
        }
    });
    const repeated repinner([&] {
        longpin_repin answer{};
        (void)device.repin(handle, answer);
    });
    const int wanted = rounds(200);
    for (int round = 0; round < wanted; round++) {
        const int before = written;
        REQUIRE(eventually([&] { return written > before; }));
        const frozen snapshot(data.descriptor);
        std::vector<std::byte> first(pages * page);
        std::vector<std::byte> second(pages * page);
        std::memcpy(first.data(), data.memory.data(), first.size());
        for (int i = 0; i < 20; i++) {
            ::usleep(100);
            std::memcpy(second.data(), data.memory.data(), second.size());
            REQUIRE(first == second);
        }
    }
}

TEST_CASE("freeze: of a pin of files on two file systems, what isn't frozen can be written to") {
    const raw_device device;
    const file one = temporary_file(backing("xfs_dax"), pages * page);
    const file two = temporary_file(backing("ext4_dax"), pages * page);
    const mapping memory = mapping::anonymous(3 * pages * page);
    for (const auto& [part, at] : {std::pair(&one, 0UL), std::pair(&two, pages)}) {
        REQUIRE(::mmap(memory.at(at * page), pages * page, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED, part->get(), 0) != MAP_FAILED);
    }
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), leased_write);
    frozen filesystem(two);
    CHECK(device.write(handle, 0, &mark, 1) == 0);
    CHECK(device.write(handle, 2 * pages * page, &mark, 1) == 0); // private memory
    CHECK(device.write(handle, pages * page, &mark, 1) == ESTALE);
    filesystem.thaw();
    longpin_repin answer{};
    CHECK(device.repin(handle, answer) == 0);
    CHECK(answer.out_repinned == pages);
    CHECK(device.write(handle, pages * page, &mark, 1) == 0);
}

TEST_CASE(
    "freeze: a file system with a leased file can't be mounted read-only, as with a mapping") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const raw_device device;
        dax_file data(filesystem, pages * page);
        const std::uint32_t handle =
            device.must_pin(data.memory.data(), pages * page, leased_write);
        const std::string at = backing(filesystem);
        const auto remount = [&](unsigned long flags) {
            return ::mount(nullptr, at.c_str(), nullptr, MS_REMOUNT | flags, "dax=always") == 0
                       ? 0
                       : errno;
        };
        CHECK(remount(MS_RDONLY) == EBUSY);

        data.memory.unmap();
        data.descriptor.close();
        CHECK(device.write(handle, 0, &mark, 1) == ESTALE);
        CHECK(remount(MS_RDONLY) == 0);
        CHECK(remount(0) == 0);
    }
}
