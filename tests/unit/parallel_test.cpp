// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"
#include "mapped.hpp"

#include <longpin/parallel.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20U;
constexpr std::size_t pages_in_piece = 2 * mebibyte / fake_kernel::page_size;

std::uint64_t address_of(const std::byte& byte) {
    return reinterpret_cast<std::uintptr_t>(&byte);
}

/// What the progress function was called with.
struct recorder {
    std::vector<std::uint64_t> done;
    std::vector<std::uint64_t> total;

    bool operator()(std::uint64_t pinned, std::uint64_t all) {
        done.push_back(pinned);
        total.push_back(all);
        return true;
    }
};

/// Whether the pins are of that range, one behind the other, and cut it at multiples of 2 MiB.
bool cover(const std::vector<longpin::pin>& pins, std::span<const std::byte> range) {
    std::uint64_t next = address_of(range.front());
    for (const longpin::pin& pin : pins) {
        const std::uint64_t end = pin.address() + pin.length();
        if (pin.address() != next ||
            (end % (2 * mebibyte) != 0 && end != address_of(range.back()) + 1)) {
            return false;
        }
        next = end;
    }
    return next == address_of(range.back()) + 1;
}

} // namespace

TEST_CASE("A range is pinned in pieces, which are in the order of their addresses") {
    const fake_kernel kernel;
    const mapped memory(8 * pages_in_piece);
    const longpin::device device = fake_kernel::open();
    const std::span<std::byte> range = memory.bytes().subspan(5, 15 * mebibyte);
    for (const unsigned threads : {0U, 1U, 2U, 4U, 1000U}) {
        std::vector<longpin::pin> pins = longpin::pin_parallel_writable(
            device, range, {.pins = {.cookie = 7}, .threads = threads});
        CHECK(pins.size() >= 8);
        CHECK(cover(pins, range));
        CHECK(kernel.pins.size() == pins.size());
        CHECK(std::ranges::all_of(pins, [](const longpin::pin& pin) {
            return pin.query().writable && pin.query().cookie == 7;
        }));
        pins.clear();
        CHECK(kernel.pins.empty());
    }
    CHECK_FALSE(longpin::pin_parallel(device, range).front().query().writable);
}

TEST_CASE("A range that is smaller than a piece is one pin, and an empty one is refused") {
    const fake_kernel kernel;
    const mapped memory(1);
    const longpin::device device = fake_kernel::open();
    CHECK(longpin::pin_parallel(device, memory.bytes()).size() == 1);
    const auto nothing = longpin::try_pin_parallel(device, {});
    REQUIRE_FALSE(nothing);
    CHECK(nothing.error().reason() == longpin::reason::zero_length);
}

TEST_CASE("Of pieces that are refused the first one is told of, and nothing stays pinned") {
    fake_kernel kernel;
    const mapped memory(16 * pages_in_piece);
    const longpin::device device = fake_kernel::open();
    const std::byte& first = memory.bytes()[9 * mebibyte];
    kernel.holes = {address_of(first), address_of(memory.bytes()[13 * mebibyte]),
                    address_of(memory.bytes()[20 * mebibyte])};
    for (int round = 0; round < 20; round++) {
        const auto pins = longpin::try_pin_parallel(device, memory.bytes(), {.threads = 4});
        REQUIRE_FALSE(pins);
        CHECK(pins.error().code().value() == EFAULT);
        CHECK(pins.error().reason() == longpin::reason::hole);
        CHECK(pins.error().bad_address() == address_of(first));
        CHECK(kernel.pins.empty());
    }
    CHECK_THROWS_AS(longpin::pin_parallel_writable(device, memory.bytes()), longpin::error);
    // Those behind it are not even tried, but for what was under way.
    kernel.calls.clear();
    CHECK_FALSE(longpin::try_pin_parallel(device, memory.bytes(), {.threads = 1}));
    CHECK(kernel.count(LONGPIN_PIN) <= 6);
}

TEST_CASE("The progress function is told of each piece, and of all of them at the end") {
    const fake_kernel kernel;
    const mapped memory(8 * pages_in_piece);
    const longpin::device device = fake_kernel::open();
    recorder seen;
    const auto pins =
        longpin::pin_parallel(device, memory.bytes(), {.threads = 4, .progress = std::ref(seen)});
    CHECK(seen.done.size() == pins.size());
    CHECK(std::ranges::is_sorted(seen.done, std::less_equal()));
    CHECK(seen.done.back() == memory.bytes().size());
    CHECK(std::ranges::count(seen.total, memory.bytes().size()) ==
          static_cast<std::ptrdiff_t>(pins.size()));
}

TEST_CASE("A progress function that returns false ends it, and nothing stays pinned") {
    const fake_kernel kernel;
    const mapped memory(8 * pages_in_piece);
    const longpin::device device = fake_kernel::open();
    int calls = 0;
    const auto give_up = [&](std::uint64_t, std::uint64_t) { return ++calls < 3; };
    const auto pins =
        longpin::try_pin_parallel(device, memory.bytes(), {.threads = 4, .progress = give_up});
    REQUIRE_FALSE(pins);
    CHECK(pins.error().code().value() == ECANCELED);
    CHECK(calls == 3);
    CHECK(kernel.pins.empty());
}

TEST_CASE("What the progress function throws comes out, and nothing stays pinned") {
    const fake_kernel kernel;
    const mapped memory(8 * pages_in_piece);
    const longpin::device device = fake_kernel::open();
    const auto fail = [](std::uint64_t done, std::uint64_t) -> bool {
        throw std::out_of_range(std::to_string(done));
    };
    CHECK_THROWS_AS(
        longpin::try_pin_parallel(device, memory.bytes(), {.threads = 4, .progress = fail}),
        std::out_of_range);
    CHECK(kernel.pins.empty());
}

TEST_CASE("One thread is the caller's, and others don't get the program's signals") {
    const fake_kernel kernel;
    const mapped memory(8 * pages_in_piece);
    const longpin::device device = fake_kernel::open();
    const auto caller = std::this_thread::get_id();
    bool mine = true;
    bool blocked = true;
    const auto look = [&](std::uint64_t, std::uint64_t) {
        sigset_t mask;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        const bool is_caller = std::this_thread::get_id() == caller;
        mine = mine && is_caller;
        blocked = blocked && (::sigismember(&mask, SIGUSR1) == 1) != is_caller;
        return true;
    };
    static_cast<void>(
        longpin::pin_parallel(device, memory.bytes(), {.threads = 1, .progress = look}));
    CHECK(mine);
    for (int round = 0; mine && round < 1000; round++) {
        static_cast<void>(
            longpin::pin_parallel(device, memory.bytes(), {.threads = 2, .progress = look}));
    }
    CHECK_FALSE(mine);
    CHECK(blocked);
}
