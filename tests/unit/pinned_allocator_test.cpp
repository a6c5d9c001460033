// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"

#include <longpin/pinned_allocator.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <limits>
#include <list>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

using longpin::pinned_allocator;

namespace {

using pinned_vector = std::vector<int, pinned_allocator<int>>;

} // namespace

TEST_CASE("A vector's elements are in pinned memory, for as long as it has them") {
    const fake_kernel kernel;
    const pinned_allocator<int> allocator(fake_kernel::open(), {.cookie = 3});
    {
        pinned_vector numbers(1000, 7, allocator);
        CHECK(kernel.pins.size() == 1);
        const longpin::pin& pin = allocator.pin_of(numbers.data());
        CHECK(pin.address() == reinterpret_cast<std::uintptr_t>(numbers.data()));
        CHECK(pin.length() == 1000 * sizeof(int));
        CHECK(pin.query().cookie == 3);
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("A vector that grows takes its elements along, and ends the old pin") {
    const fake_kernel kernel;
    pinned_vector numbers{pinned_allocator<int>(fake_kernel::open())};
    for (int i = 0; i < 10000; ++i) {
        numbers.push_back(i);
        REQUIRE(kernel.pins.size() == 1);
    }
    CHECK(std::accumulate(numbers.begin(), numbers.end(), 0) == 49995000);
}

TEST_CASE("Vectors are copied, moved and swapped with their allocators") {
    const fake_kernel kernel;
    pinned_vector first(10, 1, pinned_allocator<int>(fake_kernel::open()));
    pinned_vector other(20, 2, pinned_allocator<int>(fake_kernel::open()));
    const int* const old = other.data();
    CHECK(first.get_allocator() != other.get_allocator());

    const pinned_vector copy = first;
    CHECK(copy.get_allocator() == first.get_allocator());
    CHECK(kernel.pins.size() == 3);

    swap(first, other);
    CHECK(first.data() == old);
    other = std::move(first);
    CHECK(other.data() == old);
    CHECK(other.get_allocator().pin_of(old));
    CHECK(kernel.pins.size() == 2);
}

TEST_CASE(
    "Allocators for other elements, as containers make them, are equal and share the memory") {
    const fake_kernel kernel;
    const pinned_allocator<int> ints(fake_kernel::open());
    const pinned_allocator<double> doubles(ints);
    CHECK(doubles == ints);
    CHECK(ints == pinned_allocator<int>(doubles));
    {
        const std::list<int, pinned_allocator<int>> nodes({1, 2, 3}, ints);
        CHECK(kernel.pins.size() == 3);
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("An allocation that is refused throws the reason and changes nothing") {
    fake_kernel kernel;
    pinned_vector numbers(10, 1, pinned_allocator<int>(fake_kernel::open()));
    kernel.fail(LONGPIN_PIN, ENOMEM, {.why = longpin::reason::memlock});
    CHECK_THROWS_AS(numbers.reserve(1000), longpin::error);
    CHECK(std::accumulate(numbers.begin(), numbers.end(), 0) == 10);
    CHECK(kernel.pins.size() == 1);
}

TEST_CASE("More elements than there are bytes are refused without asking the kernel") {
    const fake_kernel kernel;
    pinned_allocator<std::uint64_t> allocator(fake_kernel::open());
    CHECK_THROWS_AS(allocator.allocate(std::numeric_limits<std::size_t>::max() / 8 + 1),
                    std::bad_array_new_length);
    CHECK(kernel.calls.empty());
}

TEST_CASE("The pin of memory from elsewhere is not there") {
    const fake_kernel kernel;
    const pinned_allocator<int> allocator(fake_kernel::open());
    const int elsewhere = 0;
    CHECK_THROWS_AS(allocator.pin_of(&elsewhere), std::out_of_range);
}

TEST_CASE("An allocator of a device that was moved from can't be made") {
    const fake_kernel kernel;
    longpin::device device = fake_kernel::open();
    const longpin::device other = std::move(device);
    CHECK_THROWS_AS(pinned_allocator<int>(device), std::logic_error); // NOLINT: on purpose
}
