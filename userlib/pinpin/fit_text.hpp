// SPDX-License-Identifier: MIT
// Text in the columns of a terminal. Which characters there are, and how wide, the locale tells
// (setlocale): run() sets it to UTF-8, and top to that of the terminal. What the locale can't show
// becomes '?' in what is cut or filled.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pinpin {

/// How many columns a text takes.
std::size_t columns_of(std::string_view text);

/// What is cut keeps that much: an address is never longer.
constexpr std::size_t least_columns = 18;

/// The end of a text in at most that many columns; "..." stands for its beginning. Of a path it
/// says more than the beginning.
std::string end_of(std::string_view text, std::size_t columns);

/// How a text is put into columns.
struct fitting {
    bool to_the_right = false; ///< blanks stand before it
    bool keep_end = false;     ///< if it is too long, end_of() it
};

/// A text in exactly that many columns: cut, or filled with blanks.
std::string fit(std::string_view text, std::size_t columns, const fitting& how = {});

} // namespace pinpin
