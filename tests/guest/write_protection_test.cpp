// SPDX-License-Identifier: MIT
// Leases, and everything that makes the kernel write-protect a page. Where it does so to be told of
// the next write, as a file system does that has stored a page, or has given its block to a second
// file, a lease must not write there any more. Where it does so for reasons of its own, the
// page stays what it is, and so does the lease.
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <fcntl.h>
#include <linux/fs.h>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t pages = 16;
constexpr std::size_t length = pages * page;

/// Memory that is leased, and what of it the kernel may write-protect.
struct leased_memory {
    mapping memory;
    file descriptor; ///< none for private memory
};

struct subject {
    std::string_view name;
    std::uint32_t flags;
    leased_memory (*make)();
    bool is_fs_dax;
};

leased_memory on_dax(const char* filesystem) {
    dax_file data(filesystem, length);
    return {std::move(data.memory), std::move(data.descriptor)};
}

leased_memory on_xfs() {
    return on_dax("xfs_dax");
}
leased_memory on_ext4() {
    return on_dax("ext4_dax");
}

leased_memory on_memfd() {
    file data(::memfd_create("leased", MFD_CLOEXEC));
    must(::ftruncate(data.get(), length) == 0, "ftruncate");
    mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    memory.fill();
    return {std::move(memory), std::move(data)};
}

leased_memory private_memory() {
    return {mapping::small(length), file()};
}

constexpr std::array subjects = {
    subject{"XFS, for writing", leased_write, on_xfs, true},
    subject{"XFS, for reading", leased, on_xfs, true},
    subject{"ext4, for writing", leased_write, on_ext4, true},
    subject{"ext4, for reading", leased, on_ext4, true},
    subject{"memfd, for writing", leased_write, on_memfd, false},
    subject{"private memory, for writing", leased_write, private_memory, false},
    subject{"private memory, for reading", leased, private_memory, false},
};

struct protector {
    std::string_view name;
    void (*protect)(const leased_memory&);
    /// The file system wants to be told of the next write.
    bool for_the_file_system;
};

void by_fsync(const leased_memory& data) {
    must(data.descriptor.get() < 0 || ::fsync(data.descriptor.get()) == 0, "fsync");
}

void by_msync(const leased_memory& data) {
    must(::msync(data.memory.data(), length, MS_SYNC) == 0, "msync");
}

void by_sync(const leased_memory& /*data*/) {
    ::sync();
}

void write_back(const leased_memory& data, unsigned int flags) {
    must(data.descriptor.get() < 0 || ::sync_file_range(data.descriptor.get(), 0, 0, flags) == 0,
         "sync_file_range");
}

void by_sync_file_range(const leased_memory& data) {
    write_back(data, SYNC_FILE_RANGE_WRITE_AND_WAIT);
}

/// As the kernel begins it from time to time: of DAX it stores nothing then.
void by_background_writeback(const leased_memory& data) {
    write_back(data, SYNC_FILE_RANGE_WRITE);
}

void by_freezing(const leased_memory& data) {
    if (data.descriptor.get() >= 0 && ::ioctl(data.descriptor.get(), FIFREEZE, 0) == 0) {
        must(::ioctl(data.descriptor.get(), FITHAW, 0) == 0, "FITHAW");
    }
}

void by_mprotect(const leased_memory& data) {
    data.memory.protect(PROT_READ);
    data.memory.protect(PROT_READ | PROT_WRITE);
}

void by_fork(const leased_memory& /*data*/) {
    in_child([] { return 0; });
}

void by_soft_dirty(const leased_memory& /*data*/) {
    must(write_line("/proc/self/clear_refs", "4") == 0, "clear_refs");
}

constexpr std::array protectors = {
    protector{"fsync", by_fsync, true},
    protector{"msync", by_msync, true},
    protector{"sync", by_sync, true},
    protector{"sync_file_range", by_sync_file_range, true},
    protector{"background writeback", by_background_writeback, false},
    protector{"freeze and thaw", by_freezing, true},
    protector{"mprotect", by_mprotect, false},
    protector{"fork", by_fork, false},
    protector{"soft-dirty", by_soft_dirty, false},
};

/// What a lease gives is what the mapping shows, in both directions.
void check_same(const raw_device& device, std::uint32_t handle, const mapping& memory, bool write,
                std::byte mark) {
    for (std::size_t at = 0; at < length; at += page) {
        std::byte seen{};
        if (write) {
            REQUIRE(device.write(handle, at, &mark, 1) == 0);
            CHECK(*memory.at(at) == mark);
        }
        *memory.at(at) = std::byte(std::to_integer<int>(mark) + 1);
        REQUIRE(device.read(handle, at, &seen, 1) == 0);
        CHECK(seen == std::byte(std::to_integer<int>(mark) + 1));
    }
}

} // namespace

TEST_CASE("write protection: a lease for writing goes where a file system wants to know of writes, "
          "and nowhere else") {
    for (const subject& of : subjects) {
        for (const protector& by : protectors) {
            CAPTURE(of.name, by.name);
            const raw_device device;
            const leased_memory data = of.make();
            const std::uint32_t handle = device.must_pin(data.memory.data(), length, of.flags);
            const bool write = (of.flags & LONGPIN_PIN_WRITE) != 0;
            check_same(device, handle, data.memory, write, std::byte{1});
            by.protect(data);

            const bool goes = of.is_fs_dax && write && by.for_the_file_system;
            CHECK(must_query(device, handle).out_pages == (goes ? 0 : pages));
            std::uint64_t told = 0;
            for (const longpin_event& event : device.events()) {
                CHECK(event.cause == LONGPIN_CAUSE_WRITE_PROTECT);
                told += event.length;
            }
            CHECK(told == (goes ? length : 0));
            longpin_repin answer{};
            CHECK(device.repin(handle, answer) == 0);
            CHECK(answer.out_repinned == (goes ? pages : 0));
            check_same(device, handle, data.memory, write, std::byte{3});
        }
    }
}

TEST_CASE("write protection: of a pin that has some of fs-DAX, the rest stays") {
    const raw_device device;
    const leased_memory data = on_xfs();
    const mapping memory = mapping::small(3 * length);
    REQUIRE(::mmap(memory.at(length), length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   data.descriptor.get(), 0) != MAP_FAILED);
    const std::uint32_t handle = device.must_pin(memory.data(), 3 * length, leased_write);
    by_fsync(data);
    CHECK(lost_exactly(device, handle, pages, 2 * pages));
    const auto events = device.events();
    REQUIRE(!events.empty());
    CHECK(events.front().offset == length);
    CHECK(events.back().offset + events.back().length == 2 * length);
}

TEST_CASE("write protection: a process writes by its lease to what it has protected by itself") {
    for (const subject& of : subjects) {
        if ((of.flags & LONGPIN_PIN_WRITE) == 0) {
            continue;
        }
        CAPTURE(of.name);
        const raw_device device;
        const leased_memory data = of.make();
        const std::uint32_t handle = device.must_pin(data.memory.data(), length, of.flags);
        data.memory.protect(PROT_READ);
        const std::byte mark{0x77};
        CHECK(device.write(handle, page, &mark, 1) == 0);
        CHECK(*data.memory.at(page) == mark);
        CHECK(device.events().empty());
    }
}
