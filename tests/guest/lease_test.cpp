// SPDX-License-Identifier: MIT
// Leases: what takes pages of a leased pin back, what doesn't, and what is left.
#include "support/backings.hpp"
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/module.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <poll.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>
#include <utility>

using namespace guest;

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct outcome {
    int err;
    std::uint32_t reason;
};

outcome expected(const memory_backing& row, bool write) {
    switch (row.kind) {
    case backing_kind::secret: return {EFAULT, LONGPIN_REASON_SECRETMEM};
    case backing_kind::io: return {EFAULT, LONGPIN_REASON_IO};
    case backing_kind::pfnmap: return {EFAULT, LONGPIN_REASON_PFNMAP};
    case backing_kind::hole: return {EFAULT, LONGPIN_REASON_HOLE};
    case backing_kind::private_file:
    case backing_kind::shared_file: return {EOPNOTSUPP, LONGPIN_REASON_LEASE_MEMORY};
    default: break;
    }
    if (row.name == "fs-DAX on XFS, private") {
        return {EOPNOTSUPP, LONGPIN_REASON_LEASE_MEMORY};
    }
    if (write && !(row.protection & PROT_WRITE)) {
        return {EFAULT, LONGPIN_REASON_NOT_WRITABLE};
    }
    return {0, 0};
}

/// ftruncate(), in a child: what comes of it is seen outside.
void cut(const file& data, std::size_t size) {
    [[maybe_unused]] const int result = ::ftruncate(data.get(), static_cast<off_t>(size));
}

/// An event that is there, and alone.
longpin_event only_event(const raw_device& device) {
    const auto events = device.events();
    for (const longpin_event& event : events) {
        UNSCOPED_INFO("event: type " << event.type << ", handle " << event.handle << ", cause "
                                     << event.cause << ", " << event.length << " bytes from "
                                     << event.offset << " on");
    }
    REQUIRE(events.size() == 1);
    CHECK(events[0].size == sizeof(longpin_event));
    return events[0];
}

/// That the event says so of whole pages of a pin that starts at a page.
void check_revoked(const longpin_event& event, std::uint32_t handle, std::uint32_t cause,
                   std::size_t first, std::size_t pages) {
    CHECK(event.type == LONGPIN_EVENT_REVOKED);
    CHECK(event.handle == handle);
    CHECK(event.cause == cause);
    CHECK(event.offset == first * page);
    CHECK(event.length == pages * page);
    CHECK(event.lost == 0);
}

} // namespace

TEST_CASE("lease: the memory table's column of leases") {
    for (const memory_backing& row : memory_backings()) {
        for (const bool write : {false, true}) {
            INFO(row.name << (write ? ", for writing" : ", for reading"));
            const raw_device device;
            mapping memory = row.map();
            const std::uint32_t flags = write ? leased_write : leased;
            const outcome wanted = expected(row, write);
            const long held_before = pinned_pages();

            for (const std::uint32_t dry_run : {LONGPIN_PIN_DRY_RUN, 0U}) {
                longpin_pin answer{};
                CHECK(device.pin(memory.data(), memory.length(), flags | dry_run, answer) ==
                      wanted.err);
                CHECK(answer.out_reason == wanted.reason);
                if (wanted.err || dry_run) {
                    CHECK(answer.out_handle == 0);
                    CHECK(vm_pin() == 0);
                    CHECK(pinned_pages() == held_before);
                    continue;
                }
                CHECK(answer.out_pages == memory.length() / page);
                CHECK(vm_pin() == memory.length());
                std::byte buffer[page];
                REQUIRE(device.read(answer.out_handle, page, buffer, page) == 0);
                CHECK(std::memcmp(buffer, memory.at(page), page) == 0);

                // Unmapped, it is gone; and only the handle is left.
                const std::size_t length = memory.length();
                memory.unmap();
                CHECK(device.read(answer.out_handle, page, buffer, page) == ESTALE);
                CHECK(vm_pin() == 0);
                CHECK(pinned_pages() == held_before);
                check_revoked(only_event(device), answer.out_handle, LONGPIN_CAUSE_UNMAP, 0,
                              length / page);
                CHECK(device.unpin(answer.out_handle) == 0);
            }
        }
    }
}

TEST_CASE("lease: a truncate of a file on fs-DAX takes its pages back, and REPIN those that stay") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const raw_device device;
        const dax_file data(filesystem, 64 * page);
        const longpin_info before = device.info();
        const std::uint32_t handle = device.must_pin(data.memory.data(), 64 * page, leased_write);
        CHECK(must_query(device, handle).out_kinds == LONGPIN_KIND_FSDAX);
        CHECK(vm_pin() == 64 * page);

        // ext4 and XFS take all of the file, whatever part of it loses blocks.
        REQUIRE(::ftruncate(data.descriptor.get(), 40 * page) == 0);
        check_revoked(only_event(device), handle, LONGPIN_CAUSE_INVALIDATE, 0, 64);
        CHECK(lost_exactly(device, handle, 0, 64));
        CHECK(vm_pin() == 0);
        CHECK(device.info().out_max_pages_used == 0);
        CHECK(device.info().out_max_user_pages_used == 0);
        CHECK(device.info().out_memlock_used == before.out_memlock_used);

        longpin_repin answer{};
        CHECK(device.repin(handle, answer) == EFAULT); // beyond the end of the file
        CHECK(answer.out_reason == LONGPIN_REASON_FAULT);
        CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(data.memory.at(40 * page)));
        CHECK(lost_exactly(device, handle, 0, 64));
        CHECK(vm_pin() == 0);

        REQUIRE(device.repin(handle, answer, 0, 40 * page) == 0);
        CHECK(answer.out_repinned == 40);
        CHECK(answer.out_pages == 40);
        CHECK(lost_exactly(device, handle, 40, 64));
        CHECK(vm_pin() == 40 * page);

        REQUIRE(::ftruncate(data.descriptor.get(), 64 * page) == 0);
        data.memory.fill(3);
        REQUIRE(device.repin(handle, answer) == 0);
        CHECK(answer.out_pages == 64);
        CHECK(vm_pin() == 64 * page);
        std::vector<std::byte> buffer(64 * page);
        REQUIRE(device.read(handle, 0, buffer.data(), buffer.size()) == 0);
        CHECK(has_pattern(buffer.data(), buffer.size(), 0, 3));

        REQUIRE(device.repin(handle, answer) == 0);
        CHECK(answer.out_repinned == 0);
    }
}

