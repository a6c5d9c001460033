// SPDX-License-Identifier: MIT
// How pinning gains from threads: pages a second with 2 and 4 of them, as multiples of those with
// one in the same run, as a Markdown table. Wall time: it takes a host with as many idle
// processors.
#include "figures.hpp"
#include "memories.hpp"
#include "pinners.hpp"

#include "../guest/support/raw_device.hpp"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using pinners = std::vector<std::unique_ptr<bench::pinner>>;

constexpr std::size_t most_threads = 4;

struct who {
    const char* name;
    /// One for each thread.
    pinners (*make)();
};

struct what {
    const char* name;
    std::size_t length;
    bool same; ///< all threads pin the same memory
    int rounds;
};

pinners each_with_a_file(const char* name) {
    const auto kinds = bench::pinner_kinds();
    const auto kind = std::ranges::find(kinds, name, &bench::pinner_kind::name);
    pinners all;
    while (all.size() < most_threads) {
        all.push_back(kind->make(bench::promise::longterm));
    }
    return all;
}

pinners all_with_one_file() {
    const auto device = std::make_shared<const guest::raw_device>();
    pinners all;
    while (all.size() < most_threads) {
        all.push_back(bench::make_longpin(device));
    }
    return all;
}

constexpr who everyone[] = {
    {"longpin, a file each", [] { return each_with_a_file(bench::longpin_name); }},
    {"longpin, one file", all_with_one_file},
    {"floor, a file each", [] { return each_with_a_file(bench::floor_name); }},
};

constexpr std::size_t large = 16 * guest::MiB;

constexpr what everything[] = {
    {"16 MiB, each its own", large, false, 40},
    {"16 MiB, all the same", large, true, 40},
    {"one page, each its own", guest::page, false, 10'000},
    {"one page, all the same", guest::page, true, 10'000},
};

void pin_and_unpin(bench::pinner& pinner, const iovec& range, int rounds) {
    for (int i = 0; i < rounds; i++) {
        if (const int err = pinner.pin({&range, 1})) {
            throw std::system_error(err, std::generic_category(), "pin");
        }
        pinner.unpin();
    }
}

/// Pages a second.
double speed(const pinners& all, std::size_t threads, const guest::mapping& memory,
             const what& how) {
    std::barrier start(static_cast<std::ptrdiff_t>(threads) + 1);
    std::vector<std::thread> running;
    for (std::size_t thread = 0; thread < threads; thread++) {
        running.emplace_back([&, thread] {
            const iovec range{memory.at(how.same ? 0 : thread * large), how.length};
            start.arrive_and_wait();
            pin_and_unpin(*all[thread], range, how.rounds);
        });
    }
    start.arrive_and_wait();
    const auto before = std::chrono::steady_clock::now();
    std::ranges::for_each(running, &std::thread::join);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - before;
    const auto pages = threads * how.length / guest::page * static_cast<std::size_t>(how.rounds);
    return static_cast<double>(pages) / spent.count();
}

void measure() {
    const guest::mapping memory = bench::memory_kinds().front().map(most_threads * large);
    std::puts("| pinned at a time | by | 2 threads | 4 threads |\n|:---|:---|---:|---:|");
    for (const what& how : everything) {
        for (const who& pinner : everyone) {
            const pinners all = pinner.make();
            // The best of a few. In turn, so that a host that is busy for a while slows all alike.
            double one = 0;
            double two = 0;
            double four = 0;
            for (int i = 0; i < 5; i++) {
                one = std::max(one, speed(all, 1, memory, how));
                two = std::max(two, speed(all, 2, memory, how));
                four = std::max(four, speed(all, 4, memory, how));
            }
            std::printf("| %s | %s | %.2f | %.2f |\n", how.name, pinner.name, two / one,
                        four / one);
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
        std::fprintf(stderr, "thread_bench: %s\n", failure.what());
    }
    return 1;
}
