// SPDX-License-Identifier: MIT
#include "mapping.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace pinpin {

namespace {

[[noreturn]] void fail(const std::string& attempted) {
    throw std::system_error(errno, std::generic_category(), "cannot " + attempted);
}

// What there is to map.
struct source {
    descriptor file;                   // none for memory without a file
    std::optional<std::uint64_t> size; // empty: a device that does not tell
    std::uint64_t alignment = 1;       // of a mapping's offset and length
    int flags = 0;                     // for mmap()
};

// The number that a file of sysfs holds; empty if there is no such file.
std::optional<std::uint64_t> read_number(const std::string& path) {
    std::ifstream stream(path);
    std::string text;
    stream >> text;
    return longpin::parse_size(text);
}

// What the mappings of a device must be aligned to. Device-DAX tells by sysfs: in 6.x
// the device itself, before 5.10 the region that it is a part of.
std::uint64_t device_alignment(const std::string& sysfs, std::uint64_t page_size) {
    for (const char* const name : {"align", "../dax_region/align", "device/dax_region/align"}) {
        if (const auto alignment = read_number(sysfs + name)) {
            return *alignment;
        }
    }
    return page_size;
}

std::uint64_t huge_page_size() {
    std::ifstream stream("/proc/meminfo");
    std::string word;
    while (stream >> word) {
        std::uint64_t kibibytes = 0;
        if (word == "Hugepagesize:" && stream >> kibibytes) {
            return kibibytes * 1024;
        }
    }
    throw std::runtime_error("cannot map huge pages: this kernel has none");
}

source open_file(const memory_arguments& arguments, std::uint64_t page_size) {
    const bool writable = arguments.write && !arguments.private_mapping;
    const int mode = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    descriptor file(::open(arguments.file.c_str(), mode));
    if (file.get() < 0) {
        fail("open " + arguments.file);
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) {
        fail("look at " + arguments.file);
    }
    source result{.file = std::move(file),
                  .size = static_cast<std::uint64_t>(status.st_size),
                  .alignment = page_size,
                  .flags = arguments.private_mapping ? MAP_PRIVATE : MAP_SHARED};
    if (S_ISCHR(status.st_mode)) {
        const std::string sysfs =
            fmt::format("/sys/dev/char/{}:{}/", ::major(status.st_rdev), ::minor(status.st_rdev));
        result.size = read_number(sysfs + "size");
        result.alignment = device_alignment(sysfs, page_size);
    }
    return result;
}

source open_source(const memory_arguments& arguments, std::uint64_t page_size) {
    if (arguments.anon) {
        return {.size = arguments.anon->bytes,
                .alignment = page_size,
                .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    }
    if (arguments.hugetlb) {
        return {.size = arguments.hugetlb->bytes,
                .alignment = huge_page_size(),
                .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB};
    }
    if (arguments.memfd) {
        descriptor file(::memfd_create("pinpin", MFD_CLOEXEC));
        if (file.get() < 0 ||
            ::ftruncate(file.get(), static_cast<off_t>(arguments.memfd->bytes)) != 0) {
            fail("make a memfd");
        }
        return {.file = std::move(file),
                .size = arguments.memfd->bytes,
                .alignment = page_size,
                .flags = MAP_SHARED};
    }
    return open_file(arguments, page_size);
}

} // namespace

mapping::mapping(const memory_arguments& arguments) {
    const std::string name = arguments.description();
    source source = open_source(arguments, static_cast<std::uint64_t>(::getpagesize()));
    const std::uint64_t offset = arguments.offset.bytes;
    if (!arguments.length && !source.size) {
        throw std::runtime_error(
            fmt::format("cannot map {}: it does not tell its size; give a --length", name));
    }
    if (!arguments.length && offset >= *source.size) {
        throw std::runtime_error(
            fmt::format("cannot map {} from byte {}: it has {} bytes", name, offset, *source.size));
    }
    const std::uint64_t length = arguments.length ? arguments.length->bytes : *source.size - offset;

    // A mapping begins and ends at a multiple of the alignment, the pin wherever it likes.
    const std::uint64_t before = offset % source.alignment;
    const std::uint64_t room = std::numeric_limits<off_t>::max() - source.alignment;
    if (length == 0 || offset > room || length > room - offset) {
        throw std::runtime_error(
            fmt::format("cannot map {} bytes of {} from byte {}: there is no such range", length,
                        name, offset));
    }
    const std::uint64_t size =
        (before + length + source.alignment - 1) / source.alignment * source.alignment;

    const bool writable = arguments.write || arguments.private_mapping || arguments.file.empty();
    void* const address =
        ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, source.flags,
               source.file.get(), static_cast<off_t>(offset - before));
    if (address == MAP_FAILED) { // NOLINT: a macro of the system
        if (arguments.hugetlb && errno == ENOMEM) {
            throw std::runtime_error(fmt::format(
                "cannot map {}: not so many huge pages are free; 'sysctl vm.nr_hugepages=N' "
                "reserves N, of {} each, and this wants {}",
                name, longpin::format_size(source.alignment), size / source.alignment));
        }
        fail(fmt::format("map {}", name));
    }
    whole_ = {static_cast<std::byte*>(address), size};
    range_ = whole_.subspan(before, length);
    offset_ = offset;
    file_ = std::move(source.file);
}

std::uint64_t mapping::present_length() const {
    struct stat status {};
    if (file_.get() < 0 || ::fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return range_.size();
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    return std::min<std::uint64_t>(range_.size(), size - std::min(size, offset_));
}

mapping::~mapping() {
    unmap();
}

void mapping::unmap() noexcept {
    if (!whole_.empty()) {
        ::munmap(whole_.data(), whole_.size());
        whole_ = {};
    }
}

} // namespace pinpin
