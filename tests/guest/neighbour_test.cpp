// SPDX-License-Identifier: MIT
// What others feel of what a user owns: with thousands of everything that it may have, what another
// program does takes about as long as without. Times are compared with each other, the best of
// many, and with a slack that a busy machine needs.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/netlink.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <functional>
#include <string_view>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

using namespace guest;

namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

/// The shortest time that something took, of so many tries.
microseconds best_of(int tries, const std::function<void()>& prepare,
                     const std::function<void()>& work) {
    auto best = microseconds::max();
    for (int i = 0; i < tries; i++) {
        prepare();
        const auto began = steady_clock::now();
        work();
        best =
            std::min(best, std::chrono::duration_cast<microseconds>(steady_clock::now() - began));
    }
    return best;
}

/// Whether \p loaded is about as short as \p alone.
bool about_the_same(microseconds alone, microseconds loaded) {
    UNSCOPED_INFO(alone.count() << " us alone, " << loaded.count() << " us with others");
    return loaded < 5 * alone + microseconds(500);
}

/// The shortest times of what a program does that has to do with longpin, or with memory.
struct daily_work {
    microseconds pin, open, get, dump, truncate, unmap;
};

daily_work measure_daily_work(const file& shared) {
    constexpr int tries = 30;
    constexpr std::size_t length = 16 * page;
    const auto nothing = [] {};
    const raw_device device;
    const mapping memory = mapping::small(length);
    const std::uint32_t handle = device.must_pin(memory.data(), length);
    const std::uint32_t context = context_of(device);
    const longpin::inventory inventory;
    daily_work took{};
    took.pin = best_of(tries, nothing, [&] {
        must(device.unpin(device.must_pin(memory.data(), length)) == 0, "UNPIN");
    });
    took.open = best_of(tries, nothing, [] { const raw_device another; });
    took.get = best_of(tries, nothing,
                       [&] { must(inventory.find_pin(context, handle).has_value(), "PIN_GET"); });
    took.dump = best_of(tries, nothing,
                        [&] { must(inventory.pins({.context = context}).size() == 1, "dump"); });
    took.truncate = best_of(
        tries,
        [&] {
            must(::ftruncate(shared.get(), length) == 0, "ftruncate");
            const mapping all(length, PROT_READ | PROT_WRITE, MAP_SHARED, shared.get());
            all.fill();
        },
        [&] { must(::ftruncate(shared.get(), 0) == 0, "ftruncate"); });
    mapping own;
    took.unmap = best_of(
        tries, [&] { own = mapping::small(length); }, [&] { own.unmap(); });
    return took;
}

void allow_open_files(rlim_t files) {
    const rlimit limit{files, files};
    must(::setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
}

} // namespace

TEST_CASE("neighbours: thousands of what one user may own, and what another one feels of it") {
    const int many = rounds(10000);
    struct estate {
        const char* name;
        std::function<void(const raw_device&)> acquire; ///< and wait
    };
    gate owned;
    gate end;
    const auto keep = [&] {
        owned.open();
        end.pass();
    };
    const std::vector<estate> estates = {
        {"nothing", [&](const raw_device&) { keep(); }},
        {"pins",
         [&](const raw_device& device) {
             const mapping memory = mapping::small(page);
             for (int i = 0; i < many; i++) {
                 device.must_pin(memory.data(), page);
             }
             keep();
         }},
        {"leases",
         [&](const raw_device& device) {
             const mapping memory = mapping::small(page);
             for (int i = 0; i < many; i++) {
                 device.must_pin(memory.data(), page, leased);
             }
             keep();
         }},
        {"events that nobody reads",
         [&](const raw_device& device) {
             const mapping memory = mapping::small(page);
             for (int i = 0; i < many; i++) {
                 const std::uint32_t handle = device.must_pin(memory.data(), page, leased);
                 must(::madvise(memory.data(), page, MADV_DONTNEED) == 0, "madvise");
                 must(device.unpin(handle) == 0, "UNPIN");
             }
             keep();
         }},
        {"open files, with a pin each",
         [&](const raw_device&) {
             allow_open_files(rlim_t(many) + 100);
             const mapping memory = mapping::small(page);
             const std::vector<raw_device> open(std::size_t(many) / 2);
             for (const raw_device& one : open) {
                 one.must_pin(memory.data(), page);
             }
             keep();
         }},
        {"runs",
         [&](const raw_device& device) {
             const mapping memory = mapping::runs(std::size_t(many));
             device.must_pin(memory.data(), memory.length());
             keep();
         }},
    };
    const file shared(::memfd_create("shared", MFD_CLOEXEC));
    daily_work alone{};
    for (const estate& one : estates) {
        CAPTURE(one.name);
        child owner([&] {
            const raw_device device;
            one.acquire(device);
        });
        REQUIRE(owned.pass_within(120000));
        const auto now = in_child([&] { return measure_daily_work(shared); });
        if (std::string_view(one.name) == "nothing") {
            alone = now;
        }
        CHECK(about_the_same(alone.pin, now.pin));
        CHECK(about_the_same(alone.open, now.open));
        CHECK(about_the_same(alone.get, now.get));
        CHECK(about_the_same(alone.dump, now.dump));
        CHECK(about_the_same(alone.truncate, now.truncate));
        CHECK(about_the_same(alone.unmap, now.unmap));
        end.open();
        CHECK(owner.wait());
    }
}

