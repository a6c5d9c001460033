// SPDX-License-Identifier: MIT
// Text in the columns of a terminal. Which characters there are, and how wide, the locale tells
// (setlocale).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pinpin {

/// How many columns a text takes.
std::size_t columns_of(std::string_view text);

/// How a text is put into columns.
struct fitting {
    bool to_the_right = false; ///< blanks stand before it
    bool keep_end = false;     ///< if it is too long, "..." stands for its beginning
};

/// A text in exactly that many columns: cut, or filled with blanks. What the locale can't show
/// becomes '?'.
std::string fit(std::string_view text, std::size_t columns, const fitting& how = {});

} // namespace pinpin
