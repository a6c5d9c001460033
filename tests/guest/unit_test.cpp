// SPDX-License-Identifier: MIT
// One reference holds a huge page, where the mapping has it as one; and only there, whatever is
// done to the mapping while it is being pinned.
#include "support/child.hpp"
#include "support/held.hpp"
#include "support/lease.hpp"
#include "support/page_table.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fcntl.h>
#include <functional>
#include <mutex>
#include <random>
#include <stdexcept>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <utility>

using namespace guest;

namespace {

constexpr std::size_t huge = 2 * MiB;
constexpr long pages_in_huge = huge / page;

/// The references that a pin takes of that part.
long references(const mapping& memory, std::size_t offset, std::size_t length) {
    const raw_device device;
    const long before = pinned_pages();
    device.must_pin(memory.at(offset), length, LONGPIN_PIN_WRITE);
    return pinned_pages() - before;
}

/// Gives huge pages that were split back as they were. Fails while one of their pages is pinned.
bool collapse(const mapping& memory) {
    constexpr int madv_collapse = 25; // Linux 6.1
    return ::madvise(memory.data(), memory.length(), madv_collapse) == 0;
}

/// Pages of a pin, from one of its range on, that are not those which are mapped.
std::size_t pages_apart(const raw_device& device, std::uint32_t handle, const mapping& memory,
                        std::size_t from) {
    const page_table table;
    std::size_t apart = 0;
    for (const longpin_extent& extent : device.extents(handle)) {
        for (std::size_t i = 0; i < extent.length; i += page) {
            const std::size_t offset = extent.offset + i;
            if (offset >= from * page &&
                table.physical_address(memory.at(offset)) != extent.phys + i) {
                apart++;
            }
        }
    }
    return apart;
}

/// Pins huge pages while somebody disturbs the mapping, who leaves all but the first pages of it
/// where they are, or moves them only if they are not pinned.
void attack(const mapping& memory, std::size_t changed, const std::function<void()>& disturb) {
    int whole = 0;
    int split = 0;
    // As long as a disturbance takes, and it takes long where free memory is in pieces, the mapping
    // is left alone behind it.
    using std::chrono::microseconds;
    std::atomic<microseconds> disturbance = microseconds(1000);
    const repeated disturber([&] {
        const auto start = std::chrono::steady_clock::now();
        disturb();
        const auto took = std::chrono::steady_clock::now() - start;
        disturbance = std::max(microseconds(1000), std::chrono::duration_cast<microseconds>(took));
        std::this_thread::sleep_for(disturbance.load());
    });
    std::minstd_rand random(1);
    for (int round = 0; round < 1000 && (round < 100 || whole < 20 || split < 20); round++) {
        // What is pinned can't be made whole again. So nothing is for some time, before half of the
        // rounds.
        if (round % 2 == 0) {
            std::this_thread::sleep_for(disturbance.load() * (random() % 500) / 100);
        }
        const raw_device device;
        const long before = pinned_pages();
        longpin_pin answer{};
        const int err = device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE, answer);
        REQUIRE((err == 0 || err == EFAULT)); // just then it was protected
        if (err != 0) {
            continue;
        }
        // A page that is moved is not mapped for a moment.
        REQUIRE(eventually(
            [&] { return pages_apart(device, answer.out_handle, memory, changed) == 0; }));
        (pinned_pages() - before <= long(memory.length() / huge) ? whole : split)++;
        std::this_thread::yield();
    }
    CHECK(whole >= 20);
    CHECK(split >= 20);
}

} // namespace

TEST_CASE("units: one reference holds a huge page, or what of it is asked for", "[thp]") {
    const mapping memory = mapping::huge(2 * huge);
    CHECK(references(memory, 0, 2 * huge) == 2);
    CHECK(references(memory, page, 2 * huge - 2 * page) == 2);
    CHECK(references(memory, MiB, huge) == 2);
    CHECK(references(memory, MiB / 2, MiB) == 1);
    CHECK(references(memory, 17 * page + 5, page) == 1); // two pages
    CHECK(references(memory, 17 * page, page) == 1);
    REQUIRE(::madvise(memory.data(), 2 * huge, MADV_DONTNEED) == 0);
    CHECK(references(memory, 0, 2 * huge) == 2); // which are brought in only then
    held(memory).check_coherent(memory.data());
    CHECK(vm_pin() == 0);
}

TEST_CASE("units: huge pages side by side in memory are one run, and a part of one is too",
          "[devdax]") {
    const mapping memory = map_devdax("devdax_2m", 8 * MiB);
    memory.fill();
    const raw_device device;
    longpin_pin answer{};
    REQUIRE(device.pin(memory.at(5 * page), 6 * MiB, LONGPIN_PIN_WRITE, answer) == 0);
    CHECK(answer.out_runs == 1);
    CHECK(answer.out_pages == 6 * MiB / page);
    std::vector<std::byte> copy(6 * MiB);
    REQUIRE(device.read(answer.out_handle, 0, copy.data(), copy.size()) == 0);
    CHECK(has_pattern(copy.data(), copy.size(), 5 * page));
}

