// SPDX-License-Identifier: MIT
#include "figure_tables.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <utility>

namespace bench {

namespace {

/// Each once, in the order in which they come.
std::vector<std::string> distinct(const figures& all, std::string pin_figure::*member) {
    std::vector<std::string> values;
    for (const pin_figure& pin : all.pins) {
        if (std::ranges::find(values, pin.*member) == values.end()) {
            values.push_back(pin.*member);
        }
    }
    return values;
}

/// Three digits: figures repeat to about that.
std::string number(double value) {
    if (value >= 100) {
        return fmt::format("{:.0f}", value);
    }
    return value >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string cell(const pin_figure& pin) {
    return pin.refused.empty() ? number(pin.pin) + " / " + number(pin.unpin) : "refused";
}

// ---- tables

void print_pins(const figures& all) {
    const std::vector<std::string> pinners = distinct(all, &pin_figure::by);
    fmt::print("| memory | pinned at a time | {} |\n|:---|:---|{}\n", fmt::join(pinners, " | "),
               fmt::join(std::vector<std::string>(pinners.size(), "---:|"), ""));
    for (const std::string& memory : distinct(all, &pin_figure::memory)) {
        for (const std::string& size : distinct(all, &pin_figure::size)) {
            std::vector<std::string> cells;
            for (const pin_figure& pin : all.pins) {
                if (pin.memory == memory && pin.size == size) {
                    cells.push_back(cell(pin));
                }
            }
            if (!cells.empty()) {
                fmt::print("| {} | {} | {} |\n", memory, size, fmt::join(cells, " | "));
            }
        }
    }
}

/// What longpin wants to reach, pinning 1 GiB.
struct target {
    const char* memory;
    double pin;
    double unpin;
    bool times_floor; ///< the limits are multiples of the floor's figures
};

// clang-format off: a table
constexpr target targets[] = {
    {small_pages, 1.03, 1.03, true}, {thp, 3, 0.5, false},        {hugetlb_2m, 3, 0.5, false},
    {hugetlb_1g, 0.1, 0.1, false},   {device_dax, 4, 0.5, false}, {fs_dax, 1.1, 1.1, true},
};
// clang-format on

const char* verdict(bool met) {
    return met ? "yes" : "no";
}

void print_targets(const figures& all) {
    fmt::print("| longpin's target | limit | measured | met |\n|:---|---:|---:|:---|\n");
    for (const target& wanted : targets) {
        pin_figure reached = all.of(wanted.memory, many_pages, longpin_name);
        if (wanted.times_floor) {
            const pin_figure& floor = all.of(wanted.memory, many_pages, floor_name);
            reached.pin /= floor.pin;
            reached.unpin /= floor.unpin;
        }
        fmt::print("| {}, pin / unpin{} | {} / {} | {:.2f} / {:.2f} | {} |\n", wanted.memory,
                   wanted.times_floor ? ", times the floor" : "", wanted.pin, wanted.unpin,
                   reached.pin, reached.unpin,
                   verdict(reached.pin <= wanted.pin && reached.unpin <= wanted.unpin));
    }
    for (const auto& [peer, limit] : {std::pair(io_uring_name, 1.0), std::pair(rdma_name, 1.15)}) {
        const auto both = [&](const char* by) {
            const pin_figure& pin = all.of(small_pages, one_page, by);
            return pin.pin + pin.unpin;
        };
        const double ratio = both(longpin_name) / both(peer);
        fmt::print("| one page, pin and unpin, times {}'s | {} | {:.2f} | {} |\n", peer, limit,
                   ratio, verdict(ratio <= limit));
    }
}

void print_others(const figures& all) {
    fmt::print("| longpin | |\n|:---|---:|\n");
    for (const other_figure& other : all.others) {
        fmt::print("| {} | {} |\n", other.what, other.value);
    }
}

// ---- the chart's data: for pin and unpin a block, with a line a memory and a column a pinner

void print_block(const figures& all, double pin_figure::*member) {
    const std::vector<std::string> pinners = distinct(all, &pin_figure::by);
    fmt::print("memory\t{}\n", fmt::join(pinners, "\t"));
    for (const std::string& memory : distinct(all, &pin_figure::memory)) {
        fmt::print("{}", memory);
        for (const std::string& by : pinners) {
            const pin_figure& pin = all.of(memory, many_pages, by);
            fmt::print("\t{}", pin.refused.empty() ? fmt::format("{}", pin.*member) : "?");
        }
        fmt::print("\n");
    }
}

// ---- two runs

std::string compared(const std::optional<double>& before, const std::optional<double>& now) {
    const auto text = [](const std::optional<double>& value) {
        return value ? number(*value) : "refused";
    };
    const bool ratio = before && now && *before > 0;
    return fmt::format("{} | {} | {}", text(before), text(now),
                       ratio ? fmt::format("{:.3f}", *now / *before) : "");
}

} // namespace

void print_tables(const figures& all) {
    print_pins(all);
    fmt::print("\n");
    print_targets(all);
    fmt::print("\n");
    print_others(all);
}

void print_data(const figures& all) {
    print_block(all, &pin_figure::pin);
    fmt::print("\n\n");
    print_block(all, &pin_figure::unpin);
}

void print_comparison(const figures& base, const figures& last) {
    fmt::print("| figure | base ({}) | last ({}) | ratio |\n|:---|---:|---:|---:|\n", base.kernel,
               last.kernel);
    const auto before = base.by_name();
    const auto now = last.by_name();
    for (const auto& [name, value] : now) {
        if (const auto was = before.find(name); was != before.end()) {
            fmt::print("| {} | {} |\n", name, compared(was->second, value));
        } else {
            fmt::print("| {} | not measured | {} | |\n", name, value ? number(*value) : "refused");
        }
    }
    for (const auto& [name, value] : before) {
        if (!now.contains(name)) {
            fmt::print("| {} | {} | not measured | |\n", name, value ? number(*value) : "refused");
        }
    }
}

} // namespace bench
