// SPDX-License-Identifier: MIT
#include "arguments.hpp"
#include "cli.hpp"
#include "command.hpp"
#include "mapping.hpp"
#include "output.hpp"
#include "progress.hpp"

#include <CLI/CLI.hpp>

#include <memory>
#include <ostream>

namespace pinpin {

namespace {

struct check_arguments {
    memory_arguments memory;
    bool lease = false;
};

int run_check(session& session, const check_arguments& wanted) {
    const memory_arguments& arguments = wanted.memory;
    const longpin::pin_options options{.lease = wanted.lease};
    const longpin::device device(session.device_path);
    const mapping memory(arguments);
    const longpin::check_result answer = [&] {
        const progress shown("checking", memory.range());
        return arguments.write ? device.check_writable(memory.range(), options)
                               : device.check(memory.range(), options);
    }();

    const auto* const refused = std::get_if<longpin::error>(&answer);
    record fields{{"allowed", "allowed", refused == nullptr},
                  {"memory", "memory", arguments.description()},
                  {"length", "length", memory.range().size(), unit::bytes},
                  {"writable", "for writing", arguments.write},
                  {"lease", "lease", wanted.lease}};
    if (refused != nullptr) {
        if (session.json) {
            json object = to_json(fields);
            object.update(to_json(describe(*refused)));
            print_json(session.out, object);
        } else {
            print(session.out, fields, false);
            session.out << wrapped(refused->what(), terminal_width(session.out)) << std::flush;
        }
        return failed;
    }

    const longpin::device_info info = device.info();
    const auto& cost = std::get<longpin::footprint>(answer);
    const record costs = describe(cost, info.page_size);
    fields.insert(fields.end(), costs.begin(), costs.end());
    json left;
    if (info.memlock.limit) {
        const std::uint64_t needed = info.memlock.used + cost.pages * info.page_size;
        left = *info.memlock.limit > needed ? *info.memlock.limit - needed : 0;
    }
    fields.push_back({"memlock_left", "RLIMIT_MEMLOCK left then", left, unit::bytes});
    print(session.out, fields, session.json);
    return done;
}

} // namespace

action declare_check(CLI::App& app) {
    const auto arguments = std::make_shared<check_arguments>();
    declare_memory(app, arguments->memory);
    app.add_flag("--lease", arguments->lease, lease_help);
    return [arguments](session& session) { return run_check(session, *arguments); };
}

} // namespace pinpin
