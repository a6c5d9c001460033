// SPDX-License-Identifier: MIT
#include "output.hpp"

#include "fit_text.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <iterator>
#include <sstream>
#include <system_error>

#include <sys/ioctl.h>
#include <unistd.h>

namespace pinpin {

namespace {

template <typename Value>
json or_null(const std::optional<Value>& value) {
    return value ? json(*value) : json(nullptr);
}

// What a table shows of a field that has no text of its own.
std::string value_to_text(const field& one) {
    const json& value = one.value;
    if (value.is_null()) {
        return "no limit"; // the only thing that a table may lack without saying how
    }
    if (one.shown_in == unit::bytes) {
        return longpin::format_size(value.get<std::uint64_t>());
    }
    if (one.shown_in == unit::address) {
        return fmt::format("{:#x}", value.get<std::uint64_t>());
    }
    if (one.shown_in == unit::seconds) {
        return format_age(value.get<double>());
    }
    if (value.is_boolean()) {
        return value.get<bool>() ? "yes" : "no";
    }
    if (value.is_array()) {
        return fmt::format("{}", fmt::join(value.get<std::vector<std::string>>(), ", "));
    }
    return value.is_string() ? value.get<std::string>() : value.dump();
}

// How many bytes the UTF-8 character at the start of a text takes; 0 if there is none that may
// be shown.
std::size_t length_of_character(std::string_view text) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned first = byte(0);
    if (first < 0x80) {
        return first >= ' ' && first != 0x7f ? 1 : 0;
    }
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) {
        return 0;
    }
    std::uint32_t code = first & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0U) != 0x80) {
            return 0;
        }
        code = code << 6U | (byte(i) & 0x3fU);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < 0xa0 || code > 0x10ffff || overlong || surrogate ? 0 : length;
}

} // namespace

record describe(const longpin::footprint& held, std::uint32_t page_size) {
    return {{"kinds", "kinds of memory", longpin::names(held.kinds)},
            {"pages", "pages", held.pages},
            {"charged", "charged to the user", held.pages * page_size, unit::bytes},
            {"runs", "contiguous runs", held.runs},
            {"bookkeeping", "kernel bookkeeping", held.bookkeeping, unit::bytes}};
}

failure describe(const std::exception& problem) {
    failure result{.message = problem.what()};
    if (const auto* const system = dynamic_cast<const std::system_error*>(&problem)) {
        result.errno_value = system->code().value();
    }
    if (const auto* const refused = dynamic_cast<const longpin::error*>(&problem)) {
        result.reason = refused->reason();
        result.bad_address = refused->bad_address();
        result.limit = refused->limit();
        result.used = refused->used();
        result.asked = refused->asked();
    }
    return result;
}

json to_json(const failure& what) {
    const char* const errno_name =
        what.errno_value != 0 ? ::strerrorname_np(what.errno_value) : nullptr;
    return {{"error",
             {{"message", what.message},
              {"errno", errno_name != nullptr ? json(errno_name) : json(nullptr)},
              {"reason", longpin::name(what.reason)},
              {"bad_address", or_null(what.bad_address)},
              {"limit", or_null(what.limit)},
              {"used", or_null(what.used)},
              {"asked", or_null(what.asked)}}}};
}

std::string to_text(const field& one) {
    return printable(one.text.empty() ? value_to_text(one) : one.text);
}

std::string printable(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t length = length_of_character(text);
        if (length == 0) {
            result += '?';
            text.remove_prefix(1);
        } else {
            result += text.substr(0, length);
            text.remove_prefix(length);
        }
    }
    return result;
}

std::string format_age(double seconds) {
    static constexpr std::uint64_t minute = 60;
    static constexpr std::uint64_t hour = 60 * minute;
    static constexpr std::uint64_t day = 24 * hour;
    const auto whole = static_cast<std::uint64_t>(std::max(seconds, 0.0));
    if (whole < minute) {
        return fmt::format("{}s", whole);
    }
    if (whole < hour) {
        return fmt::format("{}m{:02}s", whole / minute, whole % minute);
    }
    if (whole < day) {
        return fmt::format("{}h{:02}m", whole / hour, whole % hour / minute);
    }
    return fmt::format("{}d{:02}h", whole / day, whole % day / hour);
}

