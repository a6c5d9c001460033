// SPDX-License-Identifier: MIT
#include "cli.hpp"
#include "command.hpp"
#include "listing.hpp"
#include "output.hpp"
#include "pin_columns.hpp"
#include "process_status.hpp"

#include <longpin/inventory.hpp>
#include <longpin/size.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <ostream>
#include <stdexcept>

namespace pinpin {

namespace {

// "3:1" names a pin, "1234" a process.
struct target {
    std::uint32_t context = 0; // 0: a process
    std::uint32_t handle = 0;
    pid_t pid = 0;
};

// A number that names something, and so is not 0.
template <typename Number>
bool parse_name(std::string_view text, Number& number) {
    const char* const end = text.data() + text.size(); // NOLINT(*-pointer-arithmetic)
    const auto [rest, failure] = std::from_chars(text.data(), end, number);
    return failure == std::errc{} && rest == end && number > 0;
}

bool lexical_cast(const std::string& text, target& value) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) {
        return parse_name(text, value.pid);
    }
    return parse_name(std::string_view(text).substr(0, colon), value.context) &&
           parse_name(std::string_view(text).substr(colon + 1), value.handle);
}

struct show_arguments {
    std::optional<target> what;
    std::optional<std::uint32_t> context;
};

[[noreturn]] void fail_to_find(const std::string& what) {
    throw std::runtime_error(
        fmt::format("there is no {}{}", what, sees_all_users() ? "" : " that you may see"));
}

void print_holders(std::ostream& out, std::uint32_t context,
                   const std::vector<longpin::holder>& holders) {
    if (holders.empty()) {
        out << fmt::format("\nNo process is seen that has context {} open.\n", context);
        return;
    }
    out << fmt::format("\nContext {} is open in\n", context);
    listing table(out,
                  {{.head = "PID", .to_the_right = true},
                   {.head = "DESCRIPTOR", .to_the_right = true},
                   {.head = "COMM"}},
                  {.width = width_of(out)});
    for (const longpin::holder& one : holders) {
        table.add({std::to_string(one.pid), std::to_string(one.descriptor), printable(one.comm)});
    }
    table.finish();
}

pin_totals sum(const std::vector<longpin::pin_record>& pins, const pin_view& view) {
    pin_totals result;
    for (const longpin::pin_record& pin : pins) {
        result.add(pin, view);
    }
    return result;
}

void print_pins(std::ostream& out, const std::vector<longpin::pin_record>& pins, pin_view& view) {
    static constexpr std::array<std::string_view, 7> keys{"pin",   "pid", "size",  "state",
                                                          "kinds", "age", "memory"};
    const pin_column_choice columns = choose_columns(keys);
    listing table(out, listing_columns(columns, false), {.width = width_of(out)});
    for (const longpin::pin_record& pin : pins) {
        table.add(to_cells(pin_fields(pin, columns, view)));
    }
    out << '\n';
    table.finish();
    out << to_text(sum(pins, view)) << '\n' << std::flush;
}

json pins_to_json(const std::vector<longpin::pin_record>& pins, pin_view& view) {
    const pin_column_choice columns = fact_columns(false);
    json result = json::array();
    for (const longpin::pin_record& pin : pins) {
        result.push_back(to_json(pin, columns, view));
    }
    return result;
}

int show_pin(session& session, const longpin::inventory& inventory, const target& which) {
    const auto pin = inventory.find_pin(which.context, which.handle);
    if (!pin) {
        fail_to_find(fmt::format("pin {}:{}", which.context, which.handle));
    }
    pin_view view;
    view.holders[which.context] = longpin::find_holders(which.context);
    if (session.json) {
        print_json(session.out, to_json(*pin, fact_columns(true), view));
    } else {
        print(session.out, pin_fields(*pin, fact_columns(false), view), false);
        print_holders(session.out, which.context, view.holders[which.context]);
        session.out << std::flush;
    }
    return done;
}

