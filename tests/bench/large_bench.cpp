// SPDX-License-Identifier: MIT
// What it costs to pin memory much larger than RAM in one call: of a device in qemu/layouts/large,
// from 1 GiB up to all of it. Prints a Markdown table. Fails if a page costs more the more there
// are.
#include "instructions.hpp"

#include "../guest/support/lease.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace {

using guest::GiB;
using guest::MiB;

struct device_kind {
    const char* backing;
    const char* name;
    std::size_t gigabytes;
};

constexpr device_kind devices[] = {
    {"devdax_2m", "device-DAX, 2 MiB", 256},
    {"devdax_1g", "device-DAX, 1 GiB", 64},
};

/// Instructions where the clock counts them, else nanoseconds.
struct cost {
    std::uint64_t pin = ~std::uint64_t{0};
    std::uint64_t unpin = ~std::uint64_t{0};
    std::uint64_t bookkeeping = 0;
    std::uint64_t runs = 0;
};

cost measure(const guest::mapping& memory, std::size_t length) {
    const guest::raw_device device;
    cost least;
    for (int i = 0; i < 3; i++) {
        std::uint32_t handle = 0;
        const std::uint64_t pin = bench::instructions(
            [&] { handle = device.must_pin(memory.data(), length, LONGPIN_PIN_WRITE); });
        const longpin_query query = guest::must_query(device, handle);
        least.bookkeeping = query.out_bookkeeping;
        least.runs = query.out_runs;
        const std::uint64_t unpin =
            bench::instructions([&] { guest::must(device.unpin(handle) == 0, "LONGPIN_UNPIN"); });
        least.pin = std::min(least.pin, pin);
        least.unpin = std::min(least.unpin, unpin);
    }
    return least;
}

/// Present, as pinning finds memory in all benchmarks.
guest::mapping map_whole(const device_kind& kind) {
    guest::mapping memory = guest::map_devdax(kind.backing, kind.gigabytes * GiB);
    for (std::size_t offset = 0; offset < memory.length(); offset += 2 * MiB) {
        *memory.at(offset) = std::byte{1};
    }
    return memory;
}

bool print_instructions() {
    bench::check_clock();
    bool linear = true;
    fmt::print(
        "| memory | pinned in one call | instructions | a page | unpin, a page | runs | bytes of "
        "bookkeeping |\n|---|---:|---:|---:|---:|---:|---:|\n");
    for (const device_kind& kind : devices) {
        const guest::mapping memory = map_whole(kind);
        double first = 0;
        for (std::size_t gigabytes = 1; gigabytes <= kind.gigabytes; gigabytes *= 4) {
            const cost spent = measure(memory, gigabytes * GiB);
            const std::size_t pages = gigabytes * GiB / guest::page;
            const auto a_page = [&](std::uint64_t all) {
                return static_cast<double>(all) / static_cast<double>(pages);
            };
            const double each = a_page(spent.pin);
            first = gigabytes == 1 ? each : first;
            linear = linear && each < first * 1.05;
            fmt::print("| {} | {} GiB | {} | {:.3f} | {:.3f} | {} | {} |\n", kind.name, gigabytes,
                       spent.pin, each, a_page(spent.unpin), spent.runs, spent.bookkeeping);
        }
    }
    return linear;
}

void print_milliseconds() {
    fmt::print("| memory | pinned in one call | milliseconds | unpin |\n|---|---:|---:|---:|\n");
    for (const device_kind& kind : devices) {
        const guest::mapping memory = map_whole(kind);
        const cost spent = measure(memory, kind.gigabytes * GiB);
        fmt::print("| {} | {} GiB | {:.1f} | {:.1f} |\n", kind.name, kind.gigabytes,
                   static_cast<double>(spent.pin) / 1e6, static_cast<double>(spent.unpin) / 1e6);
    }
}

int run(int argc, char** argv) {
    CLI::App app("What it costs to pin more than there is RAM, in one call.");
    bool milliseconds = false;
    app.add_flag("--milliseconds", milliseconds,
                 "time it, in a guest whose clock is no count of instructions");
    CLI11_PARSE(app, argc, argv);
    if (milliseconds) {
        print_milliseconds();
    } else if (!print_instructions()) {
        fmt::print(stderr, "large_bench: a page costs more the more there are\n");
        return 1;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& failure) {
        fmt::print(stderr, "large_bench: {}\n", failure.what());
    }
    return 1;
}
