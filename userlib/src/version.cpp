// SPDX-License-Identifier: MIT
#include <longpin/version.hpp>

namespace longpin {

std::string_view version() noexcept {
    return LONGPIN_VERSION;
}

} // namespace longpin