TEST_CASE("lease: the tail of a registration of 1 GiB is taken back, the rest stays") {
    const raw_device device;
    const file data(::memfd_create("large", MFD_CLOEXEC));
    REQUIRE(::ftruncate(data.get(), off_t{GiB}) == 0);
    const mapping memory(GiB, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    const std::uint32_t handle = device.must_pin(memory.data(), GiB, leased_write);
    CHECK(must_query(device, handle).out_pages == GiB / page);

    constexpr std::size_t left = GiB - 48 * MiB - page;
    REQUIRE(::ftruncate(data.get(), off_t{left}) == 0);
    // In as many steps as the kernel takes, the last of which is told last.
    std::size_t lost = 0;
    for (const longpin_event& event : device.events()) {
        CHECK(event.type == LONGPIN_EVENT_REVOKED);
        CHECK(event.offset == left + lost);
        lost += event.length;
    }
    CHECK(lost == GiB - left);
    CHECK(must_query(device, handle).out_pages == left / page);
    CHECK(must_query(device, handle).out_revoked_pages == (GiB - left) / page);
    CHECK(vm_pin() == left);

    const auto extents = device.extents(handle);
    CHECK(extents.back().offset + extents.back().length == left);
    *memory.at(left - page) = std::byte{7};
    std::byte byte{};
    CHECK(device.read(handle, left - page, &byte, 1) == 0);
    CHECK(byte == std::byte{7});
    CHECK(device.read(handle, left, &byte, 1) == ESTALE);
    CHECK(device.write(handle, GiB - 1, &byte, 1) == ESTALE);
}

TEST_CASE("lease: COPY up to a page that was taken back copies what lies before it") {
    const raw_device device;
    const mapping memory = mapping::small(8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased);
    memory.unmap_part(2 * page, 6 * page);

    std::vector<std::byte> buffer(4 * page, std::byte{0x55});
    CHECK(device.read(handle, 0, buffer.data(), buffer.size()) == ESTALE);
    CHECK(std::memcmp(buffer.data(), memory.data(), 2 * page) == 0);
    CHECK(buffer[2 * page] == std::byte{0x55});
    CHECK(device.write(handle, 2 * page, buffer.data(), 1) == EPERM);
}

TEST_CASE("lease: holes in the middle leave the rest, whatever their order") {
    const raw_device device;
    mapping memory = mapping::small(64 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), leased_write);
    std::vector<bool> gone(64, false);
    // Every third page forwards, then every fifth backwards: cuts runs, joins gaps.
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < 64; i += 3) {
        order.push_back(i);
    }
    for (std::size_t i = 60; i > 0; i -= 5) {
        order.push_back(i);
    }
    for (const std::size_t i : order) {
        REQUIRE(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0);
        gone[i] = true;
        std::size_t left = 0;
        for (std::size_t k = 0; k < 64; k++) {
            std::uint64_t word = 0;
            const int err = device.read(handle, k * page, &word, sizeof(word));
            REQUIRE(err == (gone[k] ? ESTALE : 0));
            if (!err) {
                REQUIRE(word == pattern(1, k * page));
            }
            left += gone[k] ? 0U : 1U;
        }
        REQUIRE(must_query(device, handle).out_pages == left);
        REQUIRE(vm_pin() == left * page);
    }
    std::size_t held = 0;
    for (const longpin_extent& extent : device.extents(handle, 3)) {
        for (std::size_t k = extent.offset / page; k < (extent.offset + extent.length) / page;
             k++) {
            CHECK_FALSE(gone[k]);
            held++;
        }
    }
    CHECK(held == must_query(device, handle).out_pages);
}

TEST_CASE("lease: gaps side by side become one, and so do runs when the gap between them is filled",
          "[devdax]") {
    const raw_device device;
    constexpr std::size_t pages = 64;
    const mapping memory = map_devdax("devdax_4k", pages * page);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), pages * page, leased_write);
    const longpin_query before = must_query(device, handle);
    REQUIRE(before.out_runs == 1);
    const auto let_go = [&](std::size_t i) { REQUIRE(device.let_go(handle, i * page, page) == 0); };
    const auto check_as_before = [&] {
        longpin_repin answer{};
        REQUIRE(device.repin(handle, answer) == 0);
        CHECK(must_query(device, handle).out_runs == 1);
        CHECK(must_query(device, handle).out_bookkeeping == before.out_bookkeeping);
    };
    SECTION("from the first page on") {
        for (std::size_t i = 0; i < pages; i++) {
            let_go(i);
        }
        CHECK(must_query(device, handle).out_bookkeeping == before.out_bookkeeping);
        check_as_before();
    }
    SECTION("from the last page on") {
        for (std::size_t i = pages; i > 0; i--) {
            let_go(i - 1);
        }
        CHECK(must_query(device, handle).out_bookkeeping == before.out_bookkeeping);
        check_as_before();
    }
    SECTION("every other page") {
        for (std::size_t i = 0; i < pages; i += 2) {
            let_go(i);
        }
        CHECK(must_query(device, handle).out_runs == pages / 2);
        longpin_repin answer{};
        for (std::size_t i = 0; i < pages; i += 2) {
            REQUIRE(device.repin(handle, answer, i * page, page) == 0);
            REQUIRE(answer.out_pages == pages / 2 + i / 2 + 1);
        }
        check_as_before();
    }
}

TEST_CASE("lease: an end of the range that isn't a page's is counted in bytes of the range") {
    const raw_device device;
    mapping memory = mapping::small(4 * page);
    const std::uint32_t handle = device.must_pin(memory.at(100), 4 * page - 200, leased);
    memory.unmap();
    const longpin_event event = only_event(device);
    CHECK(event.offset == 0);
    CHECK(event.length == 4 * page - 200);
    CHECK(device.unpin(handle) == 0);
}

