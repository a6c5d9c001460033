// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/inventory.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace longpin::detail {

/// longpin::find_holders(), of the processes below \p proc.
std::vector<holder> find_holders(const std::filesystem::path& proc,
                                 std::optional<std::uint32_t> context);

} // namespace longpin::detail
