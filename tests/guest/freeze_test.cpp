// SPDX-License-Identifier: MIT
// A lease for writing and what keeps a file system from being written to: freezing, and mounting it
// read-only. What a store of the process itself must not do, COPY must not do either.
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t pages = 4;
constexpr std::byte mark{0x5a};

/// COPY of one byte into a pin in a child, which may have to wait.
child write_mark(const raw_device& device, std::uint32_t handle, std::size_t offset) {
    return child([&device, handle, offset] {
        if (device.write(handle, offset, &mark, 1) != 0) {
            throw std::runtime_error("COPY");
        }
    });
}

/// What is on the device: through the mapping, which is the storage itself.
std::byte stored(const dax_file& data, std::size_t offset) {
    return *static_cast<volatile std::byte*>(data.memory.at(offset));
}

} // namespace

TEST_CASE("freeze: COPY into a lease waits until the file system is thawed") {
    for (const char* const filesystem : dax_filesystems) {
        for (const bool synced : {false, true}) {
            INFO(filesystem << (synced ? ", after fsync()" : ""));
            const raw_device device;
            const dax_file data(filesystem, pages * page);
            const std::uint32_t handle =
                device.must_pin(data.memory.data(), pages * page, leased_write);
            constexpr std::byte before{1};
            *data.memory.at(page) = before;
            // Nothing is dirty after that, so freezing makes no page read-only: no event comes.
            REQUIRE((!synced || ::fsync(data.descriptor.get()) == 0));

            frozen filesystem_frozen(data.descriptor);
            child writer = write_mark(device, handle, page);
            child control([&] { *data.memory.at(2 * page) = mark; });
            CHECK(falls_asleep(writer.pid()));
            CHECK(falls_asleep(control.pid()));
            CHECK(stored(data, page) == before);

            // Reading goes on; and with O_NONBLOCK nobody waits.
            std::byte byte{};
            CHECK(device.read(handle, page, &byte, 1) == 0);
            CHECK(byte == before);
            REQUIRE(::fcntl(device.descriptor(), F_SETFL, O_NONBLOCK) == 0);
            CHECK(device.write(handle, 3 * page, &mark, 1) == EAGAIN);
            REQUIRE(::fcntl(device.descriptor(), F_SETFL, 0) == 0);
            CHECK(stored(data, page) == before);

            filesystem_frozen.thaw();
            CHECK(writer.wait());
            CHECK(control.wait());
            CHECK(stored(data, page) == mark);
            CHECK(device.write(handle, 3 * page, &mark, 1) == 0);
        }
    }
}

TEST_CASE("freeze: a COPY that waits doesn't keep the pages, nor the mapping, nor other files") {
    const raw_device device;
    const dax_file other("ext4_dax", pages * page);
    dax_file data("xfs_dax", pages * page);
    const std::uint32_t handle = device.must_pin(data.memory.data(), pages * page, leased_write);
    const std::uint32_t elsewhere =
        device.must_pin(other.memory.data(), pages * page, leased_write);
    frozen filesystem(data.descriptor);
    child writer([&] { // the page is gone when it may be written to
        if (device.write(handle, page, &mark, 1) != ESTALE) {
            throw std::runtime_error("COPY");
        }
    });
    REQUIRE(falls_asleep(writer.pid()));
    data.memory.unmap();
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK(device.write(elsewhere, page, &mark, 1) == 0);
    CHECK(device.unpin(elsewhere) == 0);
    filesystem.thaw();
    CHECK(writer.wait());
    CHECK(device.unpin(handle) == 0);
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
    REQUIRE(::fcntl(device.descriptor(), F_SETFL, O_NONBLOCK) == 0);
    CHECK(device.write(handle, pages * page, &mark, 1) == EAGAIN);
    filesystem.thaw();
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
        CHECK(device.write(handle, 0, &mark, 1) == 0);

        data.memory.unmap();
        data.descriptor.close();
        CHECK(device.write(handle, 0, &mark, 1) == ESTALE);
        CHECK(remount(MS_RDONLY) == 0);
        CHECK(remount(0) == 0);
    }
}
