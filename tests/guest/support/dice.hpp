// SPDX-License-Identifier: MIT
// Chance that can be repeated.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

namespace guest {

/// Random numbers, the same for the same seed.
class dice {
public:
    explicit dice(unsigned seed) : engine_(seed) {}

    /// \p least to \p most.
    template <typename Number = std::uint32_t>
    Number number(std::uint32_t least, std::uint32_t most) {
        return static_cast<Number>(
            std::uniform_int_distribution<std::uint32_t>(least, most)(engine_));
    }

    /// True once in so many times.
    bool once_in(std::uint32_t times) { return number(1, times) == 1; }

    template <typename Range>
    auto& one_of(Range&& range) {
        return range[number<std::size_t>(0, static_cast<std::uint32_t>(std::size(range) - 1))];
    }

    std::vector<std::byte> some(std::size_t count) {
        std::vector<std::byte> made(count);
        std::ranges::generate(made, [&] { return std::byte{number<std::uint8_t>(0, 255)}; });
        return made;
    }

private:
    std::minstd_rand engine_;
};

/// The seed that LONGPIN_FUZZ_SEED in the environment chooses, or else that one. The guest's
/// environment has what its kernel command line has (qemu/run --append LONGPIN_FUZZ_SEED=1).
inline unsigned fuzz_seed(unsigned otherwise = std::random_device()()) {
    const char* const chosen = std::getenv("LONGPIN_FUZZ_SEED");
    return chosen != nullptr ? static_cast<unsigned>(std::strtoul(chosen, nullptr, 0)) : otherwise;
}

} // namespace guest
