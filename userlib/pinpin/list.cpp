// SPDX-License-Identifier: MIT
#include "arguments.hpp"
#include "cli.hpp"
#include "command.hpp"
#include "listing.hpp"
#include "output.hpp"
#include "pin_columns.hpp"
#include "pin_selection.hpp"

#include <longpin/inventory.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <sstream>
#include <string_view>
#include <utility>

namespace pinpin {

namespace {

// "pin,pid,address"
struct columns_argument {
    pin_column_choice columns;
};

// "size", "-size"
struct sort_argument {
    const pin_column* column = nullptr;
    bool descending = false;
};

// The column with this key. What turns the text of an option into its value calls it, and CLI11
// passes on what it throws.
const pin_column* find_column(std::string_view key) {
    const auto found = std::ranges::find(pin_columns(), key, &pin_column::key);
    if (found == pin_columns().end()) {
        throw CLI::ValidationError(fmt::format("there is no column '{}'", key));
    }
    return &*found;
}

bool lexical_cast(const std::string& text, columns_argument& value) {
    std::istringstream keys(text);
    for (std::string key; std::getline(keys, key, ',');) {
        value.columns.push_back(find_column(key));
    }
    return !value.columns.empty();
}

bool lexical_cast(const std::string& text, sort_argument& value) {
    value.descending = text.starts_with('-');
    value.column = find_column(std::string_view(text).substr(value.descending ? 1 : 0));
    return true;
}

struct list_arguments {
    selection_arguments which;
    columns_argument shown;
    std::optional<sort_argument> sort;
    bool no_header = false;
    bool no_truncate = false;
};

using visitor = std::function<void(const longpin::pin_record&)>;

pin_column_choice shown_columns(const list_arguments& arguments, bool as_json) {
    static constexpr std::array<std::string_view, 9> usual{
        "pin", "pid", "user", "comm", "size", "state", "kinds", "age", "memory"};
    static constexpr std::array<std::string_view, 9> of_orphans{
        "pin", "pid", "user", "comm", "size", "state", "age", "memory", "holders"};
    const pin_column_choice& wanted = arguments.shown.columns;
    if (as_json && !wanted.empty()) {
        pin_column_choice once; // as an object has each of its members
        std::ranges::copy_if(wanted, std::back_inserter(once), [&](const pin_column* column) {
            return std::ranges::find(once, column) == once.end();
        });
        return once;
    }
    if (as_json) {
        return fact_columns(arguments.which.orphans);
    }
    if (!wanted.empty()) {
        return wanted;
    }
    return choose_columns(arguments.which.orphans ? of_orphans : usual);
}

// Calls visit with each pin that is meant, sorted if that was asked for. What is not sorted is
// passed on as it comes.
void for_each_pin(const longpin::inventory& inventory, const list_arguments& arguments,
                  pin_view& view, const visitor& visit) {
    const pin_selection selection = arguments.which.selection();
    if (!arguments.sort) {
        inventory.for_each_pin(selection.filter, [&](const longpin::pin_record& pin) {
            if (selection.matches(pin, view.page_size)) {
                visit(pin);
            }
        });
        return;
    }

    std::vector<std::pair<json, longpin::pin_record>> pins;
    inventory.for_each_pin(selection.filter, [&](const longpin::pin_record& pin) {
        if (selection.matches(pin, view.page_size)) {
            pins.emplace_back(sort_value(pin, *arguments.sort->column, view), pin);
        }
    });
    std::ranges::stable_sort(pins, [&](const auto& one, const auto& other) {
        return arguments.sort->descending ? other.first < one.first : one.first < other.first;
    });
    for (const auto& [value, pin] : pins) {
        visit(pin);
    }
}

// One pin a line. What fails midway leaves the array without its end: half a list must not be taken
// for a whole one.
void print_as_json(std::ostream& out, const std::function<void(const visitor&)>& for_each,
                   const pin_column_choice& columns, pin_view& view) {
    const char* before = "[\n  ";
    for_each([&](const longpin::pin_record& pin) {
        out << std::exchange(before, ",\n  ") << to_json_line(to_json(pin, columns, view));
    });
    out << (*before == '[' ? "[]\n" : "\n]\n") << std::flush;
}

void print_totals(std::ostream& out, const pin_totals& totals, const list_arguments& arguments) {
    std::string sentence = to_text(totals);
    if (totals.orphans > 0 && !arguments.which.orphans) {
        sentence +=
            fmt::format("; {} orphaned: the process, in parentheses, is gone, and "
                        "'pinpin list --orphans' tells who holds the memory",
                        totals.orphans == 1 ? "1 is" : fmt::format("{} are", totals.orphans));
    }
    if (totals.not_whole > 0) {
        sentence += fmt::format("; of {} the kernel took pages back: 'pinpin list --columns "
                                "pin,state,revoked' tells how much",
                                totals.not_whole == 1 ? "1 lease"
                                                      : fmt::format("{} leases", totals.not_whole));
    }
    if (!sees_all_users()) {
        sentence += "; only your own pins are shown";
    }
    out << wrapped(sentence, terminal_width(out)) << std::flush;
}

int run_list(session& session, const list_arguments& arguments) {
    const longpin::inventory inventory;
    const pin_column_choice columns = shown_columns(arguments, session.json);
    pin_view view;
    const bool by_holders = arguments.sort && arguments.sort->column->key == "holders";
    if (by_holders || std::ranges::find(columns, "holders", &pin_column::key) != columns.end()) {
        view.holders = holders_by_context();
    }
    const auto for_each = [&](const visitor& visit) {
        for_each_pin(inventory, arguments, view, visit);
    };
    if (session.json) {
        print_as_json(session.out, for_each, columns, view);
        return done;
    }

    pin_totals totals;
    listing table(session.out, listing_columns(columns, !arguments.shown.columns.empty()),
                  {.with_heads = !arguments.no_header,
                   .width = arguments.no_truncate ? 0 : width_of(session.out)});
    for_each([&](const longpin::pin_record& pin) {
        totals.add(pin, view);
        table.add(to_cells(pin_fields(pin, columns, view)));
    });
    table.finish();
    if (arguments.no_header) {
        session.out << std::flush;
    } else {
        print_totals(session.out, totals, arguments);
    }
    return done;
}

} // namespace

action declare_list(CLI::App& app) {
    const auto arguments = std::make_shared<list_arguments>();
    declare_selection(app, arguments->which);
    app.add_option("--sort", arguments->sort, "Sort by that; -KEY: the largest first")
        ->type_name("KEY")
        ->check(check_not_empty);
    app.add_option("--columns", arguments->shown, "What to show, as in pin,pid,address,length")
        ->type_name("KEYS")
        ->check(check_not_empty);
    app.add_flag("--no-header", arguments->no_header, "Nothing but pins: neither heads nor totals");
    app.add_flag("--no-truncate", arguments->no_truncate,
                 "Show long paths whole, however wide that is");
    return [arguments](session& session) { return run_list(session, *arguments); };
}

} // namespace pinpin
