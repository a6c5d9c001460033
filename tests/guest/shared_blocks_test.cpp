// SPDX-License-Identifier: MIT
// Leases of files that share blocks (reflink): a page that two files map looks like anonymous
// memory to get_user_pages.
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t pages = 16;

/// Two files that share all of their blocks, the first of them mapped for reading.
struct cloned_file {
    cloned_file()
        : descriptor(temporary_file(backing("xfs_reflink"), pages * page)),
          clone(temporary_file(backing("xfs_reflink"), page)) {
        {
            const mapping content(pages * page, PROT_READ | PROT_WRITE, MAP_SHARED,
                                  descriptor.get());
            content.fill();
        }
        must(::fsync(descriptor.get()) == 0, "fsync");
        must(::ioctl(clone.get(), FICLONE, descriptor.get()) == 0, "FICLONE");
        memory = mapping(pages * page, PROT_READ, MAP_SHARED, descriptor.get());
    }

    file descriptor, clone;
    mapping memory;
};

/// Pins and repins until time is up, while another thread empties the page tables. Returns how
/// many calls succeeded, or -1 for one that failed with an errno it may not have.
int pin_while_zapped(const cloned_file& data, std::chrono::milliseconds time) {
    const raw_device device;
    std::atomic<bool> done = false;
    std::thread zapper([&] {
        while (!done) {
            ::madvise(data.memory.data(), data.memory.length(), MADV_DONTNEED);
        }
    });
    int succeeded = 0;
    bool as_specified = true;
    const auto deadline = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < deadline) {
        longpin_pin answer{};
        const int err = device.pin(data.memory.data(), data.memory.length(), leased, answer);
        as_specified = as_specified && (err == 0 || err == EAGAIN);
        if (err == 0) {
            longpin_repin again{};
            const int repinned = device.repin(answer.out_handle, again);
            as_specified = as_specified && (repinned == 0 || repinned == EAGAIN);
            as_specified = as_specified && device.unpin(answer.out_handle) == 0;
            succeeded++;
        }
    }
    done = true;
    zapper.join();
    return as_specified ? succeeded : -1;
}

} // namespace

TEST_CASE("shared blocks: a lease for reading of a file that shares its blocks holds them") {
    const raw_device device;
    const cloned_file data;
    const std::uint32_t handle = device.must_pin(data.memory.data(), pages * page, leased);
    std::vector<std::byte> buffer(pages * page);
    REQUIRE(device.read(handle, 0, buffer.data(), buffer.size()) == 0);
    CHECK(has_pattern(buffer.data(), buffer.size()));

    // The clone's blocks are the same ones until one of the files is written to.
    REQUIRE(::ftruncate(data.clone.get(), 0) == 0);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    REQUIRE(device.read(handle, 0, buffer.data(), buffer.size()) == 0);
    CHECK(has_pattern(buffer.data(), buffer.size()));
}

TEST_CASE("shared blocks: a lease is made while another thread empties the page tables") {
    constexpr std::chrono::milliseconds time(4000);
    const cloned_file data;
    const mapping result = mapping::shared_anonymous(sizeof(int));
    child pinner([&] { *result.as<int>() = pin_while_zapped(data, time); });
    // A call that never returns keeps the mmap lock: only a fatal signal ends it.
    const bool ended = pinner.ends();
    CHECK(ended);
    if (!ended) {
        pinner.kill();
        return;
    }
    REQUIRE(pinner.wait());
    CHECK(*result.as<int>() > 0);
}
