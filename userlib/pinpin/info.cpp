// SPDX-License-Identifier: MIT
#include "cli.hpp"
#include "command.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace pinpin {

namespace {

// Used, limit and what is left, for one limit.
void append(record& fields, const std::string& key, const std::string& label,
            const longpin::usage& usage, unit shown_in) {
    json left;
    if (usage.limit) {
        left = *usage.limit > usage.used ? *usage.limit - usage.used : 0;
    }
    fields.push_back({key + "_used", label + " used", usage.used, shown_in});
    fields.push_back(
        {key + "_limit", label + " limit", usage.limit ? json(*usage.limit) : json(), shown_in});
    fields.push_back({key + "_left", label + " left", left, shown_in});
}

int run_info(session& session) {
    const longpin::device_info info = longpin::device(session.device_path).info();
    record fields{{"version", "module version", info.version},
                  {"page_size", "page size", info.page_size, unit::bytes},
                  {"pin_flags", "pin flags", info.pin_flags, unit::address},
                  {"leases", "leases", info.leases},
                  {"max_grace", "longest grace of a lease", info.max_grace.count(), unit::none,
                   fmt::format("{} ms", info.max_grace.count())}};
    append(fields, "memlock", "RLIMIT_MEMLOCK", info.memlock, unit::bytes);
    append(fields, "max_user_pages", "max_user_pages", info.user_pinned, unit::bytes);
    append(fields, "max_pages", "max_pages, all users:", info.pinned, unit::bytes);
    append(fields, "max_pins", "max_pins, one open file:", info.pins, unit::none);
    print(session.out, fields, session.json);
    return done;
}

} // namespace

action declare_info(CLI::App& /*app*/) {
    return run_info;
}

} // namespace pinpin
