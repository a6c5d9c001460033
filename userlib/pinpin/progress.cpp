// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include <sys/mman.h>
#include <unistd.h>

namespace pinpin {

namespace {

using namespace std::chrono;

constexpr std::size_t cells = 30;
constexpr milliseconds patience(500); // before there is something to see

long seconds_since(steady_clock::time_point start) {
    return duration_cast<seconds>(steady_clock::now() - start).count();
}

void erase_line() {
    fmt::print(stderr, "\r\033[K");
}

// A '#' for each cell whose first page is in memory, a '.' for the others.
std::string draw_bar(std::span<std::byte> range) {
    const auto page_size = static_cast<std::size_t>(::getpagesize());
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): to find the page's start
    const std::size_t into_page = reinterpret_cast<std::uintptr_t>(range.data()) % page_size;
    std::byte* const first_page = range.data() - into_page; // NOLINT(*-pointer-arithmetic)
    std::string bar;
    for (std::size_t cell = 0; cell < cells; ++cell) {
        const std::size_t page = (into_page + range.size() / cells * cell) / page_size;
        unsigned char is_there = 0;
        std::byte* const sample = first_page + page * page_size; // NOLINT(*-pointer-arithmetic)
        bar += ::mincore(sample, 1, &is_there) == 0 && (is_there & 1U) != 0 ? '#' : '.';
    }
    return bar;
}

void draw(const std::stop_token& stop, const std::string& activity, std::span<std::byte> range) {
    const auto start = steady_clock::now();
    const bool was_there = draw_bar(range).find('.') == std::string::npos;
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    bool drawn = false;
    while (!stopped.wait_for(lock, stop, patience, [&] { return stop.stop_requested(); })) {
        fmt::print(stderr, "\r{} {}: {}{} s ", activity, longpin::format_size(range.size()),
                   was_there ? "" : fmt::format("in memory [{}] ", draw_bar(range)),
                   seconds_since(start));
        drawn = true;
    }
    if (drawn) {
        erase_line();
    }
}

} // namespace

progress::progress(const std::string& activity, std::span<std::byte> range) {
    if (::isatty(STDERR_FILENO) == 1) {
        drawer_ = std::jthread(draw, activity, range);
    }
}

measured_progress::measured_progress(std::string activity)
    : activity_(std::move(activity)), terminal_(::isatty(STDERR_FILENO) == 1) {}

measured_progress::~measured_progress() {
    if (drawn_) {
        erase_line();
    }
}

void measured_progress::update(std::uint64_t done, std::uint64_t total) {
    if (!terminal_ || steady_clock::now() - start_ < patience) {
        return;
    }
    const double part = static_cast<double>(done) / static_cast<double>(total);
    const auto full = static_cast<std::size_t>(part * static_cast<double>(cells));
    fmt::print(stderr, "\r{}: [{:.<{}}] {:3.0f}% {} s ", activity_, std::string(full, '#'), cells,
               part * 100, seconds_since(start_));
    drawn_ = true;
}

} // namespace pinpin
