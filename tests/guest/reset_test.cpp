// SPDX-License-Identifier: MIT
// The machine is reset at any moment: device-DAX has what the last COPY left that was completed and
// flushed. Hidden, as it ends the guest: it runs in one of its own, boot after boot (qemu/run
// --resets), until it has been seen often enough.
#include "support/child.hpp"
#include "support/dice.hpp"
#include "support/mapping.hpp"
#include "support/system_state.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <emmintrin.h>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t slot_size = 64 * page;
constexpr std::uint64_t magic = 0x6c6f6e6770696e31;
constexpr std::uint64_t wanted_resets = 5;

/// In the first page of the device.
struct journal {
    std::uint64_t magic;
    std::uint64_t resets;
    std::uint64_t completed; ///< the last write; it is in slot completed % 2
};

void flush(const std::byte* from, std::size_t length) {
    for (std::size_t i = 0; i < length; i += 64) {
        _mm_clflush(from + i);
    }
    _mm_mfence();
}

/// Writes one slot after the other through the pin, and tells in the journal when one is complete.
void write_for_ever(const raw_device& device, const mapping& memory, std::uint32_t handle,
                    std::uint64_t completed) {
    const mapping source = mapping::anonymous(slot_size);
    for (std::uint64_t number = completed + 1;; number++) {
        const std::size_t slot = page + number % 2 * slot_size;
        source.fill(number);
        must(device.write(handle, slot, source.data(), slot_size) == 0, "COPY");
        flush(memory.at(slot), slot_size);
        must(device.write(handle, offsetof(journal, completed), &number, sizeof(number)) == 0,
             "COPY");
        flush(memory.data(), sizeof(journal));
    }
}

} // namespace

TEST_CASE("reset: device-DAX has what was completed and flushed", "[.reset]") {
    const raw_device device;
    const mapping memory = map_devdax("devdax_4k", 4 * MiB);
    auto* const is = memory.as<journal>();
    if (is->magic != magic) {
        *is = {magic, 0, 0};
    } else {
        is->resets++;
        std::printf("after reset %llu: write %llu was completed\n",
                    static_cast<unsigned long long>(is->resets),
                    static_cast<unsigned long long>(is->completed));
        std::fflush(stdout);
        REQUIRE(is->completed > 0);
        REQUIRE(has_pattern(memory.at(page + is->completed % 2 * slot_size), slot_size, 0,
                            is->completed));
    }
    flush(memory.data(), sizeof(journal));
    if (is->resets == wanted_resets) {
        return;
    }
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE);
    const child writer([&] { write_for_ever(device, memory, handle, is->completed); });
    must(eventually([&] { return is->completed > 20 * (is->resets + 1); }), "writes");
    ::usleep(dice(static_cast<unsigned>(is->resets) + 1).number(0, 50000));
    write_line("/proc/sysrq-trigger", "b");
    ::pause();
}