TEST_CASE("lease: what takes memory away takes the pages back, with its cause") {
    const raw_device device;
    SECTION("mremap() to another place") {
        mapping memory = mapping::small(4 * page);
        const mapping place = mapping::anonymous(4 * page);
        const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, leased);
        REQUIRE(::mremap(memory.data(), 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED,
                         place.data()) == place.data());
        memory.release();
        CHECK(must_query(device, handle).out_pages == 0);
        for (const longpin_event& event : device.events()) {
            CHECK(event.cause == LONGPIN_CAUSE_UNMAP);
        }
    }
    SECTION("mmap() over it") {
        const mapping memory = mapping::small(4 * page);
        const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, leased);
        REQUIRE(::mmap(memory.at(page), page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                       -1, 0) == memory.at(page));
        check_revoked(only_event(device), handle, LONGPIN_CAUSE_UNMAP, 1, 1);
        CHECK(lost_exactly(device, handle, 1, 2));
    }
    SECTION("MADV_DONTNEED") {
        const mapping memory = mapping::small(4 * page);
        const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, leased);
        REQUIRE(::madvise(memory.at(page), 2 * page, MADV_DONTNEED) == 0);
        check_revoked(only_event(device), handle, LONGPIN_CAUSE_INVALIDATE, 1, 2);
    }
    SECTION("a hole punched into a memfd") {
        const file data(::memfd_create("test", MFD_CLOEXEC));
        REQUIRE(::ftruncate(data.get(), 8 * page) == 0);
        const mapping memory(8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        memory.fill();
        const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased_write);
        REQUIRE(::fallocate(data.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * page,
                            3 * page) == 0);
        check_revoked(only_event(device), handle, LONGPIN_CAUSE_INVALIDATE, 2, 3);
        CHECK(lost_exactly(device, handle, 2, 5));
    }
}

TEST_CASE("lease: a huge page that is unmapped in part is taken back, and no other", "[thp]") {
    const raw_device device;
    const mapping memory = memory_backing_named("anonymous, huge pages").map();
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), leased);
    memory.unmap_part(memory.length() - page, page);
    const longpin_query left = must_query(device, handle);
    CHECK(left.out_pages < memory.length() / page);
    CHECK(left.out_pages >= memory.length() / page - 512);
}

TEST_CASE("lease: mprotect, fork and storms of fsync take nothing back that is only read") {
    const raw_device device;
    const dax_file data("xfs_dax", 16 * page);
    const mapping anonymous = mapping::small(16 * page);
    const std::uint32_t on_file = device.must_pin(data.memory.data(), 16 * page, leased);
    const std::uint32_t private_one = device.must_pin(anonymous.data(), 16 * page, leased_write);

    for (int i = 0; i < 200; i++) {
        *data.memory.at(std::size_t(i) * 300) = std::byte(i);
        REQUIRE(::fsync(data.descriptor.get()) == 0);
        REQUIRE(::msync(data.memory.data(), 16 * page, MS_SYNC) == 0);
    }
    anonymous.protect(PROT_READ);
    anonymous.protect(PROT_READ | PROT_WRITE);
    REQUIRE(write_line("/proc/self/clear_refs", "4") == 0); // soft-dirty bits
    child sleeper([] { ::pause(); });
    // The parent writes, and still writes to the page that is held.
    anonymous.fill(7);
    CHECK(device.events().empty());
    CHECK(must_query(device, on_file).out_pages == 16);
    CHECK(must_query(device, private_one).out_pages == 16);
    std::byte buffer[page];
    REQUIRE(device.read(private_one, page, buffer, page) == 0);
    CHECK(has_pattern(buffer, page, page, 7));
    sleeper.kill();
}

TEST_CASE(
    "lease: the end of the process that made it takes it back, and the file's holder is told") {
    const raw_device device;
    gate made;
    gate end;
    child pinner([&] {
        const mapping memory = mapping::small(4 * page);
        device.must_pin(memory.data(), 4 * page, leased);
        made.open();
        end.pass();
        ::_exit(0); // before the mapping is gone
    });
    made.pass();
    const std::uint32_t handle = 1;
    REQUIRE(must_query(device, handle).out_pages == 4);
    longpin_repin answer{};
    CHECK(device.repin(handle, answer) == EPERM);
    SECTION("by itself") {
        end.open();
        CHECK(pinner.wait());
    }
    SECTION("killed") {
        pinner.kill();
        CHECK(must_query(device, handle).out_pages == 0);
    }
    check_revoked(only_event(device), handle, LONGPIN_CAUSE_EXIT, 0, 4);
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK(device.repin(handle, answer) == EPERM);
    CHECK(device.unpin(handle) == 0);
}

TEST_CASE("lease: a read of nothing waits, or doesn't, and a short buffer is an error") {
    const raw_device device;
    longpin_event events[2];
    CHECK(::read(device.descriptor(), events, sizeof(events[0]) - 1) == -1);
    CHECK(errno == EINVAL);
    REQUIRE(::fcntl(device.descriptor(), F_SETFL, O_NONBLOCK) == 0);
    CHECK(::read(device.descriptor(), events, sizeof(events)) == -1);
    CHECK(errno == EAGAIN);
    pollfd wanted{device.descriptor(), POLLIN, 0};
    CHECK(::poll(&wanted, 1, 0) == 0);
    REQUIRE(::fcntl(device.descriptor(), F_SETFL, 0) == 0);

    mapping memory = mapping::small(page);
    const std::uint32_t handle = device.must_pin(memory.data(), page, leased);
    std::thread later([&] {
        std::this_thread::sleep_for(milliseconds(50));
        memory.unmap();
    });
    CHECK(::read(device.descriptor(), events, sizeof(events)) == sizeof(events[0]));
    check_revoked(events[0], handle, LONGPIN_CAUSE_UNMAP, 0, 1);
    later.join();
}

