// SPDX-License-Identifier: MIT
// Leases of files that share blocks (reflink): a page that two files map looks like anonymous
// memory to get_user_pages; and what is written by a lease must not get into the other file.
//
// On 6.1 XFS leaves marks on blocks that were shared while they were mapped, of which a later user
// of the block is warned: see kernel_faults_test.cpp. So these tests have a guest of their own.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace guest;

namespace {

constexpr std::size_t pages = 16;
constexpr std::size_t length = pages * page;

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

/// A file on XFS that can share its blocks, leased for writing.
class leased_file {
public:
    leased_file() : handle_(device_.must_pin(data_.memory.data(), length, leased_write)) {}

    [[nodiscard]] const file& descriptor() const { return data_.descriptor; }
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
    dax_file data_{"xfs_reflink", length};
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

int clone_file(const file& from, const file& to) {
    return ::ioctl(to.get(), FICLONE, from.get()) == 0 ? 0 : errno;
}

/// Has the blocks of two files with the same content become those of the first.
void dedupe(const file& kept, const file& given_up) {
    alignas(file_dedupe_range)
        std::array<std::byte, sizeof(file_dedupe_range) + sizeof(file_dedupe_range_info)>
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

/// What is written through a lease of a file gets to the file, and not into another one that shares
/// its blocks.
void check_kept_apart(const leased_file& data, const file& other) {
    REQUIRE(places_of(data.descriptor()).at(0).fe_physical == places_of(other).at(0).fe_physical);
    (void)data.write_all(std::byte{0xee});
    CHECK(has_the_content(other));

    // What is taken then is the file's own again.
    REQUIRE(data.repin() == 0);
    CHECK(data.write_all(std::byte{0xdd}) == pages);
    CHECK(has_the_content(other));
    CHECK(*data.memory().data() == std::byte{0xdd});
}

} // namespace

TEST_CASE("shared blocks: a lease for reading of a file that shares its blocks holds them",
          "[.alone]") {
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

TEST_CASE("shared blocks: a lease is made while another thread empties the page tables",
          "[.alone]") {
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

TEST_CASE("shared blocks: what is written through a lease never gets into a clone", "[.alone]") {
    for (const bool synced : {false, true}) {
        CAPTURE(synced);
        const leased_file data;
        const file other = temporary_file(backing("xfs_reflink"), page);
        if (synced) {
            REQUIRE(::fsync(data.descriptor().get()) == 0);
            REQUIRE(data.repin() == 0);
        }
        REQUIRE(clone_file(data.descriptor(), other) == 0);
        check_kept_apart(data, other);
    }
}

TEST_CASE("shared blocks: nor into a file that is found to have the same content", "[.alone]") {
    for (const bool leased_is_kept : {false, true}) {
        CAPTURE(leased_is_kept);
        const leased_file data;
        const file other = same_content();
        dedupe(leased_is_kept ? data.descriptor() : other,
               leased_is_kept ? other : data.descriptor());
        check_kept_apart(data, other);
    }
}

TEST_CASE("shared blocks: a clone doesn't change while somebody writes and pins all the time",
          "[.alone]") {
    const leased_file data;
    std::atomic<std::size_t> written = 0;
    std::uint8_t mark = 0;
    const repeated writer([&] { written += data.write_all(std::byte(mark++)); });
    const repeated repinner([&] { (void)data.repin(); });
    const int wanted = rounds(100);
    for (int round = 0; round < wanted; round++) {
        const std::size_t before = written;
        REQUIRE(eventually([&] { return written > before; }));
        const file other = temporary_file(backing("xfs_reflink"), page);
        REQUIRE(clone_file(data.descriptor(), other) == 0);
        const auto first = content(other);
        for (int i = 0; i < 10; i++) {
            ::usleep(100);
            REQUIRE(content(other) == first);
        }
    }
}
