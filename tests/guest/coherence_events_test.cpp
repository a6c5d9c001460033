// SPDX-License-Identifier: MIT
// What the kernel does to memory meanwhile parts no process from its pin: the page that the
// mapping shows is the page that the pin holds, by its physical address and by its content.
#include "support/child.hpp"
#include "support/held.hpp"
#include "support/mapping.hpp"
#include "support/page_table.hpp"
#include "support/swap_space.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace guest;

namespace {

/// Asks for pages to be moved to a NUMA node; returns how many are there afterwards.
std::size_t move_to_node(const mapping& memory, int node) {
    const std::size_t count = memory.length() / page;
    std::vector<void*> pages(count);
    for (std::size_t i = 0; i < count; i++) {
        pages[i] = memory.at(i * page);
    }
    const std::vector<int> nodes(count, node);
    std::vector<int> status(count);
    constexpr int move = 1 << 1; // MPOL_MF_MOVE
    ::syscall(SYS_move_pages, 0, count, pages.data(), nodes.data(), status.data(), move);
    ::syscall(SYS_move_pages, 0, count, pages.data(), nullptr, status.data(), 0);
    return static_cast<std::size_t>(std::count(status.begin(), status.end(), node));
}

} // namespace

TEST_CASE("coherence: migration between NUMA nodes") {
    const mapping other = mapping::small(32 * page);
    const mapping memory = mapping::small(32 * page);
    const held pin(memory);
    // What is not pinned is moved to and fro; the pinned pages stay where they are.
    const std::size_t on_node_0 = move_to_node(memory, 0);
    for (const int node : {0, 1, 0}) {
        CHECK(move_to_node(other, node) == 32);
        CHECK(move_to_node(memory, node) == (node == 0 ? on_node_0 : 32 - on_node_0));
        pin.check_coherent(memory.data());
    }
}

TEST_CASE("coherence: NUMA balancing", "[numa_balancing]") {
    REQUIRE(write_line("/proc/sys/kernel/numa_balancing", "1") == 0);
    const mapping memory = mapping::small(64 * page);
    const held pin(memory);
    cpu_set_t before;
    REQUIRE(::sched_getaffinity(0, sizeof(before), &before) == 0);
    // Run on each CPU in turn for longer than the scanner's period.
    for (unsigned i = 0; i < 20; i++) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(i % 2, &cpus);
        REQUIRE(::sched_setaffinity(0, sizeof(cpus), &cpus) == 0);
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
        while (std::chrono::steady_clock::now() < until) {
            memory.fill(i);
        }
    }
    REQUIRE(::sched_setaffinity(0, sizeof(before), &before) == 0);
    pin.check_coherent(memory.data());
    REQUIRE(write_line("/proc/sys/kernel/numa_balancing", "0") == 0);
}

TEST_CASE("coherence: protecting the mapping and opening it again") {
    const mapping memory = mapping::small(16 * page);
    const held pin(memory);
    pin.check_coherent(memory.data());
    memory.protect(PROT_READ);
    memory.protect(PROT_NONE);
    memory.protect(PROT_READ | PROT_WRITE);
    pin.check_coherent(memory.data());
}

TEST_CASE("coherence: moving the mapping by mremap") {
    mapping memory = mapping::small(16 * page);
    const held pin(memory);
    const mapping target = mapping::anonymous(16 * page);
    void* const moved = ::mremap(memory.data(), memory.length(), memory.length(),
                                 MREMAP_MAYMOVE | MREMAP_FIXED, target.data());
    REQUIRE(moved == target.data());
    memory.release();
    pin.check_coherent(target.data());
}

TEST_CASE("coherence: a fork, with the child still there and after it") {
    const mapping memory = mapping::small(16 * page);
    const held pin(memory);
    gate done;
    {
        const child forked([&] { done.pass(); });
        pin.check_coherent(memory.data());
        done.open();
    }
    pin.check_coherent(memory.data());
}

TEST_CASE("coherence: a fork after a pin for reading") {
    const mapping memory = mapping::small(16 * page);
    const held pin(memory, 0);
    gate done;
    const child forked([&] { done.pass(); });
    pin.check_coherent(memory.data());
    done.open();
}

TEST_CASE("coherence: the child of a fork gets copies, and can't change what is pinned") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, LONGPIN_PIN_WRITE);
    const std::uint64_t pinned = device.extents(handle).at(0).phys;
    const std::uint64_t in_child_page = in_child([&] {
        *memory.at(0) = std::byte{1};
        return physical_address(memory.data());
    });
    CHECK(in_child_page != pinned);
    CHECK(physical_address(memory.data()) == pinned);
}

