// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/extent.hpp>
#include <longpin/result.hpp>

namespace longpin::detail {

/// LONGPIN_EXTENTS: lists extents of the pin \p handle from \p offset on, as many as
/// \p buffer has room for. An answer tells at least one extent
/// of the pin's \p length, unless the kernel took all the rest of a lease back.
result<extent_page> list_extents(const open_file& file, std::uint32_t handle, std::uint64_t length,
                                 std::uint64_t offset, std::span<extent> buffer);

} // namespace longpin::detail