TEST_CASE("lease: events that a read can't deliver are not lost") {
    const raw_device device;
    mapping memory = mapping::small(page);
    const std::uint32_t handle = device.must_pin(memory.data(), page, leased);
    memory.unmap();
    const mapping unwritable(page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
    CHECK(::read(device.descriptor(), unwritable.data(), page) == -1);
    CHECK(errno == EFAULT);
    check_revoked(only_event(device), handle, LONGPIN_CAUSE_UNMAP, 0, 1);
}

TEST_CASE("lease: adjacent revocations come as one event, others in their order") {
    const raw_device device;
    const mapping memory = mapping::small(16 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 16 * page, leased);
    for (const std::size_t i : {4UL, 5UL, 3UL, 9UL, 10UL}) {
        REQUIRE(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0);
    }
    const auto events = device.events();
    REQUIRE(events.size() == 2);
    check_revoked(events[0], handle, LONGPIN_CAUSE_INVALIDATE, 3, 3);
    check_revoked(events[1], handle, LONGPIN_CAUSE_INVALIDATE, 9, 2);
    CHECK(events[0].time <= events[1].time);
}

TEST_CASE("lease: an event has the cookie of its pin, and the time of its revocation") {
    const auto now = [] {
        timespec time{};
        ::clock_gettime(CLOCK_BOOTTIME, &time);
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
               static_cast<std::uint64_t>(time.tv_nsec);
    };
    const raw_device device;
    mapping memory = mapping::small(page);
    auto arguments = request<longpin_pin>();
    arguments.flags = leased;
    arguments.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    arguments.length = page;
    arguments.cookie = 0xfedcba9876543210;
    REQUIRE(device.call(LONGPIN_PIN, &arguments) == 0);
    const std::uint64_t before = now();
    memory.unmap();
    const std::uint64_t after = now();
    const longpin_event event = only_event(device);
    CHECK(event.cookie == arguments.cookie);
    CHECK(event.time >= before);
    CHECK(event.time <= after);
}

TEST_CASE("lease: revocations side by side that differ in the pin or in the cause stay apart") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    const std::uint32_t first = device.must_pin(memory.data(), 2 * page, leased);
    const std::uint32_t second = device.must_pin(memory.at(page), 3 * page, leased);
    REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);       // page 0 of the first
    REQUIRE(::madvise(memory.at(2 * page), page, MADV_DONTNEED) == 0); // page 1 of the second
    memory.unmap_part(3 * page, page);
    const auto events = device.events();
    REQUIRE(events.size() == 3);
    check_revoked(events[0], first, LONGPIN_CAUSE_INVALIDATE, 0, 1);
    check_revoked(events[1], second, LONGPIN_CAUSE_INVALIDATE, 1, 1);
    check_revoked(events[2], second, LONGPIN_CAUSE_UNMAP, 2, 1);
}

TEST_CASE("lease: a revocation is not joined to an event that is just being read") {
    const raw_device device;
    const file slow = temporary_file(backing("xfs_dax"), page);
    const mapping memory = mapping::small(4 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, leased);
    REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);

    frozen filesystem(slow);
    child reader([&] {
        const mapping buffer(page, PROT_READ | PROT_WRITE, MAP_SHARED, slow.get());
        const ssize_t got = ::read(device.descriptor(), buffer.data(), page);
        const auto* const event = buffer.as<longpin_event>();
        if (got != sizeof(*event) || event->offset != 0 || event->length != page) {
            throw std::runtime_error("not the one event that there was");
        }
    });
    REQUIRE(falls_asleep(reader.pid()));
    REQUIRE(::madvise(memory.at(page), page, MADV_DONTNEED) == 0);
    filesystem.thaw();
    CHECK(reader.wait());
    check_revoked(only_event(device), handle, LONGPIN_CAUSE_INVALIDATE, 1, 1);
}

TEST_CASE("lease: a queue that overflows says how many events were lost, and goes on") {
    const raw_device device;
    constexpr std::size_t pages = 1400;
    const mapping memory = mapping::small(pages * page);
    const std::uint32_t handle = device.must_pin(memory.data(), pages * page, leased);
    for (std::size_t i = 0; i < pages; i += 2) {
        REQUIRE(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0);
    }
    auto events = device.events();
    REQUIRE(events.size() == 513);
    for (std::size_t i = 0; i < 512; i++) {
        check_revoked(events[i], handle, LONGPIN_CAUSE_INVALIDATE, 2 * i, 1);
    }
    CHECK(events[512].type == LONGPIN_EVENT_OVERFLOW);
    CHECK(events[512].handle == 0);
    CHECK(events[512].lost == 700 - 512);
    CHECK(must_query(device, handle).out_revoked_pages == 700);

    REQUIRE(::madvise(memory.at(page), page, MADV_DONTNEED) == 0);
    check_revoked(only_event(device), handle, LONGPIN_CAUSE_INVALIDATE, 1, 1);
}

TEST_CASE(
    "lease: what is revoked after an overflow is lost too, until the number of those is read") {
    const raw_device device;
    constexpr std::size_t pages = 1032;
    const mapping memory = mapping::small(pages * page);
    const std::uint32_t handle = device.must_pin(memory.data(), pages * page, leased);
    const auto revoke = [&](std::size_t i) {
        REQUIRE(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0);
    };
    for (std::size_t i = 0; i < 514; i++) {
        revoke(2 * i);
    }
    longpin_event oldest[2];
    REQUIRE(::read(device.descriptor(), oldest, sizeof(oldest)) == sizeof(oldest));
    revoke(2 * 511 + 1); // beside the last that got in
    revoke(1030);
    const auto events = device.events();
    REQUIRE(events.size() == 511);
    check_revoked(events[509], handle, LONGPIN_CAUSE_INVALIDATE, 1022, 1);
    CHECK(events[510].type == LONGPIN_EVENT_OVERFLOW);
    CHECK(events[510].lost == 4);
}

TEST_CASE("lease: an eventfd counts the pin's events, and only those") {
    const raw_device device;
    const file bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    mapping memory = mapping::small(4 * page);
    const mapping other = mapping::small(page);
    auto arguments = request<longpin_pin>();
    arguments.flags = LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD;
    arguments.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    arguments.length = 4 * page;
    arguments.eventfd = bell.get();
    REQUIRE(device.call(LONGPIN_PIN, &arguments) == 0);
    device.must_pin(other.data(), page, leased);

    std::uint64_t count = 0;
    REQUIRE(::madvise(other.data(), page, MADV_DONTNEED) == 0);
    CHECK(::read(bell.get(), &count, sizeof(count)) == -1);
    REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);
    memory.unmap();
    // A moment later: those who wait for it are not woken by the one who revokes.
    std::uint64_t sum = 0;
    CHECK(eventually([&] {
        sum += ::read(bell.get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
        return sum >= 2;
    }));
    CHECK(sum == 2);
}

