// SPDX-License-Identifier: MIT
// What pinpin prints: records, as a table for people or as JSON for programs.
#pragma once

#include <longpin/device.hpp>
#include <longpin/error.hpp>
#include <longpin/pin.hpp>

#include <exception>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace pinpin {

using json = nlohmann::ordered_json;

/// How a table shows a value. JSON always has the bare number.
enum class unit { none, bytes, address, seconds };

/// One line of a table, one member of a JSON object.
struct field {
    std::string key;   ///< in JSON
    std::string label; ///< in a table
    json value;        ///< null: there is none
    unit shown_in = unit::none;
    std::string text; ///< in a table; empty: as value and shown_in say
};

/// What a command has to tell. The table and the JSON are made from this.
using record = std::vector<field>;

/// The fields of a footprint. \p page_size turns pages into the bytes that are charged.
record describe(const longpin::footprint& held, std::uint32_t page_size);

/// An error, as far as it is known.
struct failure {
    std::string message;
    int errno_value = 0;
    longpin::reason reason = longpin::reason::none;
    std::optional<std::uint64_t> bad_address;
    std::optional<std::uint64_t> limit;
    std::optional<std::uint64_t> used;
    std::optional<std::uint64_t> asked;
};

failure describe(const std::exception& problem);

/// {"error": {...}}; members that are not known are null.
json to_json(const failure& what);

/// One object, in the order of the fields, whose keys are different.
json to_json(const record& fields);

/// What a table shows of a field.
std::string to_text(const field& one);

/// Text that comes from others (names of processes and files), fit for a terminal: UTF-8, with a
/// '?' for each byte that is not, and for each control character.
std::string printable(std::string_view text);

/// A time span in its two largest units: "12s", "3m05s", "2h00m", "12d03h".
std::string format_age(double seconds);

/// Two columns, a line for each field. Of a value that doesn't fit into \p width the end is shown.
/// 0: it may be of any width.
std::string to_table(const record& fields, std::size_t width = 0);

/// A text, broken between words into lines of that many columns (more if a word takes more), all
/// but the first indented. 0: it may take any.
std::string folded(std::string_view text, std::size_t width);

/// A sentence, folded to 76 columns or a terminal's \p width if that is less, with a newline at the
/// end.
std::string wrapped(std::string_view sentence, std::size_t width = 0);

/// The bytes as 'hexdump -C' shows them: offset, sixteen bytes, the printable ones.
std::string to_hexdump(std::span<const std::byte> bytes);

/// Two digits a byte, for JSON.
std::string to_hex(std::span<const std::byte> bytes);

/// One line, without a newline.
std::string to_json_line(const json& value);

/// Prints a JSON value and a newline, and flushes: a reader may wait for it.
void print_json(std::ostream& out, const json& value);

/// The descriptor behind the standard output or the standard error; -1 for another stream.
int descriptor_of(const std::ostream& out);

/// How wide the terminal is that is printed to. 0: it is none, or doesn't tell; what is printed
/// there may be of any width.
std::size_t terminal_width(const std::ostream& out);

/// Prints a record in the form that was asked for, and flushes.
void print(std::ostream& out, const record& fields, bool as_json);

} // namespace pinpin
