// SPDX-License-Identifier: MIT
#include "cli.hpp"
#include "command.hpp"
#include "listing.hpp"
#include "memory_use.hpp"
#include "output.hpp"

#include <longpin/inventory.hpp>
#include <longpin/size.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <memory>
#include <ostream>
#include <utility>

#include <unistd.h>

namespace pinpin {

namespace {

// Without the module there are no pins of longpin, and others' are shown all the same.
longpin_use read_longpin_use() {
    longpin_use result;
    const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const auto inventory = longpin::inventory::try_open();
    if (inventory) {
        inventory->for_each_pin(
            {}, [&](const longpin::pin_record& pin) { result.add(pin, page_size); });
    } else if (inventory.error().code().value() != ENOENT) {
        throw longpin::error(inventory.error());
    }
    return result;
}

void print_as_table(std::ostream& out, const std::vector<record>& rows, const longpin_use& use,
                    const std::string& sum) {
    if (!rows.empty()) {
        std::vector<listing::column> columns;
        for (const field& one : rows.front()) {
            columns.push_back({.head = one.label, .to_the_right = !one.value.is_string()});
        }
        listing table(out, std::move(columns), {.width = width_of(out)});
        for (const record& fields : rows) {
            table.add(to_cells(fields));
        }
        table.finish();
    }
    out << sum << '\n';
    if (use.orphaned_pins > 0) {
        out << wrapped(fmt::format("beside these, longpin holds {} in {} pin{} for processes that "
                                   "are gone (see 'pinpin list --orphans')",
                                   longpin::format_size(use.orphaned_size), use.orphaned_pins,
                                   use.orphaned_pins == 1 ? "" : "s"),
                       terminal_width(out));
    }
    out << std::flush;
}

int run_system(session& session, bool all) {
    const longpin_use use = read_longpin_use();
    const std::optional<uid_t> seen_user =
        sees_all_users() ? std::nullopt : std::optional(::getuid());
    user_names users;
    std::vector<record> rows;
    std::uint64_t pinned = 0;
    std::uint64_t locked = 0;
    for (const memory_use& one : compare(read_processes(), use, seen_user, all)) {
        rows.push_back(memory_fields(one, users));
        pinned += one.process.vm_pin;
        locked += one.process.vm_lck;
    }
    if (!session.json) {
        print_as_table(session.out, rows, use,
                       fmt::format("{} process{}: VmPin {}, VmLck {}", rows.size(),
                                   rows.size() == 1 ? "" : "es", longpin::format_size(pinned),
                                   longpin::format_size(locked)));
        return done;
    }
    json processes = json::array();
    for (const record& fields : rows) {
        processes.push_back(to_json(fields));
    }
    print_json(session.out, {{"processes", processes},
                             {"orphaned_pins", use.orphaned_pins},
                             {"orphaned_size", use.orphaned_size}});
    return done;
}

} // namespace

action declare_system(CLI::App& app) {
    const auto all = std::make_shared<bool>(false);
    app.add_flag("--all", *all, "Also processes with nothing pinned or locked");
    return [all](session& session) { return run_system(session, *all); };
}

} // namespace pinpin