// The pins that a process made, and those of the files that it has open: made by whomever.
std::vector<longpin::pin_record> pins_of(const longpin::inventory& inventory, pid_t pid) {
    std::vector<longpin::pin_record> result = inventory.pins({.pid = pid});
    std::vector<std::uint32_t> contexts;
    for (const longpin::holder& one : longpin::find_holders()) {
        if (one.pid == pid) {
            contexts.push_back(one.context);
        }
    }
    for (const std::uint32_t context : contexts) {
        inventory.for_each_pin({.context = context}, [&](const longpin::pin_record& pin) {
            if (pin.pid != pid) {
                result.push_back(pin);
            }
        });
    }
    std::ranges::sort(result, {}, [](const longpin::pin_record& pin) {
        return std::pair(pin.context, pin.handle);
    });
    return result;
}

int show_process(session& session, const longpin::inventory& inventory, pid_t pid) {
    pin_view view;
    const std::optional<process_status> process = read_process(pid);
    const std::vector<longpin::pin_record> pins = pins_of(inventory, pid);
    if (pins.empty()) {
        fail_to_find(process ? fmt::format("pin that process {} made or holds (its VmPin is {})",
                                           pid, longpin::format_size(process->vm_pin))
                             : fmt::format("process {}, and no pin that it made", pid));
    }
    record fields{{"pid", "process", pid}};
    if (process) {
        fields.push_back({"comm", "name", process->comm});
        fields.push_back({"vm_pin", "VmPin", process->vm_pin, unit::bytes});
        fields.push_back({"vm_lck", "VmLck", process->vm_lck, unit::bytes});
    } else {
        fields.push_back({"comm", "name", json(), unit::none, "- (the process is gone)"});
        fields.push_back({"vm_pin", "VmPin", json(), unit::none, "-"});
        fields.push_back({"vm_lck", "VmLck", json(), unit::none, "-"});
    }
    if (session.json) {
        json object = to_json(fields);
        object["size"] = sum(pins, view).size;
        object["pins"] = pins_to_json(pins, view);
        print_json(session.out, object);
    } else {
        print(session.out, fields, false);
        print_pins(session.out, pins, view);
    }
    return done;
}

int show_context(session& session, const longpin::inventory& inventory, std::uint32_t id) {
    const std::vector<longpin::context_record> contexts = inventory.contexts();
    const auto found = std::ranges::find(contexts, id, &longpin::context_record::id);
    if (found == contexts.end()) {
        fail_to_find(fmt::format("context {}", id));
    }
    pin_view view;
    const std::vector<longpin::pin_record> pins = inventory.pins({.context = id});
    const std::vector<longpin::holder> holders = longpin::find_holders(id);
    const record fields{
        {"context", "context", found->id},
        {"pid", "opened by process", found->pid},
        {"comm", "its name then", found->comm},
        {"orphaned", "that process is gone", found->orphaned},
        {"uid", "its uid", found->uid},
        {"user", "its user", view.users.of(found->uid)},
        {"age", "age", std::chrono::duration<double>(found->age).count(), unit::seconds},
        {"pages", "pages", found->pages},
        {"size", "held, in whole pages", found->pages * view.page_size, unit::bytes}};
    if (session.json) {
        json object = to_json(fields);
        object["holders"] = to_json(holders);
        object["pins"] = pins_to_json(pins, view);
        print_json(session.out, object);
    } else {
        print(session.out, fields, false);
        print_holders(session.out, id, holders);
        print_pins(session.out, pins, view);
    }
    return done;
}

} // namespace

action declare_show(CLI::App& app) {
    const auto arguments = std::make_shared<show_arguments>();
    CLI::Option_group* const which = app.add_option_group("What");
    which->add_option("PIN_OR_PID", arguments->what,
                      "A pin (3:1: context and handle) or a process");
    which->add_option("--context", arguments->context, "An open file of /dev/longpin")
        ->type_name("ID")
        ->check(CLI::PositiveNumber);
    which->require_option(1);
    return [arguments](session& session) {
        const longpin::inventory inventory;
        if (arguments->context) {
            return show_context(session, inventory, *arguments->context);
        }
        const target& what = *arguments->what;
        return what.context != 0 ? show_pin(session, inventory, what)
                                 : show_process(session, inventory, what.pid);
    };
}

} // namespace pinpin
