// SPDX-License-Identifier: MIT
// Calls that signals keep interrupting come to an end.
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <sys/time.h>

using namespace guest;

TEST_CASE("signals: a process with many mappings and a fast timer gets its first lease") {
    constexpr std::size_t mappings = 40000;
    // A mapping for each page: the first lease of a process takes a lock of each.
    const mapping memory(mappings * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
    for (std::size_t i = 0; i < mappings; i += 2) {
        REQUIRE(::mprotect(memory.at(i * page), page, PROT_READ | PROT_WRITE) == 0);
    }
    const raw_device device;
    child leaser([&] {
        struct sigaction action {};
        action.sa_handler = [](int) {};
        ::sigaction(SIGALRM, &action, nullptr);
        const itimerval each{{0, 1000}, {0, 1000}};
        ::setitimer(ITIMER_REAL, &each, nullptr);
        *memory.data() = std::byte{1};
        device.must_pin(memory.data(), page, leased);
    });
    const bool ended = leaser.ends();
    CHECK(ended);
    if (ended) {
        CHECK(leaser.wait());
    }
}
