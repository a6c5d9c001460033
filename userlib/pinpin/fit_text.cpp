// SPDX-License-Identifier: MIT
#include "fit_text.hpp"

#include <cwchar>

namespace pinpin {

namespace {

struct character {
    std::string_view bytes = "?";
    std::size_t columns = 1;
};

// Takes the first character off a text that is not empty.
character take(std::string_view& text) {
    std::size_t length = 1;
    int columns = 1;
    if (text.front() < ' ' || text.front() > '~') { // the others need no locale, which is slow
        wchar_t wide = 0;
        std::mbstate_t state{};
        length = std::mbrtowc(&wide, text.data(), text.size(), &state);
        const bool is_character = length > 0 && length <= text.size();
        length = is_character ? length : 1;
        columns = is_character ? ::wcwidth(wide) : -1;
    }
    const std::string_view bytes = text.substr(0, length);
    text.remove_prefix(length);
    return columns < 0 ? character{}
                       : character{.bytes = bytes, .columns = static_cast<std::size_t>(columns)};
}

std::string start_of(std::string_view text, std::size_t columns) {
    std::string result;
    while (!text.empty()) {
        const character one = take(text);
        if (one.columns > columns) {
            break;
        }
        columns -= one.columns;
        result += one.bytes;
    }
    return result;
}

} // namespace

std::size_t columns_of(std::string_view text) {
    std::size_t result = 0;
    while (!text.empty()) {
        result += take(text).columns;
    }
    return result;
}

std::string end_of(std::string_view text, std::size_t columns) {
    static constexpr std::string_view mark = "...";
    std::size_t taken = columns_of(text);
    std::string result;
    if (taken > columns && columns > mark.size()) {
        result = mark;
        taken += mark.size();
    }
    while (taken > columns) {
        taken -= take(text).columns;
    }
    while (!text.empty()) {
        result += take(text).bytes;
    }
    return result;
}

std::string fit(std::string_view text, std::size_t columns, const fitting& how) {
    std::string result = how.keep_end ? end_of(text, columns) : start_of(text, columns);
    result.insert(how.to_the_right ? 0 : result.size(), columns - columns_of(result), ' ');
    return result;
}

} // namespace pinpin
