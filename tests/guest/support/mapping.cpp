// SPDX-License-Identifier: MIT
#include "mapping.hpp"

#include "page_table.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <linux/fs.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

namespace guest {

mapping::mapping(std::size_t length, int protection, int flags, int descriptor, off_t offset)
    : length_(length) {
    void* const address = ::mmap(nullptr, length, protection, flags, descriptor, offset);
    if (address == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(), "mmap");
    }
    address_ = static_cast<std::byte*>(address);
}

mapping mapping::guarded(std::size_t length, std::size_t alignment) {
    mapping memory(length + alignment + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    const auto first = reinterpret_cast<std::uintptr_t>(memory.data()) + page;
    memory.before_ = page + (alignment - first % alignment) % alignment;
    memory.behind_ = alignment + page - memory.before_;
    memory.address_ += memory.before_;
    memory.length_ = length;
    memory.protect(PROT_READ | PROT_WRITE);
    return memory;
}

mapping mapping::shared_anonymous(std::size_t length) {
    return {length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS};
}

mapping mapping::advised(std::size_t length, int advice) {
    mapping memory = guarded(length, 2 * MiB);
    const bool done = ::madvise(memory.data(), length, advice) == 0;
    // A kernel that has no huge pages doesn't know the advice.
    must(done || (advice == MADV_NOHUGEPAGE && errno == EINVAL), "madvise");
    return memory;
}

mapping mapping::small(std::size_t length) {
    mapping memory = advised(length, MADV_NOHUGEPAGE);
    memory.fill();
    return memory;
}

mapping mapping::huge(std::size_t length) {
    mapping memory = advised(length, MADV_HUGEPAGE);
    memory.fill();
    for (std::size_t at = 0; at < length; at += 2 * MiB) {
        if (!memory.is_huge(at)) {
            throw std::runtime_error("the kernel has no huge page");
        }
    }
    return memory;
}

mapping mapping::runs(std::size_t pages) {
    mapping memory = shared_anonymous(pages * page);
    const file data(::memfd_create("runs", MFD_CLOEXEC));
    must(::fallocate(data.get(), 0, 0, static_cast<off_t>(2 * pages * page)) == 0, "fallocate");
    for (std::size_t i = 0; i < pages; i++) { // between two of them is a page that isn't mapped
        must(::mmap(memory.at(i * page), page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                    data.get(), static_cast<off_t>(2 * i * page)) != MAP_FAILED,
             "mmap");
    }
    memory.fill();
    return memory;
}

bool mapping::is_huge(std::size_t offset) const {
    const page_table table;
    const std::uint64_t first = table.physical_address(at(offset));
    return first % (2 * MiB) == 0 &&
           table.physical_address(at(offset + 2 * MiB - page)) == first + 2 * MiB - page;
}

void mapping::fill(std::uint64_t seed) const {
    for (std::size_t offset = 0; offset < length_; offset += 8) {
        const std::uint64_t word = pattern(seed, offset);
        std::memcpy(address_ + offset, &word, 8);
    }
}

void mapping::unmap() {
    if (address_ != nullptr) {
        ::munmap(std::exchange(address_, nullptr) - before_, before_ + length_ + behind_);
    }
}

mapping mapping::keep(std::size_t length) {
    must(::munmap(address_ + length, length_ - length + behind_) == 0, "munmap");
    mapping kept = std::move(*this);
    kept.length_ = length;
    kept.behind_ = 0;
    return kept;
}

void mapping::unmap_part(std::size_t offset, std::size_t length) const {
    must(::munmap(address_ + offset, length) == 0, "munmap");
}

void mapping::protect(int protection) const {
    must(::mprotect(address_, length_, protection) == 0, "mprotect");
}

std::uint64_t pattern(std::uint64_t seed, std::uint64_t offset) {
    return seed << 48 ^ offset ^ 0x5a5a;
}

bool has_pattern(const void* memory, std::size_t length, std::uint64_t offset, std::uint64_t seed) {
    const auto* const bytes = static_cast<const std::byte*>(memory);
    for (std::size_t i = 0; i < length; i++) {
        const std::uint64_t at = offset + i;
        const std::uint64_t word = pattern(seed, at & ~std::uint64_t{7});
        if (std::to_integer<std::uint64_t>(bytes[i]) != (word >> at % 8 * 8 & 0xff)) {
            return false;
        }
    }
    return true;
}

file temporary_file(const std::string& directory, std::size_t size) {
    std::string name = directory + "/longpin-XXXXXX";
    file created(::mkostemp(name.data(), O_CLOEXEC));
    if (created.get() < 0) {
        throw std::system_error(errno, std::generic_category(), "mkostemp in " + directory);
    }
    ::unlink(name.c_str());
    if (const int err = ::posix_fallocate(created.get(), 0, static_cast<off_t>(size))) {
        throw std::system_error(err, std::generic_category(), "fallocate in " + directory);
    }
    return created;
}

std::vector<fiemap_extent> places_of(const file& data) {
    constexpr std::uint32_t room = 256;
    alignas(fiemap) std::byte answer[sizeof(fiemap) + room * sizeof(fiemap_extent)] = {};
    auto* const map = reinterpret_cast<fiemap*>(answer);
    map->fm_length = FIEMAP_MAX_OFFSET;
    map->fm_extent_count = room;
    must(::ioctl(data.get(), FS_IOC_FIEMAP, map) == 0, "FS_IOC_FIEMAP");
    return {map->fm_extents, map->fm_extents + map->fm_mapped_extents};
}

namespace {

/// "" if there is none.
std::string find_backing(const std::string& name) {
    std::ifstream lines("/run/longpin/backings");
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + '=')) {
            return line.substr(name.size() + 1);
        }
    }
    return "";
}

} // namespace

bool has_backing(const std::string& name) {
    return !find_backing(name).empty();
}

std::string backing(const std::string& name) {
    std::string found = find_backing(name);
    return found.empty() ? throw std::runtime_error("the guest has no backing " + name) : found;
}

std::string dax_name(const std::string& name) {
    return backing(name).substr(sizeof("/dev/") - 1);
}

mapping map_devdax(const std::string& name, std::size_t length) {
    const std::size_t align =
        std::stoul(read_line("/sys/bus/dax/devices/" + dax_name(name) + "/align"));
    const file device = open_file(backing(name), O_RDWR);
    return {(length + align - 1) / align * align, PROT_READ | PROT_WRITE, MAP_SHARED, device.get()};
}

} // namespace guest