json to_json(const record& fields) {
    json::object_t members; // by operator[] each would be compared with all before it
    members.reserve(fields.size());
    for (const field& one : fields) {
        members.emplace_back(one.key, one.value);
    }
    return members;
}

std::string to_table(const record& fields, std::size_t width) {
    std::size_t labels = 0;
    for (const field& one : fields) {
        labels = std::max(labels, one.label.size());
    }
    labels += 2;
    const std::size_t room = std::max(least_columns, width - std::min(width, labels));
    std::string result;
    for (const field& one : fields) {
        const std::string text = to_text(one);
        result +=
            fmt::format("{:<{}}{}\n", one.label, labels, width > 0 ? end_of(text, room) : text);
    }
    return result;
}

std::string folded(std::string_view text, std::size_t width) {
    static constexpr std::string_view indent = "  ";
    std::string result;
    std::size_t column = 0;
    while (!text.empty()) { // a word, and the blanks before it
        const std::size_t blanks = std::min(text.find_first_not_of(' '), text.size());
        const std::size_t end = std::min(text.find(' ', blanks), text.size());
        const std::string_view word = text.substr(blanks, end - blanks);
        const std::size_t more = columns_of(word);
        if (width > 0 && column > 0 && column + blanks + more > width) {
            result += '\n';
            result += indent;
            column = indent.size();
        } else {
            result.append(blanks, ' ');
            column += blanks;
        }
        result += word;
        column += more;
        text.remove_prefix(end);
    }
    return result;
}

std::string wrapped(std::string_view sentence, std::size_t width) {
    static constexpr std::size_t usual = 76;
    std::istringstream words{std::string(sentence)};
    const std::vector<std::string> all{std::istream_iterator<std::string>(words), {}};
    return folded(fmt::format("{}", fmt::join(all, " ")),
                  width > 0 ? std::min(width, usual) : usual) +
           '\n';
}

std::string to_hexdump(std::span<const std::byte> bytes) {
    static constexpr std::size_t in_a_line = 16;
    std::string result;
    for (std::size_t start = 0; start < bytes.size(); start += in_a_line) {
        std::string digits;
        std::string letters;
        for (const std::byte one :
             bytes.subspan(start, std::min(in_a_line, bytes.size() - start))) {
            const auto letter = static_cast<unsigned char>(one);
            digits += fmt::format("{}{:02x} ", letters.size() == in_a_line / 2 ? " " : "", letter);
            letters += letter >= ' ' && letter <= '~' ? static_cast<char>(letter) : '.';
        }
        result += fmt::format("{:08x}  {:<50}|{}|\n", start, digits, letters);
    }
    return result;
}

std::string to_hex(std::span<const std::byte> bytes) {
    std::string result;
    for (const std::byte one : bytes) {
        result += fmt::format("{:02x}", static_cast<unsigned char>(one));
    }
    return result;
}

std::string to_json_line(const json& value) {
    // Names need not be UTF-8.
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

void print_json(std::ostream& out, const json& value) {
    out << value.dump(2, ' ', false, json::error_handler_t::replace) << std::endl; // NOLINT: flush
}

int descriptor_of(const std::ostream& out) {
    return out.rdbuf() == std::cout.rdbuf()   ? STDOUT_FILENO
           : out.rdbuf() == std::cerr.rdbuf() ? STDERR_FILENO
                                              : -1;
}

std::size_t terminal_width(const std::ostream& out) {
    winsize size{};
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    return ::ioctl(descriptor_of(out), TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void print(std::ostream& out, const record& fields, bool as_json) {
    if (as_json) {
        print_json(out, to_json(fields));
    } else {
        out << to_table(fields, terminal_width(out)) << std::flush;
    }
}

} // namespace pinpin
