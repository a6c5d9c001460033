// SPDX-License-Identifier: MIT
// Pins and leases where memory is short. A process that runs out of it in the middle of a pin is
// ended by the kernel, and leaves nothing; what is held already stays, whatever kind of memory it
// is, until its holder gives it back.
#include "support/child.hpp"
#include "support/kernel_log.hpp"
#include "support/lease.hpp"
#include "support/memory_cgroup.hpp"
#include "support/page_table.hpp"
#include "support/swap_space.hpp"

#include <catch2/catch.hpp>

#include <functional>
#include <string>
#include <sys/mman.h>

using namespace guest;

namespace {

/// Pins so much memory, not touched before, in a process that the kernel has to end for it.
void pin_too_much(std::size_t length, const std::string& told, const std::function<void()>& first) {
    const long held = pinned_pages();
    const std::uint64_t charged = raw_device().info().out_max_pages_used;
    for (const std::uint32_t flags : {std::uint32_t{LONGPIN_PIN_WRITE}, leased_write}) {
        CAPTURE(flags);
        const quiet_console quiet;
        const kernel_log log;
        child process([&] {
            must(write_line("/proc/self/oom_score_adj", "1000") == 0, "oom_score_adj");
            first();
            const raw_device device;
            const mapping memory(length, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
            device.pin(memory.data(), length, flags);
        });
        CHECK_FALSE(process.wait());
        CHECK(log.text().find(told) != std::string::npos);
        const std::string odd = log.complaints();
        CAPTURE(odd);
        CHECK(odd.empty());
        CHECK(eventually([&] {
            return pinned_pages() == held && raw_device().info().out_max_pages_used == charged;
        }));
    }
}

constexpr std::size_t length = 16 * MiB;

enum class kind { anonymous, huge, shared, fs_dax };

mapping memory_of(kind which) {
    switch (which) {
    case kind::anonymous: return mapping::small(length);
    case kind::huge: return mapping::huge(length);
    case kind::shared: {
        mapping memory = mapping::shared_anonymous(length);
        memory.fill();
        return memory;
    }
    case kind::fs_dax: break;
    }
    return dax_file("xfs_dax", length).memory;
}

/// Bytes of a mapping that are in memory.
std::size_t resident(const mapping& memory) {
    const page_table table;
    std::size_t there = 0;
    for (std::size_t at = 0; at < memory.length(); at += page) {
        there += table.physical_address(memory.at(at)) != 0 ? page : 0;
    }
    return there;
}

} // namespace

TEST_CASE(
    "pressure: of what is leased the kernel reclaims shared memory alone, and takes it back") {
    const swap_space swap;
    const memory_cgroup cgroup;
    for (const kind which : {kind::anonymous, kind::huge, kind::shared, kind::fs_dax}) {
        CAPTURE(int(which));
        struct answer {
            std::size_t before, after, held, control, told, then;
        };
        const answer got = in_child([&] {
            cgroup.join();
            const raw_device device;
            const mapping memory = memory_of(which);
            const mapping control = mapping::small(length);
            const std::uint32_t handle = device.must_pin(memory.data(), length, leased_write);
            answer seen{};
            seen.before = resident(memory);
            cgroup.reclaim(4 * length);
            seen.after = resident(memory);
            seen.control = resident(control);
            seen.held = must_query(device, handle).out_pages * page;
            for (const longpin_event& event : device.events()) {
                seen.told += event.cause == LONGPIN_CAUSE_INVALIDATE ? event.length : 0;
            }
            must(device.let_go(handle, 0, length) == 0, "LET_GO");
            cgroup.reclaim(4 * length);
            seen.then = resident(memory);
            return seen;
        });
        CHECK(got.before == length);
        CHECK(got.control < length / 2); // reclaim is at work
        CHECK(got.held == got.after);    // and what is held is what is there
        CHECK(got.told == length - got.held);
        if (which == kind::shared) {
            CHECK(got.held < length / 2);
        } else {
            CHECK(got.held == length);
        }
        if (which == kind::fs_dax) { // it is no memory that could be reclaimed
            CHECK(got.then == length);
        } else {
            CHECK(got.then < length / 2);
        }
    }
}

TEST_CASE("pressure: a cgroup that gets smaller than what is leased in it ends the holder, if the "
          "kernel can't reclaim it") {
    const swap_space swap;
    for (const kind which : {kind::anonymous, kind::huge, kind::shared, kind::fs_dax}) {
        CAPTURE(int(which));
        const long held = pinned_pages();
        const memory_cgroup cgroup;
        const quiet_console quiet;
        gate leased_it;
        gate end;
        child holder([&] {
            must(write_line("/proc/self/oom_score_adj", "1000") == 0, "oom_score_adj");
            cgroup.join();
            const raw_device device;
            const mapping memory = memory_of(which);
            device.must_pin(memory.data(), length, leased_write);
            leased_it.open();
            end.pass();
        });
        REQUIRE(leased_it.pass_within(20000));
        cgroup.set("memory.max", std::to_string(8 * MiB));
        if (which == kind::anonymous || which == kind::huge) {
            CHECK(holder.ends());
            holder.kill();
        } else {
            end.open();
            CHECK(holder.wait());
        }
        CHECK(eventually([&] { return pinned_pages() == held; }));
    }
}

TEST_CASE("pressure: a memory cgroup has no room for all that is pinned") {
    const memory_cgroup cgroup;
    cgroup.set("memory.max", std::to_string(16 * MiB));
    pin_too_much(64 * MiB, "Memory cgroup out of memory", [&] { cgroup.join(); });
}

TEST_CASE("pressure: the machine has no room for all that is pinned") {
    pin_too_much(16 * GiB, "Out of memory: Killed process", [] {});
}
