// SPDX-License-Identifier: MIT
// What there is to tell of a pin: tables of pins, JSON and the full screen are made from these
// columns.
#pragma once

#include "listing.hpp"
#include "output.hpp"
#include "users.hpp"

#include <longpin/inventory.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace pinpin {

/// What the columns draw on beside the pin.
struct pin_view {
    std::uint64_t page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    user_names users;
    std::map<std::uint32_t, std::vector<longpin::holder>> holders; ///< by context
};

/// An array with an object for each.
json to_json(const std::vector<longpin::holder>& holders);

/// Who has which context open, for pin_view::holders.
std::map<std::uint32_t, std::vector<longpin::holder>> holders_by_context();

/// Bytes that a pin holds, in whole pages: what its user is charged.
std::uint64_t held_bytes(const longpin::pin_record& pin, const pin_view& view);

/// One thing to tell of a pin.
struct pin_column {
    std::string_view key;   ///< in JSON and on the command line; in capitals, the head of a column
    std::string_view label; ///< in the table of a single pin
    bool to_the_right;      ///< how a column of it is aligned
    unit shown_in;
    json (*value)(const longpin::pin_record&, pin_view&);
    std::string (*text)(const longpin::pin_record&, pin_view&); ///< null: as the value is shown
};

/// All there are, in the order in which a single pin is told.
std::span<const pin_column> pin_columns();

/// Some of them, as they are chosen by their keys.
using pin_column_choice = std::vector<const pin_column*>;

/// The columns with these keys. \throws std::out_of_range  there is none with such a key
pin_column_choice choose_columns(std::span<const std::string_view> keys);

/// The columns that hold a fact each, and nothing that another one says too: those of JSON.
/// \param with_holders  also who has the context open
pin_column_choice fact_columns(bool with_holders);

/// A pin, as these columns tell it.
record pin_fields(const longpin::pin_record& pin, const pin_column_choice& columns, pin_view& view);

/// The same as an object, without the texts that only tables have. The columns are different.
json to_json(const longpin::pin_record& pin, const pin_column_choice& columns, pin_view& view);

/// The heads of a table of pins with these columns.
/// \param with_state  whether the column state is shown where each pin holds all that it was made
/// for
std::vector<listing::column> listing_columns(const pin_column_choice& columns,
                                             bool with_state = true);

/// What pins are sorted by for a column: the value, but numbers stay numbers.
json sort_value(const longpin::pin_record& pin, const pin_column& column, pin_view& view);

/// A sum of pins.
struct pin_totals {
    std::uint64_t pins = 0;
    std::uint64_t size = 0; ///< bytes held
    std::uint64_t orphans = 0;
    std::uint64_t not_whole = 0; ///< leases of which pages were taken back

    void add(const longpin::pin_record& pin, const pin_view& view);
};

/// "3 pins, 96 MiB".
std::string to_text(const pin_totals& totals);

} // namespace pinpin
