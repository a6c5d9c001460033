// SPDX-License-Identifier: MIT
#include "colour.hpp"

#include "output.hpp"

#include <fmt/color.h>

#include <cstdlib>

#include <unistd.h>

namespace pinpin {

namespace {

fmt::text_style style(emphasis how) {
    switch (how) {
    case emphasis::heading: return fmt::emphasis::bold;
    case emphasis::good: return fmt::fg(fmt::terminal_color::green);
    case emphasis::warning: return fmt::fg(fmt::terminal_color::yellow);
    case emphasis::bad: return fmt::fg(fmt::terminal_color::red);
    case emphasis::none: break;
    }
    return {};
}

// Of the environment: no other thread changes it.
std::string_view variable(const char* name) {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe)
    return value != nullptr ? value : "";
}

} // namespace

bool has_colours(const std::ostream& out) {
    return ::isatty(descriptor_of(out)) == 1 && variable("NO_COLOR").empty() &&
           variable("TERM") != "dumb";
}

std::string painted(std::string_view text, emphasis how, bool coloured) {
    return coloured && how != emphasis::none ? fmt::format(style(how), "{}", text)
                                             : std::string(text);
}

std::string wrapped(std::string_view sentence, emphasis lead, bool coloured, std::size_t width) {
    const std::string text = wrapped(sentence, width);
    const std::size_t behind = text.find(':') + 1; // 0: there is no lead
    return painted(text.substr(0, behind), behind > 0 ? lead : emphasis::none, coloured) +
           text.substr(behind);
}

} // namespace pinpin