TEST_CASE("lease: the generation in the mapped page changes when something is revoked") {
    const raw_device device;
    const mapping status(page, PROT_READ, MAP_SHARED, device.descriptor());
    const std::atomic_ref generation(status.as<longpin_status>()->generation);
    const mapping memory = mapping::small(4 * page);
    device.must_pin(memory.data(), 4 * page, leased);
    const auto before = generation.load();
    CHECK(generation.load() == before);
    REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);
    CHECK(generation.load() != before);

    SECTION("nothing else may be mapped") {
        const auto refused = [&](std::size_t length, int protection, int flags, off_t offset) {
            void* const got =
                ::mmap(nullptr, length, protection, flags, device.descriptor(), offset);
            return got == MAP_FAILED ? errno : 0;
        };
        CHECK(refused(page, PROT_READ | PROT_WRITE, MAP_SHARED, 0) == EACCES);
        CHECK(refused(page, PROT_READ | PROT_EXEC, MAP_SHARED, 0) == EACCES);
        CHECK(refused(page, PROT_READ, MAP_PRIVATE, 0) == EACCES);
        CHECK(refused(2 * page, PROT_READ, MAP_SHARED, 0) == EINVAL);
        CHECK(refused(page, PROT_READ, MAP_SHARED, page) == EINVAL);
        CHECK(::mprotect(status.data(), page, PROT_READ | PROT_WRITE) == -1);
        CHECK(::mprotect(status.data(), page, PROT_READ | PROT_EXEC) == -1);
        CHECK(::mremap(status.data(), page, 2 * page, MREMAP_MAYMOVE) == MAP_FAILED);
    }
    SECTION("a child doesn't have it") {
        child reader([&] {
            ::signal(SIGSEGV, SIG_DFL);
            (void)*static_cast<volatile std::byte*>(status.data());
        });
        CHECK_FALSE(reader.wait()); // killed by SIGSEGV
    }
}

TEST_CASE("lease: what only a lease can have is refused without one, and bad values with one") {
    const raw_device device;
    const mapping memory = mapping::small(page);
    auto arguments = request<longpin_pin>();
    arguments.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    arguments.length = page;
    const auto refused = [&](int err) {
        CHECK(device.call(LONGPIN_PIN, &arguments) == err);
        return arguments.out_reason;
    };
    SECTION("grace without a lease") {
        arguments.grace_ms = 1;
        CHECK(refused(EINVAL) == LONGPIN_REASON_LEASE_ONLY);
    }
    SECTION("an eventfd without a lease") {
        arguments.flags = LONGPIN_PIN_EVENTFD;
        CHECK(refused(EINVAL) == LONGPIN_REASON_LEASE_ONLY);
    }
    SECTION("an eventfd without its flag") {
        arguments.flags = LONGPIN_PIN_LEASE;
        arguments.eventfd = 1;
        CHECK(refused(EINVAL) == LONGPIN_REASON_RESERVED);
    }
    SECTION("an eventfd that isn't open") {
        arguments.flags = LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD;
        arguments.eventfd = 9999;
        CHECK(refused(EBADF) == LONGPIN_REASON_EVENTFD);
    }
    SECTION("an eventfd that isn't one") {
        arguments.flags = LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD;
        arguments.eventfd = device.descriptor();
        CHECK(refused(EINVAL) == LONGPIN_REASON_EVENTFD);
    }
    SECTION("more grace than there is") {
        arguments.flags = LONGPIN_PIN_LEASE;
        arguments.grace_ms = device.info().out_max_grace_ms + 1;
        CHECK(refused(EINVAL) == LONGPIN_REASON_GRACE);
        CHECK(arguments.out_limit == device.info().out_max_grace_ms);
    }
    CHECK(vm_pin() == 0);
}

TEST_CASE("lease: REPIN and LET_GO are for leased pins") {
    const raw_device device;
    const mapping memory = mapping::small(2 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 2 * page);
    longpin_repin answer{};
    CHECK(device.repin(handle, answer) == EOPNOTSUPP);
    CHECK(device.let_go(handle, 0, page) == EOPNOTSUPP);
    CHECK(device.repin(99, answer) == ENOENT);
    CHECK(device.let_go(99, 0, page) == ENOENT);
    CHECK(must_query(device, handle).out_pages == 2);
}

TEST_CASE("lease: LET_GO gives back the pages that it touches, without an event") {
    const raw_device device;
    const mapping memory = mapping::small(8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased_write);
    CHECK(device.let_go(handle, 0, 0) == EINVAL);
    CHECK(device.let_go(handle, 8 * page, 1) == EINVAL);
    CHECK(device.let_go(handle, 1, 8 * page) == EINVAL);
    CHECK(device.let_go(handle, ~0ULL, 2) == EINVAL);
    auto arguments = request<longpin_let_go>();
    arguments.handle = handle;
    arguments.offset = 2 * page + 5;
    arguments.length = page;
    REQUIRE(device.call(LONGPIN_LET_GO, &arguments) == 0);
    CHECK(arguments.out_pages == 2);
    CHECK(lost_exactly(device, handle, 2, 4));
    CHECK(device.events().empty());
    CHECK(vm_pin() == 6 * page);
}

TEST_CASE("lease: REPIN of a part takes that, and leaves what is held") {
    const raw_device device;
    const mapping memory = mapping::small(16 * page);
    const std::uint32_t handle = device.must_pin(memory.at(10), 16 * page - 10, leased_write);
    REQUIRE(::madvise(memory.at(4 * page), 8 * page, MADV_DONTNEED) == 0);
    longpin_repin answer{};
    CHECK(device.repin(handle, answer, 16 * page - 10, 0) == EINVAL);
    CHECK(device.repin(handle, answer, 1, 16 * page - 10) == EINVAL);
    CHECK(device.repin(handle, answer, ~0ULL, 2) == EINVAL);
    REQUIRE(device.repin(handle, answer, 5 * page - 10, 2 * page) == 0);
    CHECK(answer.out_repinned == 2);
    CHECK(answer.out_pages == 10);
    CHECK(vm_pin() == 10 * page);
    REQUIRE(device.repin(handle, answer) == 0);
    CHECK(answer.out_repinned == 6);
    CHECK(must_query(device, handle).out_revoked_pages == 0);
}

TEST_CASE("lease: REPIN of another kind of memory adds it to those that the pin is of") {
    const raw_device device;
    const mapping memory = mapping::small(2 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 2 * page, leased);
    REQUIRE(::mmap(memory.at(page), page, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0) == memory.at(page));
    CHECK(must_query(device, handle).out_kinds == LONGPIN_KIND_ANON);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    CHECK(must_query(device, handle).out_kinds == (LONGPIN_KIND_ANON | LONGPIN_KIND_SHMEM));
}

