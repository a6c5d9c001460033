// SPDX-License-Identifier: MIT
// Colours, for people who look.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

namespace pinpin {

enum class emphasis { none, heading, good, warning, bad };

/// Whether what is printed there may have colours: on a terminal that isn't dumb, unless NO_COLOR
/// is set and not empty (https://no-color.org).
bool has_colours(const std::ostream& out);

/// The text with the terminal's codes around it, if \p coloured.
std::string painted(std::string_view text, emphasis how, bool coloured);

/// A sentence as wrapped() gives it, painted up to its first colon.
std::string wrapped(std::string_view sentence, emphasis lead, bool coloured, std::size_t width = 0);

} // namespace pinpin
