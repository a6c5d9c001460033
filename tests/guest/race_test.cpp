// SPDX-License-Identifier: MIT
// Another thread changes the mapping while it is being pinned: whatever the outcome is, no page
// is pinned that may not be, and none is left behind.
#include "support/bpf_array.hpp"
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/page_table.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t length = 2 * MiB;

/// Where mappings go that replace each other: aligned as device-DAX wants it.
class arena {
public:
    arena() : memory_(mapping::anonymous(2 * length)) {
        const auto start = reinterpret_cast<std::uintptr_t>(memory_.data());
        address_ = memory_.at((start + length - 1) / length * length - start);
    }

    [[nodiscard]] std::byte* address() const { return address_; }

    void map(int flags, int descriptor = -1) const {
        if (::mmap(address_, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED, descriptor, 0) ==
            MAP_FAILED) {
            throw std::runtime_error("mmap");
        }
    }

private:
    mapping memory_;
    std::byte* address_;
};

struct tally {
    int pinned = 0, refused = 0, unexpected = 0;
};

bool both_outcomes(const tally& seen) {
    return seen.pinned >= 100 && seen.refused >= 100;
}

/// Pins for writing over and over while a thread puts anonymous memory and a file's mapping into
/// the place by turns, until \p enough of the outcomes were seen, or for 20 s. \p check looks at
/// each pin that succeeded.
template <typename Check>
tally race(const raw_device& device, int descriptor, const Check& check,
           const std::function<bool(const tally&)>& enough = both_outcomes) {
    const arena place;
    std::atomic<bool> done = false;
    std::thread flipper([&] {
        std::minstd_rand random(1);
        const auto dwell = [&] { // or the two threads fall into step
            for (auto spins = random() % 20000; spins > 0; spins--) {
                std::atomic_signal_fence(std::memory_order_seq_cst);
            }
        };
        while (!done) {
            place.map(MAP_SHARED, descriptor);
            dwell();
            place.map(MAP_PRIVATE | MAP_ANONYMOUS);
            dwell();
        }
    });
    tally result;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!enough(result) && std::chrono::steady_clock::now() < deadline) {
        longpin_pin answer{};
        const int err = device.pin(place.address(), length, LONGPIN_PIN_WRITE, answer);
        if (err == 0) {
            check(answer);
            if (device.unpin(answer.out_handle) != 0) {
                result.unexpected++;
            }
            result.pinned++;
        } else if (err == EOPNOTSUPP || err == EAGAIN) {
            result.refused++;
        } else {
            result.unexpected++;
        }
    }
    done = true;
    flipper.join();
    return result;
}

constexpr char mark = 'm';

/// A race in which marks are written through each pin that succeeds.
void race_with_writes(const raw_device& device, const file& mapped) {
    const std::vector<char> marks(length, mark);
    int written = 0;
    const tally result = race(device, mapped.get(), [&](const longpin_pin& answer) {
        written += static_cast<int>(device.write(answer.out_handle, 0, marks.data(), length) == 0);
    });
    CHECK(written == result.pinned);
    CHECK(result.pinned > 0);
    CHECK(result.refused > 0);
    CHECK(result.unexpected == 0);
    CHECK(vm_pin() == 0);
}

} // namespace

TEST_CASE("race: a file mapped in the middle of a pin is never written through the pin") {
    const raw_device device;
    const file data = temporary_file(backing("ext4"), length);
    const long held_before = pinned_pages();
    std::vector<char> content(length);
    race_with_writes(device, data);
    REQUIRE(::pread(data.get(), content.data(), length, 0) == static_cast<ssize_t>(length));
    CHECK(std::memchr(content.data(), mark, length) == nullptr);
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("race: a driver's pages are never pinned for writing, though they come in the middle") {
    const raw_device device;
    const file array = mappable_array(length);
    race_with_writes(device, array);
    const mapping content(length, PROT_READ, MAP_SHARED, array.get());
    CHECK(std::memchr(content.data(), mark, length) == nullptr);
}

TEST_CASE("race: fs-DAX mapped in the middle of a pin is never pinned") {
    const raw_device device;
    const file data = temporary_file(backing("xfs_dax"), length);
    const long held_before = pinned_pages();
    int with_dax = 0;
    const tally result = race(device, data.get(), [&](const longpin_pin& answer) {
        with_dax += static_cast<int>(answer.out_kinds != LONGPIN_KIND_ANON);
    });
    CHECK(with_dax == 0);
    CHECK(result.pinned > 0);
    CHECK(result.refused > 0);
    CHECK(result.unexpected == 0);
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("race: device-DAX mapped in the middle of a pin is held as device-DAX", "[devdax]") {
    const raw_device device;
    const file dax = open_file(backing("devdax_2m"), O_RDWR);
    const long held_before = pinned_pages();
    int with_dax = 0;
    int without = 0;
    const tally result = race(
        device, dax.get(),
        [&](const longpin_pin& answer) {
            (answer.out_kinds & LONGPIN_KIND_DEVDAX ? with_dax : without)++;
        },
        [&](const tally&) { return with_dax >= 100 && without >= 100; });
    CHECK(with_dax > 0);
    CHECK(without > 0);
    CHECK(result.unexpected == 0);
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
    // That the device is not held any more is shown when it is unbound, after the run.
}

TEST_CASE("race: device-DAX that comes where ordinary memory was when the pin began", "[devdax]") {
    constexpr std::size_t ordinary = 16 * length;
    const raw_device device;
    const file dax = open_file(backing("devdax_4k"), O_RDWR);
    const long held_before = pinned_pages();
    int in_time = 0;
    for (int round = 0; round < 50 && in_time < 10; round++) {
        const mapping memory = mapping::advised(ordinary + length, MADV_NOHUGEPAGE);
        bool replaced = false;
        // Pinning touches the memory: so one sees how far it is.
        std::thread replacing([&] {
            const page_table table;
            while (table.physical_address(memory.data()) == 0) {
            }
            replaced = ::mmap(memory.at(ordinary), length, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_FIXED, dax.get(), 0) != MAP_FAILED;
        });
        longpin_pin answer{};
        const int err = device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE, answer);
        replacing.join();
        REQUIRE(replaced);
        REQUIRE(err == 0);
        in_time += (answer.out_kinds & LONGPIN_KIND_DEVDAX) != 0 ? 1 : 0;
        REQUIRE(device.unpin(answer.out_handle) == 0);
        REQUIRE(pinned_pages() == held_before);
    }
    CHECK(in_time == 10);
}