TEST_CASE("lease: UNPIN waits for a REPIN that is under way, and the next one finds nothing") {
    const raw_device device;
    const file slow = temporary_file(backing("xfs_dax"), 4 * page);
    gate made;
    gate repin_now;
    gate repin_next;
    child pinner([&] {
        const mapping memory = mapping::small(8 * page);
        if (::mmap(memory.at(4 * page), 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   slow.get(), 0) == MAP_FAILED) {
            throw std::runtime_error("mmap");
        }
        const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased_write);
        ::madvise(memory.data(), 8 * page, MADV_DONTNEED);
        int next_result = 0;
        std::thread next([&] {
            repin_next.pass();
            longpin_repin answer{};
            next_result = device.repin(handle, answer);
        });
        made.open();
        repin_now.pass();
        longpin_repin answer{};
        const int result = device.repin(handle, answer);
        next.join();
        if (result != 0 || answer.out_repinned != 8 || next_result != ENOENT) {
            throw std::runtime_error("REPIN");
        }
    });
    made.pass();
    const std::uint32_t handle = 1;
    REQUIRE(must_query(device, handle).out_pages == 0);

    frozen filesystem(slow);
    repin_now.open();
    REQUIRE(falls_asleep(pinner.pid()));
    gate unpinned;
    child unpinner([&] {
        if (device.unpin(handle) != 0) {
            throw std::runtime_error("UNPIN");
        }
        unpinned.open();
    });
    REQUIRE(falls_asleep(unpinner.pid()));
    repin_next.open();
    CHECK_FALSE(unpinned.pass_within(50));
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK(vm_pin(pinner.pid()) == 8 * page); // with those that are to come
    filesystem.thaw();
    CHECK(unpinner.wait());
    CHECK(pinner.wait());
    longpin_query gone{};
    CHECK(device.query(handle, gone) == ENOENT);
    CHECK(device.info().out_max_pages_used == 0);
}

TEST_CASE("lease: what is lost while the pin is being made is taken again, and nobody is told") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const file data = temporary_file(backing("ext4_dax"), 4 * page);
    const file slow = temporary_file(backing("xfs_dax"), 4 * page);
    gate made;
    gate end;
    frozen filesystem(slow);
    child pinner([&] {
        const mapping memory = mapping::anonymous(8 * page);
        for (const auto& [part, at] : {std::pair(&data, 0UL), std::pair(&slow, 4UL)}) {
            if (::mmap(memory.at(at * page), 4 * page, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED, part->get(), 0) == MAP_FAILED) {
                throw std::runtime_error("mmap");
            }
        }
        must_pin_with_grace(device, memory, 60000);
        made.open();
        end.pass();
    });
    REQUIRE(falls_asleep(pinner.pid()));

    const auto began = steady_clock::now();
    REQUIRE(::fallocate(data.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * page) == 0);
    CHECK(steady_clock::now() - began < milliseconds(30000)); // the holder would not know of it
    filesystem.thaw();
    REQUIRE(made.pass_within(20000));
    CHECK(must_query(device, 1).out_pages == 8);
    CHECK(device.events().empty());
    end.open();
    CHECK(pinner.wait());
}

TEST_CASE("lease: a REPIN that fails half-way changes nothing") {
    const raw_device device;
    const mapping memory = mapping::small(32 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 32 * page, leased_write);
    REQUIRE(::madvise(memory.at(4 * page), 2 * page, MADV_DONTNEED) == 0);
    REQUIRE(::madvise(memory.at(10 * page), page, MADV_DONTNEED) == 0);
    memory.unmap_part(20 * page, page);
    const long held = pinned_pages();

    longpin_repin answer{};
    CHECK(device.repin(handle, answer) == EFAULT);
    CHECK(answer.out_reason == LONGPIN_REASON_HOLE);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(20 * page)));
    CHECK(must_query(device, handle).out_pages == 28);
    CHECK(vm_pin() == 28 * page);
    CHECK(pinned_pages() == held);
}

TEST_CASE("lease: REPIN is charged, and a limit stops it") {
    const raw_device device;
    const mapping memory = mapping::small(16 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 16 * page, leased);
    REQUIRE(::madvise(memory.data(), 8 * page, MADV_DONTNEED) == 0);
    {
        const module_parameter limit("max_pages", "10");
        longpin_repin answer{};
        CHECK(device.repin(handle, answer) == ENOMEM);
        CHECK(answer.out_reason == LONGPIN_REASON_MAX_PAGES);
        CHECK(answer.out_used == 8 * page);
        CHECK(answer.out_asked == 8 * page);
        CHECK(must_query(device, handle).out_pages == 8);
    }
    longpin_repin answer{};
    CHECK(device.repin(handle, answer) == 0);
    CHECK(vm_pin() == 16 * page);
}

TEST_CASE("lease: the hole of a file on fs-DAX is held as zeros until somebody writes there") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const raw_device device;
        const file data = temporary_file(backing(filesystem), page);
        REQUIRE(::ftruncate(data.get(), 0) == 0);
        REQUIRE(::ftruncate(data.get(), off_t{4 * page}) == 0);
        const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, leased);
        std::uint64_t word = 1;
        REQUIRE(device.read(handle, page, &word, sizeof(word)) == 0);
        CHECK(word == 0);

        memory.as<std::uint64_t>()[page / 8] = 42;
        CHECK(device.read(handle, page, &word, sizeof(word)) == ESTALE);
        longpin_repin answer{};
        REQUIRE(device.repin(handle, answer) == 0);
        REQUIRE(device.read(handle, page, &word, sizeof(word)) == 0);
        CHECK(word == 42);
    }
}

TEST_CASE("lease: a hole as large as a huge page is held as zeros too") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const raw_device device;
        const file data = temporary_file(backing(filesystem), page);
        REQUIRE(::ftruncate(data.get(), 0) == 0);
        REQUIRE(::ftruncate(data.get(), off_t{8 * MiB}) == 0);
        const mapping room = mapping::anonymous(12 * MiB);
        const std::uintptr_t unaligned = 2 * MiB - 1;
        auto* const aligned = reinterpret_cast<std::byte*>(
            (reinterpret_cast<std::uintptr_t>(room.data()) + unaligned) & ~unaligned);
        REQUIRE(::mmap(aligned, 8 * MiB, PROT_READ, MAP_SHARED | MAP_FIXED, data.get(), 0) ==
                aligned);
        const std::uint32_t handle = device.must_pin(aligned, 8 * MiB, leased);
        CHECK(must_query(device, handle).out_pages == 8 * MiB / page);
        std::uint64_t word = 1;
        REQUIRE(device.read(handle, 5 * MiB, &word, sizeof(word)) == 0);
        CHECK(word == 0);
    }
}

