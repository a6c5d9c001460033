// SPDX-License-Identifier: MIT
#include "fit_text.hpp"

#include <cwchar>
#include <deque>

namespace pinpin {

namespace {

struct character {
    std::string_view bytes = "?";
    std::size_t columns = 1;
};

std::deque<character> characters_of(std::string_view text) {
    std::deque<character> result;
    while (!text.empty()) {
        wchar_t wide = 0;
        std::mbstate_t state{};
        const std::size_t length = std::mbrtowc(&wide, text.data(), text.size(), &state);
        const bool is_character = length > 0 && length <= text.size();
        const int columns = is_character ? ::wcwidth(wide) : -1;
        result.push_back(columns < 0 ? character{}
                                     : character{.bytes = text.substr(0, length),
                                                 .columns = static_cast<std::size_t>(columns)});
        text.remove_prefix(is_character ? length : 1);
    }
    return result;
}

std::size_t columns_of(const std::deque<character>& characters) {
    std::size_t result = 0;
    for (const character& one : characters) {
        result += one.columns;
    }
    return result;
}

} // namespace

std::size_t columns_of(std::string_view text) {
    return columns_of(characters_of(text));
}

std::string fit(std::string_view text, std::size_t columns, const fitting& how) {
    static constexpr std::string_view mark = "...";
    std::deque<character> characters = characters_of(text);
    std::size_t taken = columns_of(characters);
    std::string result;
    if (how.keep_end && taken > columns && columns > mark.size()) {
        result = mark;
        taken += mark.size();
    }
    while (taken > columns) {
        taken -= how.keep_end ? characters.front().columns : characters.back().columns;
        if (how.keep_end) {
            characters.pop_front();
        } else {
            characters.pop_back();
        }
    }
    for (const character& one : characters) {
        result += one.bytes;
    }
    result.insert(how.to_the_right ? 0 : result.size(), columns - taken, ' ');
    return result;
}

} // namespace pinpin
