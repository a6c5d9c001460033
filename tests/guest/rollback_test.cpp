// SPDX-License-Identifier: MIT
// A pin that fails half-way gives back what it took.
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

using namespace guest;

namespace {

/// Fails at the given page of memory, and nothing of the pages before it is left.
void check_rolled_back(const mapping& memory, std::size_t bad_page, int err, std::uint32_t reason) {
    const raw_device device;
    const long held_before = pinned_pages();
    const auto used_before = device.info().out_memlock_used;
    longpin_pin answer{};
    CHECK(device.pin(memory.data(), memory.length(), 0, answer) == err);
    CHECK(answer.out_reason == reason);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(bad_page * page)));
    CHECK(pinned_pages() == held_before);
    CHECK(vm_pin() == 0);
    CHECK(device.info().out_memlock_used == used_before);
    CHECK(device.info().out_max_pages_used == 0);
    CHECK(device.info().out_max_pins_used == 0);
}

/// Anonymous memory whose pages from one on are those behind the end of a file: the mappings
/// are fine, and get_user_pages fails when it comes there.
mapping with_missing_pages(std::size_t pages, std::size_t first_missing) {
    mapping memory = mapping::anonymous(pages * page);
    const file empty = temporary_file("/dev/shm", page);
    // The file's only page is the last good one.
    if (::mmap(memory.at((first_missing - 1) * page), (pages - first_missing + 1) * page,
               PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, empty.get(), 0) == MAP_FAILED) {
        throw std::runtime_error("mmap");
    }
    return memory;
}

} // namespace

TEST_CASE("rollback: a failure at the second page gives back the first") {
    check_rolled_back(with_missing_pages(8, 1), 1, EFAULT, LONGPIN_REASON_FAULT);
}

TEST_CASE("rollback: a failure in the middle of a later chunk gives back all before") {
    check_rolled_back(with_missing_pages(2000, 1700), 1700, EFAULT, LONGPIN_REASON_FAULT);
}

TEST_CASE("rollback: a failure at the last page gives back all before") {
    check_rolled_back(with_missing_pages(600, 599), 599, EFAULT, LONGPIN_REASON_FAULT);
}

TEST_CASE("rollback: a failure behind device-DAX lets the device go again", "[devdax]") {
    const mapping dax = map_devdax("devdax_2m", 4 * MiB);
    const file data = temporary_file("/dev/shm", page);
    mapping memory = mapping::anonymous(8 * MiB);
    // dax pages first, then one good page and one behind the end of its file.
    auto* const aligned = reinterpret_cast<std::byte*>(
        (reinterpret_cast<std::uintptr_t>(memory.data()) + 2 * MiB - 1) & ~(2 * MiB - 1));
    REQUIRE(::mremap(dax.data(), 4 * MiB, 4 * MiB, MREMAP_MAYMOVE | MREMAP_FIXED, aligned) !=
            MAP_FAILED);
    REQUIRE(::mmap(aligned + 4 * MiB, 2 * page, PROT_READ, MAP_SHARED | MAP_FIXED, data.get(), 0) !=
            MAP_FAILED);
    const raw_device device;
    const long held_before = pinned_pages();
    longpin_pin answer{};
    CHECK(device.pin(aligned, 4 * MiB + 2 * page, 0, answer) == EFAULT);
    CHECK(answer.out_reason == LONGPIN_REASON_FAULT);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(aligned + 4 * MiB + page));
    CHECK(pinned_pages() == held_before);
    CHECK(vm_pin() == 0);
    // That nothing holds the device is shown when it is unbound, at the end of the guest's run.
}

TEST_CASE("rollback: a write pin of a file that is refused allocates no block of it") {
    const file data = temporary_file(backing("ext4"), page);
    REQUIRE(::ftruncate(data.get(), 64 * page) == 0); // a hole behind the first page
    const mapping memory(64 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    struct stat before {};
    struct stat after {};
    REQUIRE(::fstat(data.get(), &before) == 0);
    const raw_device device;
    CHECK(device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE) == EOPNOTSUPP);
    REQUIRE(::fstat(data.get(), &after) == 0);
    CHECK(after.st_blocks == before.st_blocks);
}

TEST_CASE("rollback: a handle that was reserved for a failed pin is not in use") {
    const raw_device device;
    const mapping memory = with_missing_pages(4, 2);
    for (int i = 0; i < 10; i++) {
        REQUIRE(device.pin(memory.data(), memory.length()) == EFAULT);
    }
    CHECK(device.info().out_max_pins_used == 0);
    longpin_query query{};
    for (std::uint32_t handle = 1; handle < 20; handle++) {
        CHECK(device.query(handle, query) == ENOENT);
    }
}