TEST_CASE("lease: a file on fs-DAX that is open for reading only is leased for reading") {
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    const file reader = open_file("/proc/self/fd/" + std::to_string(data.get()), O_RDONLY);
    const mapping memory(4 * page, PROT_READ, MAP_SHARED, reader.get());
    const raw_device device;
    longpin_pin answer{};
    CHECK(device.pin(memory.data(), 4 * page, leased, answer) == 0);
    CHECK(answer.out_kinds == LONGPIN_KIND_FSDAX);
    CHECK(device.pin(memory.data(), 4 * page, leased_write, answer) == EFAULT);
}

TEST_CASE("lease: a grace lets the holder let go before another program's truncate goes on") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const dax_file data("xfs_dax", 16 * page);
    const std::uint32_t handle = must_pin_with_grace(device, data.memory, 60000);

    const auto began = steady_clock::now();
    child truncater([&] { cut(data.descriptor, 8 * page); });
    const auto events = device.events_within(20000);
    REQUIRE(events.size() == 1);
    CHECK(events[0].type == LONGPIN_EVENT_REVOKING);
    CHECK(events[0].handle == handle);
    CHECK(events[0].offset == 0);
    CHECK(events[0].length == 16 * page);
    // The holder may still use the pages, as its device may.
    std::uint64_t word = 0;
    CHECK(device.read(handle, 9 * page, &word, sizeof(word)) == 0);
    SECTION("by LET_GO") {
        REQUIRE(device.let_go(handle, 0, 16 * page) == 0);
        truncater.wait();
        CHECK(must_query(device, handle).out_pages == 0);
        CHECK(device.events().empty());
    }
    SECTION("by UNPIN") {
        REQUIRE(device.unpin(handle) == 0);
        truncater.wait();
    }
    CHECK(steady_clock::now() - began < milliseconds(50000));
}

TEST_CASE("lease: holders that don't answer delay a truncate by the bound, all together") {
    const module_parameter limit("max_grace_ms", "5000");
    const dax_file data("ext4_dax", 16 * page);
    std::vector<raw_device> holders(6);
    for (const raw_device& device : holders) {
        must_pin_with_grace(device, data.memory, 5000);
    }
    const auto began = steady_clock::now();
    child truncater([&] { cut(data.descriptor, 0); });
    truncater.wait();
    const auto took = steady_clock::now() - began;
    CHECK(took >= milliseconds(4500));
    CHECK(took < milliseconds(20000)); // 30 s if each of them were given its own
    for (const raw_device& device : holders) {
        const auto events = device.events();
        REQUIRE_FALSE(events.empty());
        CHECK(events.back().type == LONGPIN_EVENT_REVOKED);
        CHECK(vm_pin() == 0);
    }
}

TEST_CASE("lease: the holder's own truncate and munmap do not wait for its grace") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    dax_file data("xfs_dax", 16 * page);
    must_pin_with_grace(device, data.memory, 60000);
    const auto began = steady_clock::now();
    REQUIRE(::ftruncate(data.descriptor.get(), 8 * page) == 0);
    data.memory.unmap();
    CHECK(steady_clock::now() - began < milliseconds(30000));
    for (const longpin_event& event : device.events()) {
        CHECK(event.type == LONGPIN_EVENT_REVOKED);
    }
}

TEST_CASE("lease: the end of the process that made it does not wait for its grace") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const dax_file data("xfs_dax", 16 * page);
    gate made;
    child pinner([&] {
        must_pin_with_grace(device, data.memory, 60000);
        made.open();
        ::pause();
    });
    made.pass();
    const auto began = steady_clock::now();
    pinner.kill();
    CHECK(steady_clock::now() - began < milliseconds(30000));
    check_revoked(only_event(device), 1, LONGPIN_CAUSE_EXIT, 0, 16);
}

TEST_CASE("lease: a thread of the kernel does not wait for a grace") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const dax_file data("xfs_dax", 16 * page);
    const std::uint32_t handle = must_pin_with_grace(device, data.memory, 60000);

    // A loop device's thread punches a hole into its file where something is discarded.
    const file control = open_file("/dev/loop-control", O_RDWR);
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    REQUIRE(number >= 0);
    const file disk = open_file("/dev/loop" + std::to_string(number), O_RDWR);
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(data.descriptor.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    REQUIRE(::ioctl(disk.get(), LOOP_CONFIGURE, &config) == 0);
    const auto began = steady_clock::now();
    std::uint64_t all[] = {0, 16 * page};
    REQUIRE(::ioctl(disk.get(), BLKDISCARD, all) == 0);
    CHECK(steady_clock::now() - began < milliseconds(30000));
    check_revoked(only_event(device), handle, LONGPIN_CAUSE_INVALIDATE, 0, 16);
}

TEST_CASE("lease: a truncate waits no longer than the grace that was asked for") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const dax_file data("ext4_dax", 16 * page);
    must_pin_with_grace(device, data.memory, 100);
    const auto began = steady_clock::now();
    child truncater([&] { cut(data.descriptor, 0); });
    truncater.wait();
    const auto took = steady_clock::now() - began;
    CHECK(took >= milliseconds(90));
    CHECK(took < milliseconds(30000));
}

TEST_CASE("lease: whoever waits for a holder can be killed") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const dax_file data("ext4_dax", 16 * page);
    const std::uint32_t handle = must_pin_with_grace(device, data.memory, 60000);
    const auto began = steady_clock::now();
    child truncater([&] { cut(data.descriptor, 0); });
    REQUIRE(device.events_within(20000).size() == 1);
    truncater.kill();
    CHECK(steady_clock::now() - began < milliseconds(30000));
    CHECK(must_query(device, handle).out_pages == 0);
}

TEST_CASE("lease: a program that has waited is kept waiting again when that is some time ago") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "200");
    const dax_file data("ext4_dax", 16 * page);
    const std::uint32_t handle = must_pin_with_grace(device, data.memory, 200);
    gate again;
    const auto began = steady_clock::now();
    child truncater([&] {
        cut(data.descriptor, 12 * page);
        again.pass();
        cut(data.descriptor, 8 * page);
    });
    REQUIRE(eventually([&] { return must_query(device, handle).out_pages == 0; }));
    CHECK(device.events().size() == 2);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer, 0, 8 * page) == 0);
    // Longer than it has waited, on a busy machine, too.
    std::this_thread::sleep_for(steady_clock::now() - began + milliseconds(300));
    again.open();
    truncater.wait();
    const auto events = device.events();
    REQUIRE(events.size() == 2);
    CHECK(events[0].type == LONGPIN_EVENT_REVOKING);
    CHECK(events[1].type == LONGPIN_EVENT_REVOKED);
}

