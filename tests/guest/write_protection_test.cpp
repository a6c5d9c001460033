// SPDX-License-Identifier: MIT
// Leases, and everything that makes the kernel write-protect a page. Where it does so to be told of
// the next write, as a file system does that has stored a page, or has given its block to a second
// file, a lease must not write there any more. Where it does so for reasons of its own, the
// page stays what it is, and so does the lease.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

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
    file data = temporary_file(backing(filesystem), length);
    mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    memory.fill();
    return {std::move(memory), std::move(data)};
}

leased_memory on_xfs() { return on_dax("xfs_dax"); }
leased_memory on_ext4() { return on_dax("ext4_dax"); }

leased_memory on_memfd() {
    file data(::memfd_create("leased", MFD_CLOEXEC));
    must(::ftruncate(data.get(), length) == 0, "ftruncate");
    mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    memory.fill();
    return {std::move(memory), std::move(data)};
}

leased_memory private_memory() { return {mapping::small(length), file()}; }

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

void by_sync(const leased_memory&) { ::sync(); }

void by_sync_file_range(const leased_memory& data) {
    must(data.descriptor.get() < 0 || ::sync_file_range(data.descriptor.get(), 0, 0,
                                                        SYNC_FILE_RANGE_WRITE |
                                                            SYNC_FILE_RANGE_WAIT_AFTER) == 0,
         "sync_file_range");
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

void by_fork(const leased_memory&) {
    in_child([] { return 0; });
}

void by_soft_dirty(const leased_memory&) {
    must(write_line("/proc/self/clear_refs", "4") == 0, "clear_refs");
}

constexpr std::array protectors = {
    protector{"fsync", by_fsync, true},
    protector{"msync", by_msync, true},
    protector{"sync", by_sync, true},
    protector{"sync_file_range", by_sync_file_range, true},
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

/// A file on XFS that can share its blocks, leased for writing.
class shared_blocks {
public:
    shared_blocks() : handle_(device_.must_pin(data_.memory.data(), length, leased_write)) {}

    [[nodiscard]] const file& leased_file() const { return data_.descriptor; }
    [[nodiscard]] const mapping& memory() const { return data_.memory; }

    /// Writes through the lease wherever that is possible. Returns how many pages it was.
    [[nodiscard]] std::size_t write_all(std::byte mark) const {
        std::size_t written = 0;
        for (std::size_t at = 0; at < length; at += page) {
            written += device_.write(handle_, at, &mark, 1) == 0 ? 1U : 0U;
        }
        return written;
    }

    [[nodiscard]] int repin() const {
        longpin_repin answer{};
        return device_.repin(handle_, answer);
    }

private:
    raw_device device_;
    leased_memory data_ = on_dax("xfs_reflink");
    std::uint32_t handle_;
};

/// Another file of that file system, with the same content.
file same_content() {
    file other = temporary_file(backing("xfs_reflink"), length);
    const mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, other.get());
    memory.fill();
    must(::fsync(other.get()) == 0, "fsync");
    return other;
}

int clone(const file& from, const file& to) {
    return ::ioctl(to.get(), FICLONE, from.get()) == 0 ? 0 : errno;
}

/// Has the blocks of two files with the same content become those of the first.
void dedupe(const file& kept, const file& given_up) {
    alignas(file_dedupe_range) std::array<
        std::byte, sizeof(file_dedupe_range) + sizeof(file_dedupe_range_info)>
        room{};
    auto* const range = reinterpret_cast<file_dedupe_range*>(room.data());
    range->src_length = length;
    range->dest_count = 1;
    range->info[0].dest_fd = given_up.get();
    must(::ioctl(kept.get(), FIDEDUPERANGE, range) == 0, "FIDEDUPERANGE");
    if (range->info[0].status != FILE_DEDUPE_RANGE_SAME) {
        throw std::runtime_error("FIDEDUPERANGE: " + std::to_string(range->info[0].status));
    }
}

std::vector<std::byte> content(const file& data) {
    std::vector<std::byte> bytes(length);
    must(::pread(data.get(), bytes.data(), length, 0) == static_cast<ssize_t>(length), "pread");
    return bytes;
}

bool has_the_content(const file& data) {
    return has_pattern(content(data).data(), length);
}

bool share_blocks(const file& one, const file& other) {
    return places_of(one).at(0).fe_physical == places_of(other).at(0).fe_physical;
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

TEST_CASE("write protection: what is written through a lease never gets into a clone") {
    for (const bool synced : {false, true}) {
        CAPTURE(synced);
        const shared_blocks data;
        const file other = temporary_file(backing("xfs_reflink"), page);
        if (synced) {
            REQUIRE(::fsync(data.leased_file().get()) == 0);
            REQUIRE(data.repin() == 0);
        }
        REQUIRE(clone(data.leased_file(), other) == 0);
        REQUIRE(share_blocks(data.leased_file(), other));
        (void)data.write_all(std::byte{0xee});
        CHECK(has_the_content(other));

        // What is taken then is the file's own again.
        REQUIRE(data.repin() == 0);
        CHECK(data.write_all(std::byte{0xdd}) == pages);
        CHECK(has_the_content(other));
        CHECK(*data.memory().data() == std::byte{0xdd});
    }
}

TEST_CASE("write protection: nor into a file that is found to have the same content") {
    for (const bool leased_is_kept : {false, true}) {
        CAPTURE(leased_is_kept);
        const shared_blocks data;
        const file other = same_content();
        dedupe(leased_is_kept ? data.leased_file() : other,
               leased_is_kept ? other : data.leased_file());
        REQUIRE(share_blocks(data.leased_file(), other));
        (void)data.write_all(std::byte{0xee});
        CHECK(has_the_content(other));
        REQUIRE(data.repin() == 0);
        CHECK(data.write_all(std::byte{0xdd}) == pages);
        CHECK(has_the_content(other));
    }
}

TEST_CASE("write protection: a clone doesn't change while somebody writes and pins all the time") {
    const shared_blocks data;
    std::atomic<std::size_t> written = 0;
    std::uint8_t mark = 0;
    const repeated writer([&] { written += data.write_all(std::byte(mark++)); });
    const repeated repinner([&] { (void)data.repin(); });
    const int wanted = rounds(100);
    for (int round = 0; round < wanted; round++) {
        const std::size_t before = written;
        REQUIRE(eventually([&] { return written > before; }));
        const file other = temporary_file(backing("xfs_reflink"), page);
        REQUIRE(clone(data.leased_file(), other) == 0);
        const auto first = content(other);
        for (int i = 0; i < 10; i++) {
            ::usleep(100);
            REQUIRE(content(other) == first);
        }
    }
}
