// SPDX-License-Identifier: MIT
// The contract's memory table, a test case a row: what may be pinned, what may not, and why.
// What is expected of a row follows from one function, expected().
#include "support/backings.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <string_view>

using namespace guest;

namespace {

struct outcome {
    int err;
    std::uint32_t reason;
    std::uint32_t kind;
};

outcome expected(backing_kind kind, bool write, int protection) {
    switch (kind) {
    case backing_kind::secret: return {EFAULT, LONGPIN_REASON_SECRETMEM, 0};
    case backing_kind::io: return {EFAULT, LONGPIN_REASON_IO, 0};
    case backing_kind::pfnmap: return {EFAULT, LONGPIN_REASON_PFNMAP, 0};
    case backing_kind::fs_dax: return {EOPNOTSUPP, LONGPIN_REASON_FSDAX, 0};
    default: break;
    }
    if (write && !(protection & PROT_WRITE)) {
        return {EFAULT, LONGPIN_REASON_NOT_WRITABLE, 0};
    }
    switch (kind) {
    case backing_kind::anonymous: return {0, 0, LONGPIN_KIND_ANON};
    case backing_kind::shmem: return {0, 0, LONGPIN_KIND_SHMEM};
    case backing_kind::hugetlb: return {0, 0, LONGPIN_KIND_HUGETLB};
    case backing_kind::private_file: return {0, 0, LONGPIN_KIND_PRIVATE};
    case backing_kind::device_dax: return {0, 0, LONGPIN_KIND_DEVDAX};
    default:
        if (write) {
            return {EOPNOTSUPP, LONGPIN_REASON_DIRTY_TRACKING, 0};
        }
        return {0, 0, LONGPIN_KIND_FILE};
    }
}

/// The pin holds what the process sees, both ways.
void check_coherent(const raw_device& device, std::uint32_t handle, const mapping& memory,
                    std::size_t skipped, bool write, int protection) {
    std::byte buffer[page];
    const std::size_t last = memory.length() - 2 * page; // lies within the pin whole
    for (const std::size_t offset : {page, last}) {
        REQUIRE(device.read(handle, offset - skipped, buffer, page) == 0);
        REQUIRE(std::memcmp(buffer, memory.at(offset), page) == 0);
    }
    if (protection & PROT_WRITE) {
        std::memset(memory.at(last), 0x17, page);
        REQUIRE(device.read(handle, last - skipped, buffer, page) == 0);
        REQUIRE(std::memcmp(buffer, memory.at(last), page) == 0);
    }
    std::memset(buffer, 0x42, page);
    if (write) {
        REQUIRE(device.write(handle, page - skipped, buffer, page) == 0);
        REQUIRE(std::memcmp(buffer, memory.at(page), page) == 0);
    } else {
        REQUIRE(device.write(handle, page - skipped, buffer, page) == EPERM);
    }
}

void check_allowed(const raw_device& device, const memory_backing& row, bool write,
                   std::uint32_t kind) {
    mapping memory = row.map();
    constexpr std::size_t skipped = 100; // neither end is aligned
    const std::size_t length = memory.length() - 2 * skipped;
    const std::uint32_t flags = write ? LONGPIN_PIN_WRITE : 0;
    const std::size_t pages = memory.length() / page;

    longpin_pin answer{};
    REQUIRE(device.pin(memory.at(skipped), length, flags | LONGPIN_PIN_DRY_RUN, answer) == 0);
    CHECK(answer.out_handle == 0);
    CHECK(answer.out_pages == pages);
    CHECK(vm_pin() == 0);
    CHECK(device.info().out_max_pins_used == 0);

    const long held_before = pinned_pages();
    REQUIRE(device.pin(memory.at(skipped), length, flags, answer) == 0);
    CHECK(answer.out_handle != 0);
    CHECK(answer.out_kinds == kind);
    CHECK(answer.out_pages == pages);
    CHECK(vm_pin() == memory.length());
    // References to device-DAX pages are not FOLL_PINs; that device is kept by its pagemap.
    if (kind == LONGPIN_KIND_DEVDAX) {
        CHECK(pinned_pages() == held_before);
    } else {
        CHECK(pinned_pages() - held_before == long(memory.length() / row.unit));
    }

    check_coherent(device, answer.out_handle, memory, skipped, write, row.protection);

    // The pages stay when the mapping goes.
    std::byte before[page];
    std::byte after[page];
    REQUIRE(device.read(answer.out_handle, page, before, page) == 0);
    memory.unmap();
    REQUIRE(device.read(answer.out_handle, page, after, page) == 0);
    CHECK(std::memcmp(before, after, page) == 0);

    REQUIRE(device.unpin(answer.out_handle) == 0);
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
}

void check_refused(const raw_device& device, const mapping& memory, bool write,
                   const outcome& wanted) {
    const std::uint32_t flags = write ? LONGPIN_PIN_WRITE : 0;
    const long held_before = pinned_pages();
    for (const std::uint32_t dry_run : {0U, LONGPIN_PIN_DRY_RUN}) {
        longpin_pin answer{};
        CHECK(device.pin(memory.at(100), memory.length() - 100, flags | dry_run, answer) ==
              wanted.err);
        CHECK(answer.out_reason == wanted.reason);
        CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(100)));
        CHECK(answer.out_handle == 0);
        CHECK(answer.out_pages == 0);
    }
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
    CHECK(device.info().out_max_pins_used == 0);
}

void check_row(std::string_view name) {
    const memory_backing& row = memory_backing_named(name);
    for (const bool write : {false, true}) {
        INFO((write ? "pin for writing" : "pin for reading"));
        const raw_device device;
        const outcome wanted = expected(row.kind, write, row.protection);
        if (wanted.err) {
            check_refused(device, row.map(), write, wanted);
        } else {
            check_allowed(device, row, write, wanted.kind);
        }
    }
}

} // namespace

