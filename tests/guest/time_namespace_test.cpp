// SPDX-License-Identifier: MIT
// In a time namespace all times are those of its clocks.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <ctime>
#include <stdexcept>

#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>

using namespace guest;

namespace {

std::uint64_t boottime() {
    timespec now{};
    must(::clock_gettime(CLOCK_BOOTTIME, &now) == 0, "clock_gettime");
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

struct event_times {
    std::uint64_t before, event, after;
};

/// When a lease of this process was revoked, by its clock and by the event.
event_times revoke_one(const raw_device& device) {
    const mapping memory = mapping::small(page);
    device.must_pin(memory.data(), page, leased);
    event_times times{.before = boottime()};
    must(::madvise(memory.data(), page, MADV_DONTNEED) == 0, "madvise");
    times.after = boottime();
    times.event = device.events().at(0).time;
    return times;
}

void check(const event_times& times) {
    CHECK(times.before <= times.event);
    CHECK(times.event <= times.after);
}

} // namespace

TEST_CASE("time namespaces: an event's time is by the clock of who reads it") {
    const raw_device device;
    check(revoke_one(device));
    const event_times inside = in_child([&] {
        must(::unshare(CLONE_NEWTIME) == 0, "unshare"); // for the children
        must(write_line("/proc/self/timens_offsets", "boottime 1000000 0") == 0, "timens_offsets");
        return in_child([&] { return revoke_one(device); });
    });
    CHECK(inside.before > 1'000'000'000'000'000);
    check(inside);

    // What is read outside is by the clock there, whoever's lease it was.
    event_times outside{.before = boottime()};
    in_child([&] {
        must(::unshare(CLONE_NEWTIME) == 0, "unshare");
        must(write_line("/proc/self/timens_offsets", "boottime 1000000 0") == 0, "timens_offsets");
        return in_child([&] {
            const mapping memory = mapping::small(page);
            device.must_pin(memory.data(), page, leased);
            return ::madvise(memory.data(), page, MADV_DONTNEED);
        });
    });
    outside.after = boottime();
    outside.event = device.events().at(0).time;
    check(outside);
}

TEST_CASE("time namespaces: so is the time of what was lost") {
    const raw_device device;
    const auto [before, event, after] = in_child([&] {
        must(::unshare(CLONE_NEWTIME) == 0, "unshare");
        must(write_line("/proc/self/timens_offsets", "boottime 1000000 0") == 0, "timens_offsets");
        return in_child([&] {
            const mapping memory = mapping::small(page);
            for (int i = 0; i < 600; i++) { // more than are kept
                device.must_pin(memory.data(), page, leased);
            }
            must(::madvise(memory.data(), page, MADV_DONTNEED) == 0, "madvise");
            event_times times{.before = boottime()};
            const auto events = device.events();
            if (events.back().type != LONGPIN_EVENT_OVERFLOW) {
                throw std::runtime_error("nothing was lost");
            }
            times.event = events.back().time;
            times.after = boottime();
            return times;
        });
    });
    check({before, event, after});
}
