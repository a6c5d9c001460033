// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace longpin {

/// Writes a number of bytes for people: "64 MiB", "4100 KiB", "1.46 GiB". Exact
/// wherever a short number is: only what has no short exact form is rounded, to two
/// decimals.
LONGPIN_EXPORT std::string format_size(std::uint64_t bytes);

/// Reads a number of bytes as people write it: decimal or 0x hexadecimal digits, then
/// nothing or one of k, M, G, T (powers of 1024, either case), which "iB" or "B" may
/// follow: "4096", "0x1000", "64M", "64MiB". Empty for anything else, and for what
/// does not fit into 64 bits.
LONGPIN_EXPORT std::optional<std::uint64_t> parse_size(std::string_view text);

} // namespace longpin
