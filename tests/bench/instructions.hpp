// SPDX-License-Identifier: MIT
// Counting instructions, for a guest in which a nanosecond of the clock is one (qemu/run --icount).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

namespace bench {

template <typename Work>
std::uint64_t instructions(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
}

/// Nanoseconds that the processor has slept since it was booted. The clock goes on meanwhile.
inline std::uint64_t slept() {
    std::ifstream timers("/proc/timer_list");
    std::uint64_t sum = 0;
    int found = 0;
    for (std::string line; std::getline(timers, line);) {
        if (line.find("idle_sleeptime") != std::string::npos ||
            line.find("iowait_sleeptime") != std::string::npos) {
            sum += std::stoull(line.substr(line.find(':') + 1));
            found++;
        }
    }
    if (found != 2) {
        throw std::runtime_error("/proc/timer_list doesn't tell how long one processor slept");
    }
    return sum;
}

/// For work that waits for others, and they for time to pass.
template <typename Work>
std::uint64_t instructions_awake(const Work& work) {
    const std::uint64_t before = slept();
    const std::uint64_t spent = instructions(work);
    return spent - (slept() - before);
}

/// Throws unless the clock counts instructions.
inline void check_clock() {
    constexpr std::uint64_t turns = 20'000'000;
    const std::uint64_t counted = instructions([] {
        std::uint64_t left = turns;
        asm volatile("1: dec %0; jnz 1b" : "+r"(left)); // two instructions
    });
    if (counted < 2 * turns || counted > 2 * turns * 105 / 100) {
        throw std::runtime_error(
            "the clock doesn't count instructions: boot the guest with --icount");
    }
}

/// The least of a few, so that what else the kernel has to do in between doesn't count.
template <typename Work>
std::uint64_t least_instructions(const Work& work) {
    std::uint64_t least = instructions(work);
    for (int i = 0; i < 4; i++) {
        least = std::min(least, instructions(work));
    }
    return least;
}

} // namespace bench