TEST_CASE("neighbours: leases that hold nothing don't slow a truncate") {
    constexpr int leases = 10000;
    constexpr std::size_t length = 16 * page;
    const file data(::memfd_create("shared", MFD_CLOEXEC));
    const auto fill = [&] {
        must(::ftruncate(data.get(), length) == 0, "ftruncate");
        const mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        memory.fill();
    };
    const auto truncate = [&] { must(::ftruncate(data.get(), 0) == 0, "ftruncate"); };
    gate made;
    gate end;
    const auto hold = [&](int count) {
        return [&, count] {
            fill();
            const raw_device device;
            const mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
            for (int i = 0; i < count; i++) {
                device.must_pin(memory.data(), length, leased);
            }
            must(::fallocate(data.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, length) ==
                     0,
                 "fallocate");
            memory.fill(); // mapped, and not leased
            made.open();
            end.pass();
        };
    };
    microseconds times[2];
    for (const int with : {0, 1}) {
        child holder(hold(with == 1 ? leases : 0));
        REQUIRE(made.pass_within(60000));
        // They leave the way a moment after their last page.
        REQUIRE(eventually([&] {
            times[with] = best_of(20, fill, truncate);
            return with == 0 || about_the_same(times[0], times[1]);
        }));
        end.open();
        REQUIRE(holder.wait());
    }
}

TEST_CASE("neighbours: a lease that held nothing is revoked as before once it holds pages again") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, leased_write);
    for (int round = 0; round < 20; round++) {
        REQUIRE(::madvise(memory.data(), 4 * page, MADV_DONTNEED) == 0);
        CHECK(must_query(device, handle).out_pages == 0);
        if (round % 2 == 0) { // it may have left the notifier's tree by then, or not
            ::usleep(2000);
        }
        longpin_repin answer{};
        REQUIRE(device.repin(handle, answer) == 0);
        REQUIRE(answer.out_repinned == 4);
        memory.fill(std::uint64_t(round));
        std::byte buffer[page];
        REQUIRE(device.read(handle, page, buffer, page) == 0);
        REQUIRE(has_pattern(buffer, page, page, std::uint64_t(round)));
        CHECK(device.events().size() == 1);
    }
    REQUIRE(::madvise(memory.data(), 4 * page, MADV_DONTNEED) == 0);
    longpin_repin answer{};
    REQUIRE(::munmap(memory.at(page), page) == 0); // one that fails leaves it as it was
    CHECK(device.repin(handle, answer) == EFAULT);
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK(device.repin(handle, answer, 0, page) == 0);
    CHECK(::madvise(memory.data(), page, MADV_DONTNEED) == 0);
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK(device.unpin(handle) == 0);
}

TEST_CASE("neighbours: those who wait for a holder's events don't slow what revokes") {
    constexpr int waiters = 6000;
    struct times {
        microseconds alone, loaded;
    };
    const auto [alone, loaded] = in_child([] {
        allow_open_files(waiters + 100);
        const raw_device device;
        const mapping memory = mapping::small(page);
        const std::uint32_t handle = device.must_pin(memory.data(), page, leased);
        const auto measure = [&] {
            return best_of(
                40,
                [&] {
                    *memory.data() = std::byte{1};
                    longpin_repin answer{};
                    must(device.repin(handle, answer) == 0, "REPIN");
                    (void)device.events();
                },
                [&] { must(::madvise(memory.data(), page, MADV_DONTNEED) == 0, "madvise"); });
        };
        const microseconds before = measure();
        std::vector<file> watching;
        for (int i = 0; i < waiters; i++) {
            watching.emplace_back(::epoll_create1(EPOLL_CLOEXEC));
            epoll_event wanted{};
            wanted.events = EPOLLIN;
            must(::epoll_ctl(watching.back().get(), EPOLL_CTL_ADD, device.descriptor(), &wanted) ==
                     0,
                 "epoll_ctl");
        }
        return times{before, measure()};
    });
    CHECK(about_the_same(alone, loaded));
}