TEST_CASE("memory table: anonymous 4 KiB pages are pinned") {
    check_row("anonymous, 4 KiB pages");
}

TEST_CASE("memory table: anonymous memory that was never touched is pinned") {
    check_row("anonymous, never touched");
}

TEST_CASE("memory table: transparent huge pages are pinned", "[thp]") {
    check_row("anonymous, huge pages");
}

TEST_CASE("memory table: read-only anonymous memory is pinned for reading only") {
    check_row("anonymous, read-only");
}

TEST_CASE("memory table: shared anonymous memory is pinned") {
    check_row("shared anonymous");
}

TEST_CASE("memory table: memfd memory is pinned") {
    check_row("memfd");
}

TEST_CASE("memory table: a shared tmpfs file is pinned") {
    check_row("tmpfs file, shared");
}

TEST_CASE("memory table: private 2 MiB hugetlb pages are pinned") {
    check_row("hugetlb 2 MiB, private");
}

TEST_CASE("memory table: shared 2 MiB hugetlb pages are pinned") {
    check_row("hugetlb 2 MiB, shared");
}

TEST_CASE("memory table: a 1 GiB hugetlb page is pinned") {
    check_row("hugetlb 1 GiB");
}

TEST_CASE("memory table: of a private ext4 mapping the process's own copy is pinned") {
    check_row("ext4 file, private");
}

TEST_CASE("memory table: of a private XFS mapping the process's own copy is pinned") {
    check_row("XFS file, private");
}

TEST_CASE("memory table: of a private tmpfs mapping the process's own copy is pinned") {
    check_row("tmpfs file, private");
}

TEST_CASE("memory table: a private read-only mapping of a file is pinned for reading only") {
    check_row("XFS file, private, read-only");
}

TEST_CASE("memory table: a shared ext4 mapping without DAX is pinned for reading only") {
    check_row("ext4 file, shared");
}

TEST_CASE("memory table: a shared XFS mapping without DAX is pinned for reading only") {
    check_row("XFS file, shared");
}

TEST_CASE("memory table: a shared read-only mapping of a file is pinned for reading only") {
    check_row("ext4 file, shared, read-only");
}

TEST_CASE("memory table: device-DAX with 2 MiB alignment is pinned", "[devdax]") {
    check_row("device-DAX 2 MiB");
}

TEST_CASE("memory table: device-DAX with 4 KiB alignment is pinned", "[devdax]") {
    check_row("device-DAX 4 KiB");
}

TEST_CASE("memory table: device-DAX with 1 GiB alignment is pinned", "[devdax]") {
    check_row("device-DAX 1 GiB");
}

TEST_CASE("memory table: fs-DAX on XFS is refused") {
    check_row("fs-DAX on XFS");
}

TEST_CASE("memory table: fs-DAX on ext4 is refused") {
    check_row("fs-DAX on ext4");
}

TEST_CASE("memory table: a private fs-DAX mapping is refused, as by the kernel's own pinners") {
    check_row("fs-DAX on XFS, private");
}

TEST_CASE("memory table: secret memory is refused") {
    check_row("secret memory");
}

TEST_CASE("memory table: device registers are refused") {
    check_row("device registers (/dev/mem)");
}

TEST_CASE("memory table: a mapping of bare page frames is refused") {
    check_row("bare page frames (vgem)");
}

TEST_CASE("memory table: a range with a hole is refused at the hole") {
    const raw_device device;
    const mapping memory = memory_backing_named("a range with a hole").map();
    longpin_pin answer{};
    CHECK(device.pin(memory.at(10), 8 * page - 10, 0, answer) == EFAULT);
    CHECK(answer.out_reason == LONGPIN_REASON_HOLE);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(hole_offset)));
    CHECK(vm_pin() == 0);
}

TEST_CASE("memory table: a range of several kinds is pinned if every part may be") {
    const raw_device device;
    mapping memory = mapping::anonymous(12 * page);
    const file data = temporary_file(backing("ext4"), 4 * page);
    REQUIRE(::mmap(memory.at(4 * page), 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   data.get(), 0) != MAP_FAILED);
    REQUIRE(::mmap(memory.at(8 * page), 4 * page, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    memory.fill();

    longpin_pin answer{};
    REQUIRE(device.pin(memory.data(), memory.length(), 0, answer) == 0);
    CHECK(answer.out_kinds == (LONGPIN_KIND_ANON | LONGPIN_KIND_FILE | LONGPIN_KIND_SHMEM));
    std::byte copy[12 * page];
    REQUIRE(device.read(answer.out_handle, 0, copy, sizeof(copy)) == 0);
    CHECK(has_pattern(copy, sizeof(copy)));

    // For writing the first part that may not be decides.
    CHECK(device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE, answer) == EOPNOTSUPP);
    CHECK(answer.out_reason == LONGPIN_REASON_DIRTY_TRACKING);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(4 * page)));
}

TEST_CASE("memory table: in a range of several kinds the first that may not be pinned decides") {
    const raw_device device;
    const mapping memory = mapping::anonymous(16 * page);
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    REQUIRE(::mmap(memory.at(4 * page), 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   data.get(), 0) != MAP_FAILED);
    memory.unmap_part(12 * page, page);
    longpin_pin answer{};
    CHECK(device.pin(memory.data(), memory.length(), 0, answer) == EOPNOTSUPP);
    CHECK(answer.out_reason == LONGPIN_REASON_FSDAX);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(4 * page)));
    CHECK(vm_pin() == 0);
}
