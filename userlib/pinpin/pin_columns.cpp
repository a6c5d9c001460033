// SPDX-License-Identifier: MIT
#include "pin_columns.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <longpin/size.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <string>

namespace pinpin {

namespace {

using longpin::mapped_file;
using longpin::pin_record;

constexpr const char* nothing = "-";

std::string kinds_text(const pin_record& pin, pin_view& /*view*/) {
    return fmt::format("{}", fmt::join(longpin::names(pin.footprint.kinds), ","));
}

// In parentheses: the process is gone, and its pid may be another's by now.
std::string pid_text(const pin_record& pin, pin_view& /*view*/) {
    const std::string number = pin.pid == 0 ? "?" : std::to_string(pin.pid);
    return pin.orphaned ? '(' + number + ')' : number;
}

// Where the memory is found: in a file, or else in the process.
std::string memory_text(const pin_record& pin, pin_view& /*view*/) {
    if (!pin.file) {
        return fmt::format("{:#x}", pin.address);
    }
    return pin.file->offset == 0
               ? pin.file->path
               : fmt::format("{} @ {}", pin.file->path, longpin::format_size(pin.file->offset));
}

const std::vector<longpin::holder>& holders_of(const pin_record& pin, const pin_view& view) {
    static const std::vector<longpin::holder> nobody;
    const auto found = view.holders.find(pin.context);
    return found == view.holders.end() ? nobody : found->second;
}

json holders_value(const pin_record& pin, pin_view& view) {
    return to_json(holders_of(pin, view));
}

std::string holders_text(const pin_record& pin, pin_view& view) {
    std::vector<std::string> words;
    for (const longpin::holder& one : holders_of(pin, view)) {
        words.push_back(fmt::format("{} {}", one.pid, one.comm));
    }
    return words.empty() ? "not seen" : fmt::format("{}", fmt::join(words, ", "));
}

// A member of the file behind a pin, if there is one.
template <auto Member>
json of_file(const pin_record& pin, pin_view& /*view*/) {
    return pin.file ? json((*pin.file).*Member) : json();
}

json device_value(const pin_record& pin, pin_view& /*view*/) {
    return pin.file ? json(fmt::format("{}:{}", pin.file->device_major, pin.file->device_minor))
                    : json();
}

// What tables show of a value that a pin without a file lacks.
template <auto Value, unit ShownIn = unit::none>
std::string or_nothing(const pin_record& pin, pin_view& view) {
    const json value = Value(pin, view);
    return value.is_null() ? nothing : to_text({.value = value, .shown_in = ShownIn});
}

template <auto Member>
json of_pin(const pin_record& pin, pin_view& /*view*/) {
    return pin.*Member;
}

template <auto Member>
json of_footprint(const pin_record& pin, pin_view& /*view*/) {
    return pin.footprint.*Member;
}

json state_value(const pin_record& pin, pin_view& /*view*/) {
    return longpin::name(pin.state);
}

std::string state_text(const pin_record& pin, pin_view& /*view*/) {
    return pin.state == longpin::pin_state::partly_revoked ? "partly revoked"
                                                           : std::string(longpin::name(pin.state));
}

json grace_value(const pin_record& pin, pin_view& /*view*/) {
    return pin.lease ? json(pin.grace.count()) : json();
}

std::string grace_text(const pin_record& pin, pin_view& /*view*/) {
    return pin.lease ? fmt::format("{} ms", pin.grace.count()) : nothing;
}

constexpr auto path_value = of_file<&mapped_file::path>;
constexpr auto offset_value = of_file<&mapped_file::offset>;
constexpr auto inode_value = of_file<&mapped_file::inode>;

// The keys of those that say again what others do, for people.
constexpr std::string_view memory_key = "memory";
constexpr std::string_view holders_key = "holders";

constexpr std::string_view state_key = "state";

constexpr std::array all_columns{
    pin_column{"pin", "pin", false, unit::none,
               [](const pin_record& pin, pin_view&) {
                   return json(fmt::format("{}:{}", pin.context, pin.handle));
               }},
    pin_column{"context", "context", true, unit::none, of_pin<&pin_record::context>},
    pin_column{"handle", "handle", true, unit::none, of_pin<&pin_record::handle>},
    pin_column{"pid", "made by process", true, unit::none, of_pin<&pin_record::pid>, pid_text},
    pin_column{"comm", "its name then", false, unit::none, of_pin<&pin_record::comm>},
    pin_column{"orphaned", "that process is gone", false, unit::none,
               of_pin<&pin_record::orphaned>},
    pin_column{"uid", "charged to uid", true, unit::none, of_pin<&pin_record::uid>},
    pin_column{"user", "charged to user", false, unit::none,
               [](const pin_record& pin, pin_view& view) { return json(view.users.of(pin.uid)); }},
    pin_column{"address", "address", true, unit::address, of_pin<&pin_record::address>},
    pin_column{"length", "length", true, unit::bytes, of_pin<&pin_record::length>},
    pin_column{"size", "held, in whole pages", true, unit::bytes,
               [](const pin_record& pin, pin_view& view) { return json(held_bytes(pin, view)); }},
    pin_column{"pages", "pages", true, unit::none, of_footprint<&longpin::footprint::pages>},
    pin_column{"runs", "contiguous runs", true, unit::none,
               of_footprint<&longpin::footprint::runs>},
    pin_column{"bookkeeping", "kernel bookkeeping", true, unit::bytes,
               of_footprint<&longpin::footprint::bookkeeping>},
    pin_column{
        "kinds", "kinds of memory", false, unit::none,
        [](const pin_record& pin, pin_view&) { return json(longpin::names(pin.footprint.kinds)); },
        kinds_text},
    pin_column{"writable", "for writing", false, unit::none, of_pin<&pin_record::writable>},
    pin_column{"lease", "lease", false, unit::none, of_pin<&pin_record::lease>},
    pin_column{state_key, "state", false, unit::none, state_value, state_text},
    pin_column{"revoked", "taken back", true, unit::bytes,
               [](const pin_record& pin, pin_view& view) {
                   return json(pin.revoked_pages * view.page_size);
               }},
    pin_column{"grace", "grace", true, unit::none, grace_value, grace_text},
    pin_column{"cookie", "cookie", true, unit::address, of_pin<&pin_record::cookie>},
    pin_column{"age", "age", true, unit::seconds,
               [](const pin_record& pin, pin_view&) {
                   return json(std::chrono::duration<double>(pin.age).count());
               }},
    pin_column{"file", "file", false, unit::none, path_value, or_nothing<path_value>},
    pin_column{"offset", "where in the file", true, unit::bytes, offset_value,
               or_nothing<offset_value, unit::bytes>},
    pin_column{"device", "device of the file", false, unit::none, device_value,
               or_nothing<device_value>},
    pin_column{"inode", "inode of the file", true, unit::none, inode_value,
               or_nothing<inode_value>},
    pin_column{memory_key, "memory", false, unit::none,
               [](const pin_record& pin, pin_view& view) { return json(memory_text(pin, view)); }},
    pin_column{holders_key, "held by", false, unit::none, holders_value, holders_text},
};

} // namespace

json to_json(const std::vector<longpin::holder>& holders) {
    json result = json::array();
    for (const longpin::holder& one : holders) {
        result.push_back({{"pid", one.pid}, {"comm", one.comm}, {"descriptor", one.descriptor}});
    }
    return result;
}

std::map<std::uint32_t, std::vector<longpin::holder>> holders_by_context() {
    std::map<std::uint32_t, std::vector<longpin::holder>> result;
    for (longpin::holder& one : longpin::find_holders()) {
        result[one.context].push_back(std::move(one));
    }
    return result;
}

std::uint64_t held_bytes(const pin_record& pin, const pin_view& view) {
    return pin.footprint.pages * view.page_size;
}

std::span<const pin_column> pin_columns() {
    return all_columns;
}

pin_column_choice choose_columns(std::span<const std::string_view> keys) {
    pin_column_choice result;
    for (const std::string_view key : keys) {
        const auto* const found = std::ranges::find(all_columns, key, &pin_column::key);
        if (found == all_columns.end()) {
            throw std::out_of_range(fmt::format("there is no column {}", key));
        }
        result.push_back(found);
    }
    return result;
}

pin_column_choice fact_columns(bool with_holders) {
    pin_column_choice result;
    for (const pin_column& column : all_columns) {
        if (column.key != memory_key && (with_holders || column.key != holders_key)) {
            result.push_back(&column);
        }
    }
    return result;
}

record pin_fields(const pin_record& pin, const pin_column_choice& columns, pin_view& view) {
    record result;
    result.reserve(columns.size());
    for (const pin_column* const column : columns) {
        result.push_back({std::string(column->key), std::string(column->label),
                          column->value(pin, view), column->shown_in,
                          column->text != nullptr ? column->text(pin, view) : ""});
    }
    return result;
}

json to_json(const pin_record& pin, const pin_column_choice& columns, pin_view& view) {
    json::object_t members;
    members.reserve(columns.size());
    for (const pin_column* const column : columns) {
        members.emplace_back(column->key, column->value(pin, view));
    }
    return members;
}

std::vector<listing::column> listing_columns(const pin_column_choice& columns, bool with_state) {
    std::vector<listing::column> result;
    for (const pin_column* const column : columns) {
        std::string head(column->key);
        std::ranges::transform(head, head.begin(), [](char letter) {
            return static_cast<char>(letter >= 'a' && letter <= 'z' ? letter - 'a' + 'A' : letter);
        });
        result.push_back({.head = std::move(head),
                          .to_the_right = column->to_the_right,
                          .may_be_cut = column->key == memory_key,
                          .usual = column->key == state_key && !with_state
                                       ? longpin::name(longpin::pin_state::held)
                                       : std::string_view()});
    }
    return result;
}

json sort_value(const pin_record& pin, const pin_column& column, pin_view& view) {
    if (column.key == "pin") {
        return std::uint64_t{pin.context} << 32U | pin.handle;
    }
    return column.value(pin, view);
}

void pin_totals::add(const pin_record& pin, const pin_view& view) {
    ++pins;
    size += held_bytes(pin, view);
    orphans += pin.orphaned ? 1 : 0;
    not_whole += pin.state != longpin::pin_state::held ? 1 : 0;
}

std::string to_text(const pin_totals& totals) {
    if (totals.pins == 0) {
        return "no pins";
    }
    return fmt::format("{} pin{}, {}", totals.pins, totals.pins == 1 ? "" : "s",
                       longpin::format_size(totals.size));
}

} // namespace pinpin
