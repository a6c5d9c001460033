// SPDX-License-Identifier: MIT
#include <longpin/size.hpp>

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

namespace longpin {

namespace {

constexpr std::uint64_t step = 1024;

} // namespace

std::string format_size(std::uint64_t bytes) {
    static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    static constexpr std::uint64_t short_number = 100'000;

    std::uint64_t scale = 1;
    std::size_t unit = 0;
    for (; bytes / scale >= step; ++unit) {
        scale *= step;
    }
    if (bytes % scale == 0) {
        return fmt::format("{} {}", bytes / scale, units.at(unit));
    }
    const std::uint64_t finer = scale / step;
    if (bytes % finer == 0 && bytes / finer < short_number) {
        return fmt::format("{} {}", bytes / finer, units.at(unit - 1));
    }
    return fmt::format("{:.2f} {}", static_cast<double>(bytes) / static_cast<double>(scale),
                       units.at(unit));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    if (hexadecimal) {
        text.remove_prefix(2);
    }
    std::uint64_t number = 0;
    const auto [rest, failure] =
        std::from_chars(text.data(), text.data() + text.size(), number, hexadecimal ? 16 : 10);
    if (failure != std::errc{}) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    if (text.empty()) {
        return number;
    }

    static constexpr std::string_view letters = "kKmMgGtT"; // a pair for each power
    const std::size_t letter = letters.find(text.front());
    const std::string_view ending = text.substr(1);
    if (letter == std::string_view::npos || !(ending.empty() || ending == "B" || ending == "iB")) {
        return std::nullopt;
    }
    const std::size_t shift = 10 * (letter / 2 + 1);
    if (number > std::numeric_limits<std::uint64_t>::max() >> shift) {
        return std::nullopt;
    }
    return number << shift;
}

} // namespace longpin
