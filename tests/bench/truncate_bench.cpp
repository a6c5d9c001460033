// SPDX-License-Identifier: MIT
// What it costs another program to take blocks from a mapped file on fs-DAX, with and without a
// lease on its pages, in instructions a page: as a Markdown table.
#include "../guest/support/lease.hpp"
#include "instructions.hpp"

#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <linux/falloc.h>
#include <system_error>
#include <unistd.h>

namespace {

constexpr std::size_t pages = 4096; // 16 MiB

using removal = int (*)(int descriptor);

struct row {
    const char* name;
    removal remove;
};

// clang-format off: a table
constexpr row rows[] = {
    {"truncate to nothing", [](int file) { return ::ftruncate(file, 0); }},
    {"truncate of the second half",
     [](int file) { return ::ftruncate(file, off_t{pages / 2 * guest::page}); }},
    {"hole of one page",
     [](int file) {
         return ::fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            8 * off_t{guest::page}, off_t{guest::page});
     }},
};
// clang-format on

/// The least of a few, each with a file of its own.
std::uint64_t cost(const char* filesystem, const row& operation, bool lease) {
    std::uint64_t least = ~std::uint64_t{0};
    for (int i = 0; i < 3; i++) {
        const guest::raw_device device;
        const guest::dax_file data(filesystem, pages * guest::page);
        if (lease) {
            device.must_pin(data.memory.data(), pages * guest::page, guest::leased_write);
        }
        least = std::min(least, bench::instructions([&] {
                             if (operation.remove(data.descriptor.get()) != 0) {
                                 throw std::system_error(errno, std::generic_category(),
                                                         operation.name);
                             }
                         }));
        if (lease && device.events().size() != 1) {
            throw std::runtime_error("the lease was not revoked, once");
        }
    }
    return least;
}

void measure() {
    bench::check_clock();
    struct filesystem {
        const char* backing;
        const char* name;
    };
    constexpr filesystem filesystems[] = {{"xfs_dax", "XFS, pages of 4 KiB"},
                                          {"xfs_huge", "XFS, huge pages"},
                                          {"ext4_dax", "ext4, huge pages"}};
    std::puts("| 16 MiB, mapped | file system | without a lease | leased | ratio |\n"
              "|:---|:---|---:|---:|---:|");
    for (const row& operation : rows) {
        for (const auto& [backing, name] : filesystems) {
            const auto plain = static_cast<double>(cost(backing, operation, false));
            const auto leased = static_cast<double>(cost(backing, operation, true));
            std::printf("| %s | %s | %.1f | %.1f | %.2f |\n", operation.name, name, plain / pages,
                        leased / pages, leased / plain);
            std::fflush(stdout);
        }
    }
}

} // namespace

int main() {
    try {
        measure();
        return 0;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "truncate_bench: %s\n", failure.what());
    }
    return 1;
}
