// SPDX-License-Identifier: MIT
// A process that runs out of memory in the middle of a pin is ended by the kernel, and leaves
// nothing.
#include "support/child.hpp"
#include "support/kernel_log.hpp"
#include "support/lease.hpp"
#include "support/memory_cgroup.hpp"

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

} // namespace

TEST_CASE("pressure: a memory cgroup has no room for all that is pinned") {
    const memory_cgroup cgroup;
    cgroup.set("memory.max", std::to_string(16 * MiB));
    pin_too_much(64 * MiB, "Memory cgroup out of memory", [&] { cgroup.join(); });
}

TEST_CASE("pressure: the machine has no room for all that is pinned") {
    pin_too_much(16 * GiB, "Out of memory: Killed process", [] {});
}
