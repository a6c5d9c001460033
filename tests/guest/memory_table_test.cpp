// SPDX-License-Identifier: MIT
// The contract's memory table, a test case a row: what may be pinned, what may not, and why.
// What is expected of a row follows from one function, expected().
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <libdrm/drm.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace guest;

namespace {

/// What a row is about.
enum class backing_kind {
    anonymous,
    shmem,
    hugetlb,
    private_file,
    shared_file,
    device_dax,
    fs_dax,
    secret,
    io,
    pfnmap,
};

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

/// Two stretches of a mapping that are looked at: its first and its last pages.
constexpr std::size_t looked_at = 4 * page;

void fill_ends(const mapping& memory) {
    for (const std::size_t start : {std::size_t{0}, memory.length() - looked_at}) {
        for (std::size_t i = 0; i < looked_at; i += 8) {
            const std::uint64_t word = pattern(1, start + i);
            std::memcpy(memory.at(start + i), &word, 8);
        }
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

void check_allowed(const raw_device& device, mapping memory, bool write, int protection,
                   std::uint32_t kind) {
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
    CHECK(pinned_pages() - held_before == (kind == LONGPIN_KIND_DEVDAX ? 0 : long(pages)));

    check_coherent(device, answer.out_handle, memory, skipped, write, protection);

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

void check_row(backing_kind kind, const std::function<mapping()>& map,
               int protection = PROT_READ | PROT_WRITE) {
    for (const bool write : {false, true}) {
        INFO((write ? "pin for writing" : "pin for reading"));
        const raw_device device;
        mapping memory = map();
        const outcome wanted = expected(kind, write, protection);
        if (wanted.err) {
            check_refused(device, memory, write, wanted);
        } else {
            check_allowed(device, std::move(memory), write, protection, wanted.kind);
        }
    }
}

/// As given, with the pattern at both ends.
mapping filled(mapping memory) {
    fill_ends(memory);
    return memory;
}

mapping map_file(const std::string& directory, int flags, int protection = PROT_READ | PROT_WRITE,
                 std::size_t length = 2 * MiB) {
    const file data = temporary_file(directory, length);
    {
        const mapping writable(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        fill_ends(writable);
    }
    return {length, protection, flags, data.get()};
}

mapping map_hugetlb(std::size_t length, int size_flag, int sharing) {
    return filled(
        {length, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_HUGETLB | size_flag});
}

constexpr int huge_2m = 21 << MAP_HUGE_SHIFT;
constexpr int huge_1g = 30 << MAP_HUGE_SHIFT;

} // namespace

TEST_CASE("memory table: anonymous 4 KiB pages are pinned") {
    check_row(backing_kind::anonymous, [] {
        mapping memory = mapping::anonymous(64 * page);
        REQUIRE(::madvise(memory.data(), memory.length(), MADV_NOHUGEPAGE) == 0);
        return filled(std::move(memory));
    });
}

TEST_CASE("memory table: anonymous memory that was never touched is pinned") {
    check_row(backing_kind::anonymous, [] { return mapping::anonymous(64 * page); });
}

TEST_CASE("memory table: transparent huge pages are pinned") {
    check_row(backing_kind::anonymous, [] {
        mapping memory = mapping::anonymous(8 * MiB);
        REQUIRE(::madvise(memory.data(), memory.length(), MADV_HUGEPAGE) == 0);
        memory.fill();
        return memory;
    });
}

TEST_CASE("memory table: read-only anonymous memory is pinned for reading only") {
    check_row(
        backing_kind::anonymous,
        [] {
            mapping memory = filled(mapping::anonymous(16 * page));
            memory.protect(PROT_READ);
            return memory;
        },
        PROT_READ);
}

TEST_CASE("memory table: shared anonymous memory is pinned") {
    check_row(backing_kind::shmem, [] { return filled(mapping::shared_anonymous(64 * page)); });
}

TEST_CASE("memory table: memfd memory is pinned") {
    check_row(backing_kind::shmem, [] {
        const file data(::memfd_create("test", MFD_CLOEXEC));
        REQUIRE(::ftruncate(data.get(), 64 * page) == 0);
        return filled({64 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get()});
    });
}

TEST_CASE("memory table: a shared tmpfs file is pinned") {
    check_row(backing_kind::shmem, [] { return map_file("/dev/shm", MAP_SHARED); });
}

TEST_CASE("memory table: private 2 MiB hugetlb pages are pinned") {
    check_row(backing_kind::hugetlb, [] { return map_hugetlb(4 * MiB, huge_2m, MAP_PRIVATE); });
}

TEST_CASE("memory table: shared 2 MiB hugetlb pages are pinned") {
    check_row(backing_kind::hugetlb, [] { return map_hugetlb(4 * MiB, huge_2m, MAP_SHARED); });
}

TEST_CASE("memory table: a 1 GiB hugetlb page is pinned") {
    check_row(backing_kind::hugetlb, [] { return map_hugetlb(GiB, huge_1g, MAP_PRIVATE); });
}

TEST_CASE("memory table: of a private ext4 mapping the process's own copy is pinned") {
    check_row(backing_kind::private_file, [] { return map_file(backing("ext4"), MAP_PRIVATE); });
}

TEST_CASE("memory table: of a private XFS mapping the process's own copy is pinned") {
    check_row(backing_kind::private_file, [] { return map_file(backing("xfs"), MAP_PRIVATE); });
}

TEST_CASE("memory table: of a private tmpfs mapping the process's own copy is pinned") {
    check_row(backing_kind::private_file, [] { return map_file("/dev/shm", MAP_PRIVATE); });
}

TEST_CASE("memory table: a private read-only mapping of a file is pinned for reading only") {
    check_row(
        backing_kind::private_file, [] { return map_file(backing("xfs"), MAP_PRIVATE, PROT_READ); },
        PROT_READ);
}

TEST_CASE("memory table: a shared ext4 mapping without DAX is pinned for reading only") {
    check_row(backing_kind::shared_file, [] { return map_file(backing("ext4"), MAP_SHARED); });
}

TEST_CASE("memory table: a shared XFS mapping without DAX is pinned for reading only") {
    check_row(backing_kind::shared_file, [] { return map_file(backing("xfs"), MAP_SHARED); });
}

TEST_CASE("memory table: a shared read-only mapping of a file is pinned for reading only") {
    check_row(
        backing_kind::shared_file, [] { return map_file(backing("ext4"), MAP_SHARED, PROT_READ); },
        PROT_READ);
}

TEST_CASE("memory table: device-DAX with 2 MiB alignment is pinned") {
    check_row(backing_kind::device_dax, [] { return filled(map_devdax("devdax_2m", 64 * MiB)); });
}

TEST_CASE("memory table: device-DAX with 4 KiB alignment is pinned") {
    check_row(backing_kind::device_dax, [] { return filled(map_devdax("devdax_4k", 8 * MiB)); });
}

TEST_CASE("memory table: device-DAX with 1 GiB alignment is pinned") {
    check_row(backing_kind::device_dax, [] { return filled(map_devdax("devdax_1g", GiB)); });
}

TEST_CASE("memory table: fs-DAX on XFS is refused") {
    check_row(backing_kind::fs_dax, [] { return map_file(backing("xfs_dax"), MAP_SHARED); });
}

TEST_CASE("memory table: fs-DAX on ext4 is refused") {
    check_row(backing_kind::fs_dax, [] { return map_file(backing("ext4_dax"), MAP_SHARED); });
}

TEST_CASE("memory table: a private fs-DAX mapping is refused, as by the kernel's own pinners") {
    check_row(backing_kind::fs_dax, [] { return map_file(backing("xfs_dax"), MAP_PRIVATE); });
}

TEST_CASE("memory table: secret memory is refused") {
    check_row(backing_kind::secret, [] {
        const file data(static_cast<int>(::syscall(SYS_memfd_secret, 0)));
        REQUIRE(data.get() >= 0); // the guest boots with secretmem.enable=1
        REQUIRE(::ftruncate(data.get(), 4 * page) == 0);
        return mapping(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    });
}

TEST_CASE("memory table: device registers are refused") {
    check_row(backing_kind::io, [] {
        // The BIOS area below 1 MiB is the part of /dev/mem that anyone with a PC may map.
        const file memory = open_file("/dev/mem", O_RDWR);
        return mapping(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0xf0000);
    });
}

TEST_CASE("memory table: a mapping of bare page frames is refused") {
    check_row(backing_kind::pfnmap, [] {
        // A buffer of the vgem driver: VM_PFNMAP, and not VM_IO.
        const file card = open_file("/dev/dri/card0", O_RDWR);
        drm_mode_create_dumb buffer{};
        buffer.width = 64;
        buffer.height = 64;
        buffer.bpp = 32;
        REQUIRE(::ioctl(card.get(), DRM_IOCTL_MODE_CREATE_DUMB, &buffer) == 0);
        drm_mode_map_dumb place{};
        place.handle = buffer.handle;
        REQUIRE(::ioctl(card.get(), DRM_IOCTL_MODE_MAP_DUMB, &place) == 0);
        return mapping(buffer.size, PROT_READ | PROT_WRITE, MAP_SHARED, card.get(),
                       static_cast<off_t>(place.offset));
    });
}

TEST_CASE("memory table: a range with a hole is refused at the hole") {
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    memory.unmap_part(3 * page, 2 * page);
    longpin_pin answer{};
    CHECK(device.pin(memory.at(10), 8 * page - 10, 0, answer) == EFAULT);
    CHECK(answer.out_reason == LONGPIN_REASON_HOLE);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(3 * page)));
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
