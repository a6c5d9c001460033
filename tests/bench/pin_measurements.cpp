// SPDX-License-Identifier: MIT
#include "pin_measurements.hpp"

#include "instructions.hpp"
#include "memories.hpp"

#include "../guest/support/lease.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <stdexcept>
#include <sys/utsname.h>
#include <system_error>
#include <vector>

namespace bench {

namespace {

using guest::mapping;

/// How a mapping is divided into what is pinned.
struct size_kind {
    const char* name;
    std::size_t ranges;
    std::size_t length; ///< of each
    std::size_t stride; ///< from one to the next
    int tries;
};

// clang-format off: a table
constexpr size_kind large_sizes[] = {
    {some_pages, 1, 64 * guest::MiB, 0, 5},
    {many_pages, 1, guest::GiB, 0, 2},
};
constexpr size_kind small_sizes[] = {
    {one_page, 1, guest::page, 0, 20},
    {separate_pages, 1024, guest::page, 2 * guest::page, 10},
};
// clang-format on

/// What was recorded once, and mustn't grow: a few figures of longpin that stand for the others.
struct {
    std::string_view memory;
    const size_kind* size;
} constexpr recorded[] = {
    {small_pages, &small_sizes[0]},
    {small_pages, &large_sizes[0]},
    {thp, &large_sizes[0]},
    {device_dax, &large_sizes[0]},
};

std::vector<iovec> ranges_of(const mapping& memory, const size_kind& size) {
    std::vector<iovec> ranges;
    for (std::size_t i = 0; i < size.ranges; i++) {
        ranges.push_back({memory.at(i * size.stride), size.length});
    }
    return ranges;
}

/// Three digits after the point: figures are compared as they are written.
double a_page(std::uint64_t instructions, const size_kind& size) {
    static const std::uint64_t clock = least_instructions([] {});
    const std::size_t pages = size.ranges * size.length / guest::page;
    return std::round(static_cast<double>(instructions - clock) / static_cast<double>(pages) *
                      1000) /
           1000;
}

/// Only memory that some driver or file system has to agree to can be refused, and only by a peer.
bool may_refuse(const pinner_kind& who, const memory_kind& what) {
    return who.name != longpin_name && who.name != floor_name &&
           what.name.find("DAX") != std::string_view::npos;
}

pin_figure measure(const pinner_kind& who, const memory_kind& what, const mapping& memory,
                   const size_kind& size) {
    const std::unique_ptr<pinner> pinner = who.make(what.promised);
    const std::vector<iovec> ranges = ranges_of(memory, size);
    pin_figure figure{std::string(what.name), size.name, who.name};
    std::uint64_t pin = ~std::uint64_t{0};
    std::uint64_t unpin = pin;
    for (int i = 0; i < size.tries; i++) {
        int err = 0;
        pin = std::min(pin, instructions_awake([&] { err = pinner->pin(ranges); }));
        if (err != 0) {
            if (!may_refuse(who, what)) {
                throw std::system_error(err, std::generic_category(),
                                        figure.memory + ", " + figure.size + ", " + figure.by);
            }
            figure.refused = ::strerrorname_np(err);
            break;
        }
        unpin = std::min(unpin, instructions_awake([&] { pinner->unpin(); }));
    }
    if (figure.refused.empty()) {
        figure.pin = a_page(pin, size);
        figure.unpin = a_page(unpin, size);
    }
    fmt::print(stderr, "{:22} {:20} {:9} {}\n", figure.memory, figure.size, figure.by,
               figure.refused.empty() ? fmt::format("{:10.2f} {:10.2f}", figure.pin, figure.unpin)
                                      : figure.refused);
    return figure;
}

/// What the kernel keeps for a pin of 1 GiB.
void add_bookkeeping(const memory_kind& what, const mapping& memory, figures& all) {
    const guest::raw_device device;
    const std::uint32_t handle = device.must_pin(
        memory.data(), guest::GiB,
        what.promised == promise::revocable ? guest::leased_write : LONGPIN_PIN_WRITE);
    const longpin_query pin = guest::must_query(device, handle);
    const std::string of = fmt::format(" of 1 GiB of {}", what.name);
    all.others.push_back({"bytes of bookkeeping" + of, static_cast<double>(pin.out_bookkeeping)});
    all.others.push_back({"contiguous runs" + of, static_cast<double>(pin.out_runs)});
}

/// What each of many pins adds to the close of their file.
other_figure measure_close(const mapping& memory) {
    constexpr std::size_t pins = 100'000;
    guest::raw_device device;
    for (std::size_t i = 0; i < pins; i++) {
        device.must_pin(memory.at(i * guest::page % memory.length()), guest::page,
                        LONGPIN_PIN_WRITE);
    }
    const auto spent = static_cast<double>(instructions_awake([&] { device.close(); }));
    return {fmt::format("instructions a pin to close a file with {} pins", pins),
            std::round(spent / pins * 10) / 10};
}

/// nr_hugepages: so many at boot would take them from the other tests' guests too.
void reserve_huge_pages() {
    const char* const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    const int err = guest::write_line(pool, "512");
    if (err != 0 || guest::read_line(pool) != "512") {
        throw std::runtime_error("there is no 1 GiB of huge pages");
    }
}

figures no_figures_yet() {
    check_clock();
    utsname system{};
    ::uname(&system);
    return {system.release, {}, {}};
}

} // namespace

figures measure_pins(std::string_view wanted) {
    figures all = no_figures_yet();
    reserve_huge_pages();
    for (const memory_kind& what : memory_kinds()) {
        if (what.name.find(wanted) == std::string_view::npos) {
            continue;
        }
        const mapping memory = what.map(guest::GiB);
        const auto measure_sizes = [&](std::span<const size_kind> sizes) {
            for (const size_kind& size : sizes) {
                for (const pinner_kind& who : pinner_kinds()) {
                    all.pins.push_back(measure(who, what, memory, size));
                }
            }
        };
        measure_sizes(large_sizes);
        if (what.name == small_pages) {
            measure_sizes(small_sizes);
            all.others.push_back(measure_close(memory));
        }
        add_bookkeeping(what, memory, all);
    }
    return all;
}

figures measure_recorded_pins() {
    figures all = no_figures_yet();
    for (const auto& row : recorded) {
        const auto* const what =
            std::ranges::find(memory_kinds(), row.memory, &memory_kind::name).base();
        all.pins.push_back(
            measure(pinner_kinds().front(), *what, what->map(64 * guest::MiB), *row.size));
    }
    return all;
}

} // namespace bench
