// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>

#include <string_view>

namespace longpin {

/// The version of the library in use, "1.2.3". That of the module is in
/// device::info().
LONGPIN_EXPORT std::string_view version() noexcept;

} // namespace longpin