TEST_CASE("units: where the mapping is not one piece, a huge page is held page by page", "[thp]") {
    const mapping memory = mapping::huge(huge);
    SECTION("a page was replaced") {
        REQUIRE(::mmap(memory.at(7 * page), page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
        CHECK(references(memory, 0, huge) == pages_in_huge);
    }
    SECTION("a page was dropped, and written to again") {
        REQUIRE(::madvise(memory.at(7 * page), page, MADV_DONTNEED) == 0);
        CHECK(references(memory, 0, huge) == pages_in_huge);
    }
    SECTION("a part was protected, and opened again") {
        REQUIRE(::mprotect(memory.data(), page, PROT_READ) == 0);
        REQUIRE(::mprotect(memory.data(), page, PROT_READ | PROT_WRITE) == 0);
        CHECK(references(memory, 0, huge) == pages_in_huge);
    }
    SECTION("two pages changed places") {
        const mapping aside = mapping::anonymous(page);
        const auto move = [](std::byte* from, std::byte* to) {
            REQUIRE(::mremap(from, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
        };
        move(memory.at(0), aside.data());
        move(memory.at(8 * page), memory.at(0));
        move(aside.data(), memory.at(8 * page));
        CHECK(references(memory, 0, huge) == pages_in_huge);
    }
    held(memory).check_coherent(memory.data());
}

TEST_CASE("units: huge pages side by side in memory, one of them mapped page by page, are two runs",
          "[thp]") {
    const mapping memory = mapping::huge(16 * huge);
    const mapping pair = mapping::huge(2 * huge);
    const page_table table;
    const auto found = [&] {
        for (std::size_t i = 0; i < 16 * huge; i += huge) {
            for (std::size_t k = 0; k < 16 * huge; k += huge) {
                if (table.physical_address(memory.at(i)) + huge ==
                    table.physical_address(memory.at(k))) {
                    return std::pair(memory.at(i), memory.at(k));
                }
            }
        }
        throw std::runtime_error("no two huge pages are side by side");
    }();
    const auto move = [](std::byte* from, std::byte* to) {
        REQUIRE(::mremap(from, huge, huge, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    };
    move(found.first, pair.at(0));
    move(found.second, pair.at(huge));
    REQUIRE(table.physical_address(pair.at(0)) + huge == table.physical_address(pair.at(huge)));
    CHECK(references(pair, 0, 2 * huge) == 2);

    const std::size_t by_page = GENERATE(std::size_t{0}, huge);
    REQUIRE(::mprotect(pair.at(by_page), page, PROT_READ) == 0);
    REQUIRE(::mprotect(pair.at(by_page), page, PROT_READ | PROT_WRITE) == 0);
    const long before = pinned_pages();
    CHECK(references(pair, 0, 2 * huge) == pages_in_huge + 1);
    CHECK(references(pair, MiB, huge) == pages_in_huge / 2 + 1);
    CHECK(pinned_pages() == before);
}

TEST_CASE("units: a lease gives a huge page back whole, and lets go of whole ones only", "[thp]") {
    const raw_device device;
    const mapping memory = mapping::huge(2 * huge);
    const std::uint32_t handle = device.must_pin(memory.data(), 2 * huge, leased_write);
    const auto let_go = [&](std::size_t offset, std::size_t length) {
        REQUIRE(device.let_go(handle, offset, length) == 0);
        return must_query(device, handle).out_pages;
    };
    CHECK(let_go(page, page) == 2 * pages_in_huge);
    CHECK(let_go(page, huge) == 2 * pages_in_huge);
    CHECK(let_go(page, 2 * huge - page) == pages_in_huge);
    CHECK(lost_exactly(device, handle, pages_in_huge, 2 * pages_in_huge));
    CHECK(device.events().empty());

    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    CHECK(answer.out_repinned == pages_in_huge);
    REQUIRE(::madvise(memory.at(5 * page), page, MADV_DONTNEED) == 0);
    CHECK(lost_exactly(device, handle, 0, pages_in_huge));
    REQUIRE(device.repin(handle, answer) == 0);
    CHECK(lost_exactly(device, handle, 0, 0));
}

TEST_CASE("units: the first and the last huge page of a lease are held and lost in part", "[thp]") {
    const raw_device device;
    const mapping memory = mapping::huge(2 * huge);
    const std::uint32_t handle = device.must_pin(memory.at(MiB), huge, leased_write);
    REQUIRE(::madvise(memory.at(0), page, MADV_DONTNEED) == 0); // of the first, and not pinned
    CHECK(lost_exactly(device, handle, 0, MiB / page));
    memory.unmap_part(2 * huge - page, page);
    CHECK(lost_exactly(device, handle, 0, huge / page));
}

TEST_CASE("units: a huge page that is taken in two parts is held twice, and given back twice",
          "[thp]") {
    const raw_device device;
    const mapping memory = mapping::huge(huge);
    const long before = pinned_pages();
    const std::uint32_t handle = device.must_pin(memory.data(), huge, leased_write);
    REQUIRE(device.let_go(handle, 0, huge) == 0);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer, 0, 100 * page) == 0);
    REQUIRE(device.repin(handle, answer) == 0);
    CHECK(answer.out_repinned == pages_in_huge - 100);
    CHECK(pinned_pages() - before == 2);
    CHECK(must_query(device, handle).out_runs == 2);
    REQUIRE(device.unpin(handle) == 0);
    CHECK(pinned_pages() == before);
}

TEST_CASE("units: a huge page that is split while it is pinned", "[thp]") {
    const mapping memory = mapping::huge(2 * huge);
    attack(memory, 1, [&] {
        ::madvise(memory.data(), page, MADV_DONTNEED);
        *memory.data() = std::byte{1};
        collapse(memory);
    });
}

TEST_CASE("units: a huge page that is protected in part while it is pinned", "[thp]") {
    const mapping memory = mapping::huge(2 * huge);
    attack(memory, 0, [&] {
        ::mprotect(memory.at(huge), page, PROT_READ);
        ::mprotect(memory.at(huge), page, PROT_READ | PROT_WRITE);
        collapse(memory);
    });
}

TEST_CASE("units: a huge page that a fork splits while it is pinned", "[thp]") {
    const mapping memory = mapping::huge(2 * huge);
    attack(memory, 0, [&] {
        child([] {}).wait();
        collapse(memory);
    });
}

TEST_CASE("units: a huge page that is migrated while it is pinned", "[thp]") {
    const mapping memory = mapping::huge(2 * huge);
    int node = 0;
    attack(memory, 0, [&] {
        node = 1 - node;
        void* pages[] = {memory.data(), memory.at(huge)};
        const int nodes[] = {node, node};
        int status[2];
        ::syscall(SYS_move_pages, 0, 2, pages, nodes, status, 2 /* MPOL_MF_MOVE */);
        ::mprotect(memory.data(), page, PROT_READ);
        ::mprotect(memory.data(), page, PROT_READ | PROT_WRITE);
        collapse(memory);
    });
}

namespace {

/// Leased pins of memory that is replaced by something else meanwhile: what they hold is what is
/// mapped, whenever one looks.
void replace_while_pinned(std::size_t length,
                          const std::vector<std::function<void(std::byte* at)>>& put) {
    const mapping around = mapping::anonymous(length + GiB);
    const auto start = reinterpret_cast<std::uintptr_t>(around.data());
    std::byte* const at = around.at((GiB - start % GiB) % GiB);
    put.front()(at);

    std::mutex looking;
    std::size_t next = 0;
    const repeated disturber([&] {
        {
            const std::scoped_lock lock(looking);
            put.at(next++ % put.size())(at);
        }
        // Not just a yield: who gives a mutex back and takes it again at once keeps the others out.
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    });
    int pinned = 0;
    int lost = 0;
    for (int round = 0; round < 5000 && (round < 300 || pinned < 100 || lost < 20); round++) {
        const raw_device device;
        longpin_pin answer{};
        const int err = device.pin(at, length, leased_write, answer);
        REQUIRE((err == 0 || err == EFAULT || err == EAGAIN));
        if (err != 0) {
            continue;
        }
        const std::scoped_lock lock(looking);
        const page_table table;
        std::size_t apart = 0;
        for (const longpin_extent& extent : device.extents(answer.out_handle)) {
            for (std::size_t i = 0; i < extent.length; i += 64 * page) {
                if (table.physical_address(at + extent.offset + i) != extent.phys + i) {
                    apart++;
                }
            }
        }
        REQUIRE(apart == 0);
        (must_query(device, answer.out_handle).out_pages == length / page ? pinned : lost)++;
    }
    CHECK(pinned >= 100);
    CHECK(lost >= 20);
}

/// Maps over what is there, with huge pages where there are any.
auto put_anonymous(std::size_t length) {
    return [length](std::byte* at) {
        must(::mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                    0) == at,
             "mmap of anonymous memory");
        ::madvise(at, length, MADV_HUGEPAGE);
        *at = std::byte{1};
    };
}

} // namespace

TEST_CASE("units: huge pages that are replaced while they are pinned, by others and by hugetlb") {
    const auto small = [](std::byte* at) {
        put_anonymous(2 * huge)(at);
        ::madvise(at, 2 * huge, MADV_NOHUGEPAGE);
        ::madvise(at, 2 * huge, MADV_DONTNEED);
    };
    const auto hugetlb = [](std::byte* at) {
        must(::mmap(at, 2 * huge, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) == at,
             "mmap of hugetlb pages");
        *at = std::byte{1};
    };
    replace_while_pinned(2 * huge, {put_anonymous(2 * huge), hugetlb, small});
}

TEST_CASE("units: device-DAX that is replaced while it is pinned", "[devdax]") {
    const file device = open_file(backing("devdax_2m"), O_RDWR);
    const auto put_device = [&](std::byte* at) {
        must(::mmap(at, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, device.get(),
                    0) == at,
             "mmap of device-DAX");
        *at = std::byte{1};
    };
    replace_while_pinned(2 * huge, {put_device, put_anonymous(2 * huge)});
}
