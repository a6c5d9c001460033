// SPDX-License-Identifier: MIT
// What the kernel gets wrong by itself, and an operator may see with longpin: each is provoked with
// the module absent. (What ends the guest, tests/kernel-faults provokes.)
#include "support/backings.hpp"
#include "support/kernel_log.hpp"
#include "support/lease.hpp"
#include "support/module.hpp"
#include "support/peers.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <fstream>
#include <linux/fs.h>
#include <stdexcept>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

using namespace guest;

namespace {

/// A number of /proc/meminfo as it is written there.
std::string meminfo(const std::string& name) {
    std::ifstream lines("/proc/meminfo");
    for (std::string word; lines >> word;) {
        if (word == name + ":" && lines >> word) {
            return word;
        }
    }
    throw std::runtime_error("/proc/meminfo has no " + name);
}

/// The module is not there for as long as the object lives.
class absent_module {
public:
    absent_module() { must(remove_module() == 0, "delete_module"); }
    absent_module(const absent_module&) = delete;
    absent_module& operator=(const absent_module&) = delete;
    absent_module(absent_module&&) = delete;
    absent_module& operator=(absent_module&&) = delete;
    ~absent_module() { load_module(); }
};

} // namespace

// Before all that share blocks in this guest: the kernel warns once.
TEST_CASE("kernel: 6.1 warns of a block that two files shared while it was mapped, when it is used "
          "again",
          "[.alone]") {
    const absent_module nothing_of_ours;
    const quiet_console quiet;
    const kernel_log log;
    constexpr std::size_t length = 8 * MiB;
    {
        const dax_file data("xfs_reflink", length);
        const file clone = temporary_file(backing("xfs_reflink"), page);
        REQUIRE(::ioctl(clone.get(), FICLONE, data.descriptor.get()) == 0);
        data.memory.fill(2);
    }
    const auto warned = [&] {
        return log.text().find("at fs/dax.c:380 dax_insert_entry") != std::string::npos;
    };
    // What was freed is used again sooner or later.
    std::vector<file> kept;
    for (int files = 0; files < 30 && !warned(); files++) {
        const dax_file next("xfs_reflink", length);
        kept.emplace_back(::dup(next.descriptor.get()));
    }
    CHECK(warned() == (running_kernel() < kernel_version(6, 12)));
    CHECK(log.complaints("at fs/dax.c:380 dax_insert_entry").empty());
    if (warned()) {
        std::ofstream("/run/longpin/allowed-taint") << 512;
    }
}

TEST_CASE("kernel: HugePages_Rsvd wraps while a private hugetlb page is pinned and not mapped") {
    const absent_module nothing_of_ours;
    const io_uring_peer ring;
    mapping memory = memory_backing_named("hugetlb 2 MiB, private").map();
    const std::string before = meminfo("HugePages_Rsvd");
    const std::array buffers{iovec{memory.data(), memory.length()}};
    REQUIRE(ring.add_buffers(buffers) == 0);
    memory.unmap();
    const std::string meanwhile = meminfo("HugePages_Rsvd");
    ring.remove_buffers();
    CAPTURE(before, meanwhile, meminfo("HugePages_Rsvd"));
    const bool wraps = meanwhile.size() > 15;
    CHECK(wraps == (running_kernel() >= kernel_version(6, 12)));
}