TEST_CASE("lease: a grace is for the file that is truncated, and no more has to be let go") {
    const raw_device device;
    const module_parameter limit("max_grace_ms", "60000");
    const dax_file truncated("ext4_dax", 8 * page);
    const dax_file other("xfs_dax", 4 * page);
    const mapping memory = mapping::small(16 * page);
    for (const auto& [part, at] : {std::pair(&truncated, 4UL), std::pair(&other, 12UL)}) {
        REQUIRE(::mmap(memory.at(at * page), part->memory.length(), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED, part->descriptor.get(), 0) != MAP_FAILED);
    }
    const std::uint32_t handle = must_pin_with_grace(device, memory, 60000);

    const auto began = steady_clock::now();
    child truncater([&] { cut(truncated.descriptor, 0); });
    pollfd wanted{device.descriptor(), POLLIN, 0};
    REQUIRE(::poll(&wanted, 1, 20000) == 1);
    REQUIRE(::madvise(memory.at(12 * page), page, MADV_DONTNEED) == 0);
    const auto events = device.events();
    REQUIRE(events.size() == 2); // of one kind each, though they are side by side
    CHECK(events[0].type == LONGPIN_EVENT_REVOKING);
    CHECK(events[0].offset == 4 * page);
    CHECK(events[0].length == 8 * page);
    check_revoked(events[1], handle, LONGPIN_CAUSE_INVALIDATE, 12, 1);

    REQUIRE(device.let_go(handle, 4 * page, 8 * page) == 0);
    truncater.wait();
    CHECK(steady_clock::now() - began < milliseconds(30000));
    CHECK(lost_exactly(device, handle, 4, 13));
    CHECK(device.events().empty());
}

TEST_CASE("lease: two files on fs-DAX change their blocks, and the pin is of what is mapped then") {
    const raw_device device;
    const dax_file data("xfs_dax", 16 * page);
    const dax_file other("xfs_dax", 16 * page);
    other.memory.fill(2);
    const std::uint32_t handle = device.must_pin(data.memory.data(), 16 * page, leased_write);

    const auto name = [](const file& opened) {
        return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(opened.get());
    };
    const run_result swapped =
        shell("xfs_io -c 'swapext " + name(other.descriptor) + "' " + name(data.descriptor));
    INFO(swapped.output);
    REQUIRE(swapped.code == 0);
    REQUIRE(has_pattern(data.memory.data(), 16 * page, 0, 2));

    // XFS stores what was written before it begins.
    check_revoked(only_event(device), handle, LONGPIN_CAUSE_WRITE_PROTECT, 0, 16);
    CHECK(lost_exactly(device, handle, 0, 16));
    std::vector<std::byte> bytes(16 * page, std::byte{0x5a});
    CHECK(device.write(handle, 0, bytes.data(), bytes.size()) == ESTALE);
    CHECK(has_pattern(other.memory.data(), 16 * page)); // has the blocks that the pin had

    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    REQUIRE(device.write(handle, 0, bytes.data(), bytes.size()) == 0);
    CHECK(std::memcmp(data.memory.data(), bytes.data(), bytes.size()) == 0);
    CHECK(has_pattern(other.memory.data(), 16 * page));
}

TEST_CASE("lease: neither sync nor a remount waits for it, or takes back what is only read") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const raw_device device;
        const dax_file data(filesystem, 16 * page);
        const std::uint32_t handle = device.must_pin(data.memory.data(), 16 * page, leased);
        CHECK(shell("sync -f " + backing(filesystem)).code == 0);
        CHECK(shell("mount -o remount,noatime " + backing(filesystem)).code == 0);
        CHECK(shell("mount -o remount,atime " + backing(filesystem)).code == 0);
        CHECK(lost_exactly(device, handle, 0, 0));
        CHECK(device.events().empty());
    }
}

TEST_CASE("lease: a file that is unlinked and unmapped, and its file system unmounted") {
    const raw_device device;
    dax_file data("ext4_dax", 16 * page); // it is unlinked already
    const std::uint32_t handle = device.must_pin(data.memory.data(), 16 * page, leased_write);
    CHECK(must_query(device, handle).out_pages == 16);
    data.memory.unmap();
    CHECK(must_query(device, handle).out_pages == 0);
    data.descriptor.close();
    // Its blocks are free now; nobody holds them.
    const dax_file next("ext4_dax", 16 * page);
    CHECK(has_pattern(next.memory.data(), 16 * page));
}

TEST_CASE("lease: poll() and read() agree while another reader is in the middle of a read") {
    const raw_device device;
    const mapping memory = mapping::small(16 * page);
    device.must_pin(memory.data(), 16 * page, leased);
    for (const std::size_t i : {1UL, 3UL, 5UL}) { // not side by side: three events
        REQUIRE(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0);
    }
    // A buffer in a file whose page fault waits: the reader stops in the middle.
    const dax_file slow("xfs_dax", page);
    REQUIRE(::madvise(slow.memory.data(), page, MADV_DONTNEED) == 0);
    REQUIRE(::fsync(slow.descriptor.get()) == 0);
    frozen filesystem(slow.descriptor);
    child reader([&] { // one event
        if (::read(device.descriptor(), slow.memory.data(), sizeof(longpin_event)) !=
            ssize_t(sizeof(longpin_event))) {
            throw std::runtime_error("read");
        }
    });
    REQUIRE(falls_asleep(reader.pid()));

    REQUIRE(::fcntl(device.descriptor(), F_SETFL, O_NONBLOCK) == 0);
    pollfd wanted{device.descriptor(), POLLIN, 0};
    longpin_event event{};
    CHECK(::poll(&wanted, 1, 0) == 0);
    CHECK(::read(device.descriptor(), &event, sizeof(event)) == -1);
    CHECK(errno == EAGAIN);

    // Who waits for an edge gets one when the other is through.
    const file watching(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event edge{};
    edge.events = EPOLLIN | EPOLLET;
    REQUIRE(::epoll_ctl(watching.get(), EPOLL_CTL_ADD, device.descriptor(), &edge) == 0);
    CHECK(::epoll_wait(watching.get(), &edge, 1, 0) == 0);
    filesystem.thaw();
    CHECK(::epoll_wait(watching.get(), &edge, 1, 20000) == 1);
    CHECK(reader.wait());
    CHECK(device.events().size() == 2);
}
