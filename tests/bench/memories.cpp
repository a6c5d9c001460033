// SPDX-License-Identifier: MIT
#include "memories.hpp"

#include "figures.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unistd.h>

namespace bench {

namespace {

using guest::GiB;
using guest::mapping;
using guest::MiB;

constexpr int read_write = PROT_READ | PROT_WRITE;

mapping populated(mapping memory) {
    for (std::size_t offset = 0; offset < memory.length(); offset += guest::page) {
        *memory.at(offset) = std::byte{1};
    }
    return memory;
}

/// Bytes that huge page table entries map, of the anonymous memory in that range.
std::size_t in_huge_pages(const mapping& memory) {
    const auto first = reinterpret_cast<std::uintptr_t>(memory.data());
    std::ifstream smaps("/proc/self/smaps");
    std::size_t sum = 0;
    bool inside = false;
    for (std::string line; std::getline(smaps, line);) {
        std::istringstream words(line);
        std::string name;
        std::size_t kilobytes = 0;
        if (std::uintptr_t start = 0; words >> std::hex >> start && words.get() == '-') {
            inside = start >= first && start < first + memory.length();
        } else if (std::istringstream(line) >> name >> kilobytes && name == "AnonHugePages:" &&
                   inside) {
            sum += kilobytes * guest::KiB;
        }
    }
    return sum;
}

/// \p advice is one of MADV_HUGEPAGE and MADV_NOHUGEPAGE.
mapping map_anonymous(std::size_t length, int advice) {
    mapping memory = populated(mapping::advised(length, advice));
    const std::size_t huge = in_huge_pages(memory);
    if (huge != (advice == MADV_HUGEPAGE ? length : 0)) {
        throw std::runtime_error(std::to_string(huge / MiB) + " MiB are in huge pages");
    }
    return memory;
}

mapping map_memfd(std::size_t length) {
    const guest::file data(::memfd_create("bench", MFD_CLOEXEC));
    guest::must(::ftruncate(data.get(), static_cast<off_t>(length)) == 0, "memfd");
    return populated({length, read_write, MAP_SHARED, data.get()});
}

mapping map_hugetlb(std::size_t length, std::size_t page_size, int flag) {
    length = (length + page_size - 1) / page_size * page_size;
    return populated({length, read_write, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | flag});
}

mapping map_dax_file(std::size_t length) {
    const guest::file data = guest::temporary_file(guest::backing("xfs_dax"), length);
    return populated({length, read_write, MAP_SHARED, data.get()});
}

// clang-format off: a table
constexpr memory_kind kinds[] = {
    {small_pages, promise::longterm,
     [](std::size_t length) { return map_anonymous(length, MADV_NOHUGEPAGE); }},
    {thp, promise::longterm,
     [](std::size_t length) { return map_anonymous(length, MADV_HUGEPAGE); }},
    {"shmem", promise::longterm, map_memfd},
    {hugetlb_2m, promise::longterm,
     [](std::size_t length) { return map_hugetlb(length, 2 * MiB, 21 << MAP_HUGE_SHIFT); }},
    {hugetlb_1g, promise::longterm,
     [](std::size_t length) { return map_hugetlb(length, GiB, 30 << MAP_HUGE_SHIFT); }},
    {device_dax, promise::longterm,
     [](std::size_t length) { return populated(guest::map_devdax("devdax_2m", length)); }},
    {fs_dax, promise::revocable, map_dax_file},
};
// clang-format on

} // namespace

std::span<const memory_kind> memory_kinds() {
    return kinds;
}

} // namespace bench
