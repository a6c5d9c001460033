// SPDX-License-Identifier: MIT
#include "backings.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <libdrm/drm.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace guest {

namespace {

constexpr int read_write = PROT_READ | PROT_WRITE;
constexpr int huge_2m = 21 << MAP_HUGE_SHIFT;
constexpr int huge_1g = 30 << MAP_HUGE_SHIFT;

/// As given, with the pattern at both ends. A whole GiB would take too long.
mapping filled(mapping memory) {
    constexpr std::size_t end = 4 * page;
    for (const std::size_t start : {std::size_t{0}, memory.length() - end}) {
        for (std::size_t i = 0; i < end; i += 8) {
            const std::uint64_t word = pattern(1, start + i);
            std::memcpy(memory.at(start + i), &word, 8);
        }
    }
    return memory;
}

mapping map_small_pages() {
    return mapping::small(64 * page);
}

mapping map_read_only() {
    mapping memory = filled(mapping::anonymous(16 * page));
    memory.protect(PROT_READ);
    return memory;
}

mapping map_memfd() {
    const file data(::memfd_create("test", MFD_CLOEXEC));
    must(::ftruncate(data.get(), 64 * page) == 0, "memfd");
    return filled({64 * page, read_write, MAP_SHARED, data.get()});
}

mapping map_hugetlb(std::size_t length, int flags) {
    return filled({length, read_write, flags | MAP_ANONYMOUS | MAP_HUGETLB});
}

mapping map_file(const std::string& directory, int flags, int protection = read_write) {
    const file data = temporary_file(directory, 2 * MiB);
    filled({2 * MiB, read_write, MAP_SHARED, data.get()});
    return {2 * MiB, protection, flags, data.get()};
}

mapping map_secret() {
    // The guest boots with secretmem.enable=1.
    const file data(static_cast<int>(::syscall(SYS_memfd_secret, 0)));
    must(::ftruncate(data.get(), 4 * page) == 0, "memfd_secret");
    return {4 * page, read_write, MAP_SHARED, data.get()};
}

mapping map_io() {
    // The BIOS area below 1 MiB is the part of /dev/mem that anyone with a PC may map.
    const file memory = open_file("/dev/mem", O_RDWR);
    return {4 * page, read_write, MAP_SHARED, memory.get(), 0xf0000};
}

mapping map_page_frames() {
    // A buffer of the vgem driver: VM_PFNMAP, and not VM_IO.
    const file card = open_file("/dev/dri/card0", O_RDWR);
    drm_mode_create_dumb buffer{};
    buffer.width = 64;
    buffer.height = 64;
    buffer.bpp = 32;
    must(::ioctl(card.get(), DRM_IOCTL_MODE_CREATE_DUMB, &buffer) == 0,
         "DRM_IOCTL_MODE_CREATE_DUMB");
    drm_mode_map_dumb place{};
    place.handle = buffer.handle;
    must(::ioctl(card.get(), DRM_IOCTL_MODE_MAP_DUMB, &place) == 0, "DRM_IOCTL_MODE_MAP_DUMB");
    return {buffer.size, read_write, MAP_SHARED, card.get(), static_cast<off_t>(place.offset)};
}

mapping map_with_hole() {
    mapping memory = mapping::anonymous(8 * page);
    memory.unmap_part(hole_offset, 2 * page);
    return memory;
}

using enum backing_kind;

// clang-format off: a table
constexpr memory_backing all[] = {
    {"anonymous, 4 KiB pages", anonymous, read_write, map_small_pages},
    {"anonymous, never touched", anonymous, read_write,
     [] { return mapping::anonymous(64 * page); }},
    {"anonymous, huge pages", anonymous, read_write, [] { return mapping::huge(8 * MiB); },
     2 * MiB},
    {"anonymous, read-only", anonymous, PROT_READ, map_read_only},
    {"shared anonymous", shmem, read_write,
     [] { return filled(mapping::shared_anonymous(64 * page)); }},
    {"memfd", shmem, read_write, map_memfd},
    {"tmpfs file, shared", shmem, read_write, [] { return map_file("/dev/shm", MAP_SHARED); }},
    {"hugetlb 2 MiB, private", hugetlb, read_write,
     [] { return map_hugetlb(4 * MiB, huge_2m | MAP_PRIVATE); }, 2 * MiB},
    {"hugetlb 2 MiB, shared", hugetlb, read_write,
     [] { return map_hugetlb(4 * MiB, huge_2m | MAP_SHARED); }, 2 * MiB},
    {"hugetlb 1 GiB", hugetlb, read_write, [] { return map_hugetlb(GiB, huge_1g | MAP_PRIVATE); },
     GiB},
    {"ext4 file, private", private_file, read_write,
     [] { return map_file(backing("ext4"), MAP_PRIVATE); }},
    {"XFS file, private", private_file, read_write,
     [] { return map_file(backing("xfs"), MAP_PRIVATE); }},
    {"XFS file, private, read-only", private_file, PROT_READ,
     [] { return map_file(backing("xfs"), MAP_PRIVATE, PROT_READ); }},
    {"tmpfs file, private", private_file, read_write,
     [] { return map_file("/dev/shm", MAP_PRIVATE); }},
    {"ext4 file, shared", shared_file, read_write,
     [] { return map_file(backing("ext4"), MAP_SHARED); }},
    {"ext4 file, shared, read-only", shared_file, PROT_READ,
     [] { return map_file(backing("ext4"), MAP_SHARED, PROT_READ); }},
    {"XFS file, shared", shared_file, read_write,
     [] { return map_file(backing("xfs"), MAP_SHARED); }},
    {"device-DAX 2 MiB", device_dax, read_write,
     [] { return filled(map_devdax("devdax_2m", 64 * MiB)); }},
    {"device-DAX 4 KiB", device_dax, read_write,
     [] { return filled(map_devdax("devdax_4k", 8 * MiB)); }},
    {"device-DAX 1 GiB", device_dax, read_write,
     [] { return filled(map_devdax("devdax_1g", GiB)); }},
    {"fs-DAX on XFS", fs_dax, read_write, [] { return map_file(backing("xfs_dax"), MAP_SHARED); }},
    {"fs-DAX on ext4", fs_dax, read_write,
     [] { return map_file(backing("ext4_dax"), MAP_SHARED); }},
    {"fs-DAX on XFS, private", fs_dax, read_write,
     [] { return map_file(backing("xfs_dax"), MAP_PRIVATE); }},
    {"secret memory", secret, read_write, map_secret},
    {"device registers (/dev/mem)", io, read_write, map_io},
    {"bare page frames (vgem)", pfnmap, read_write, map_page_frames},
    {"a range with a hole", hole, read_write, map_with_hole},
};
// clang-format on

} // namespace

std::span<const memory_backing> memory_backings() {
    static const std::vector<memory_backing> here = [] {
        const bool has_huge_pages = ::access("/sys/kernel/mm/transparent_hugepage", F_OK) == 0;
        const bool has_devdax = has_backing("devdax_2m");
        std::vector<memory_backing> rows;
        std::ranges::copy_if(all, std::back_inserter(rows), [&](const memory_backing& row) {
            return row.kind == device_dax                      ? has_devdax
                   : row.kind == anonymous && row.unit != page ? has_huge_pages
                                                               : true;
        });
        return rows;
    }();
    return here;
}

const memory_backing& memory_backing_named(std::string_view name) {
    const auto* const found = std::ranges::find(all, name, &memory_backing::name);
    if (found == std::end(all)) {
        throw std::runtime_error("no memory backing is called " + std::string(name));
    }
    return *found;
}

} // namespace guest