TEST_CASE("coherence: MADV_FREE and then a write") {
    const mapping memory = mapping::small(16 * page);
    const held pin(memory);
    REQUIRE(::madvise(memory.data(), memory.length(), MADV_FREE) == 0);
    REQUIRE(write_line("/proc/sys/vm/drop_caches", "3") == 0);
    pin.check_coherent(memory.data());
}

TEST_CASE("coherence: swap-out pressure") {
    const swap_space swap;
    // MADV_PAGEOUT asks for the pages; other memory shows that it works here.
    const mapping other = mapping::small(64 * page);
    const mapping memory = mapping::small(64 * page);
    const held pin(memory);
    REQUIRE(::madvise(other.data(), other.length(), MADV_PAGEOUT) == 0);
    CHECK(physical_address(other.data()) == 0); // it went out
    REQUIRE(::madvise(memory.data(), memory.length(), MADV_PAGEOUT) == 0);
    pin.check_coherent(memory.data());
}

TEST_CASE("coherence: compaction") {
    const mapping memory = mapping::small(256 * page);
    const held pin(memory);
    // Holes all around, so that there is something to compact.
    const mapping around = mapping::small(2048 * page);
    for (std::size_t i = 0; i < 2048; i += 2) {
        REQUIRE(::madvise(around.at(i * page), page, MADV_DONTNEED) == 0);
    }
    REQUIRE(write_line("/proc/sys/vm/compact_memory", "1") == 0);
    pin.check_coherent(memory.data());
}

TEST_CASE("coherence: merging of equal pages (KSM)") {
    const std::string ksm = "/sys/kernel/mm/ksm/";
    const mapping memory = mapping::anonymous(8 * page);
    const mapping twin = mapping::anonymous(8 * page);
    for (const mapping* each : {&memory, &twin}) {
        std::memset(each->data(), 0x3c, each->length());
        REQUIRE(::madvise(each->data(), each->length(), MADV_MERGEABLE) == 0);
    }
    const held pin(memory);
    REQUIRE(write_line(ksm + "pages_to_scan", "1000") == 0);
    REQUIRE(write_line(ksm + "sleep_millisecs", "1") == 0);
    REQUIRE(write_line(ksm + "run", "1") == 0);
    // The twin's pages are merged with each other: KSM is at work.
    CHECK(eventually([&] { return std::stoul(read_line(ksm + "pages_sharing")) >= 7; }));
    REQUIRE(write_line(ksm + "run", "0") == 0);
    pin.check_coherent(memory.data());
    REQUIRE(write_line(ksm + "run", "2") == 0); // unmerge
}

TEST_CASE("coherence: a huge page is split by a partial unmap and a partial protection", "[thp]") {
    const mapping memory = mapping::huge(4 * MiB);
    const raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), MiB, LONGPIN_PIN_WRITE);
    const std::uint64_t pinned = device.extents(handle).at(0).phys;
    memory.unmap_part(MiB, MiB);
    REQUIRE(::mprotect(memory.at(MiB / 2), MiB / 2, PROT_READ) == 0);
    const page_table table;
    for (std::size_t i = 0; i < MiB; i += page) {
        REQUIRE(table.physical_address(memory.at(i)) == pinned + i);
    }
    std::memset(memory.data(), 0x2a, MiB / 2);
    std::vector<char> copy(MiB / 2);
    REQUIRE(device.read(handle, 0, copy.data(), copy.size()) == 0);
    CHECK(copy == std::vector<char>(MiB / 2, 0x2a));
}

TEST_CASE("coherence: small pages that are to be collapsed into a huge one", "[thp]") {
    const mapping whole = mapping::anonymous(4 * MiB);
    REQUIRE(::madvise(whole.data(), whole.length(), MADV_NOHUGEPAGE) == 0);
    whole.fill();
    const held pin(whole);
    REQUIRE(::madvise(whole.data(), whole.length(), MADV_HUGEPAGE) == 0);
    constexpr int madv_collapse = 25; // Linux 6.1
    // A pinned page can't be moved, so this has to fail; if it did not, the check would tell.
    CHECK(::madvise(whole.data(), whole.length(), madv_collapse) == -1);
    pin.check_coherent(whole.data());
}
