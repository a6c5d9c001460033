// SPDX-License-Identifier: MIT
#include "cli.hpp"

#include "command.hpp"
#include "output.hpp"

#include <longpin/version.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ostream>

namespace pinpin {

namespace {

struct command {
    const char* name;
    const char* summary;
    const char* example;
    bool takes_program; // behind "--"
    action (*declare)(CLI::App& app);
};

constexpr std::array commands{
    command{"info", "Show what the module offers, and the limits", "Example: pinpin info --json",
            false, declare_info},
    command{"hold", "Pin memory and hold it",
            "The memory is held until Ctrl-C (or SIGTERM, SIGHUP), or for a time. With\n"
            "'-- PROGRAM WORDS...' at the end it is held while the program runs, and pinpin\n"
            "exits 0 if the program did, 1 otherwise.\n"
            "Examples:\n"
            "  pinpin hold --anon 64M --for 10\n"
            "  pinpin hold /dev/dax0.0 --length 1G --write -- make test\n"
            "  pinpin hold data.bin --unmap --dump 32 --for 0",
            true, declare_hold},
    command{"check", "Tell whether memory may be pinned, and the cost",
            "Exits 0 if it is allowed, 1 if it is refused.\n"
            "Example: pinpin check /mnt/pmem/data.bin --write",
            false, declare_check},
};

constexpr const char* footer =
    "SIZE is a number of bytes: 4096, 0x1000, 64k, 64M, 1G (powers of 1024).\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage.\n"
    "'pinpin COMMAND --help' shows the options of a command.";

/// What every run of pinpin ends in: parses, runs, and returns the exit code.
int dispatch(session& session, std::vector<std::string> words, bool has_program) {
    CLI::App app("Pin memory through /dev/longpin: hold it in place for as long as you say.",
                 "pinpin");
    app.set_version_flag("--version", "pinpin " + std::string(longpin::version()));
    app.require_subcommand(1);
    app.footer(footer);

    const command* chosen = nullptr;
    action chosen_action;
    for (const command& one : commands) {
        CLI::App* const sub = app.add_subcommand(one.name, one.summary);
        sub->footer(one.example);
        sub->add_flag("--json", session.json, "Print one JSON object instead of a table");
        sub->add_option("--device", session.device_path, "Path of the device")
            ->capture_default_str();
        sub->final_callback([&chosen, &chosen_action, &one, run = one.declare(*sub)] {
            chosen = &one;
            chosen_action = run;
        });
    }

    try {
        std::ranges::reverse(words); // as CLI11 wants it
        app.parse(std::move(words));
    } catch (const CLI::Success& wanted) { // --help, --version
        return app.exit(wanted, session.out, session.out);
    }
    if (has_program && (!chosen->takes_program || session.program.empty())) {
        throw CLI::ValidationError("--", chosen->takes_program
                                             ? "a program is missing behind it"
                                             : fmt::format("{} runs no program", chosen->name));
    }
    return chosen_action(session);
}

} // namespace

int run(const std::vector<std::string>& words, std::ostream& out, std::ostream& err) {
    // CLI11 would take the words behind "--" for positional arguments.
    const auto dashes = std::ranges::find(words, "--");
    const bool has_program = dashes != words.end();
    std::vector<std::string> own(words.begin(), dashes);

    session session{.out = out};
    session.program.assign(dashes + (has_program ? 1 : 0), words.end());
    // Also what can't be parsed is to be reported in the form that was asked for.
    session.json = std::ranges::find(own, "--json") != own.end();

    const auto report = [&](const failure& what) {
        if (session.json) {
            print_json(out, to_json(what));
        } else {
            err << wrapped("pinpin: " + what.message);
        }
    };
    int code = done;
    try {
        code = dispatch(session, std::move(own), has_program);
    } catch (const CLI::Error& misuse) {
        report({.message = fmt::format("{} (see pinpin --help)", misuse.what())});
        code = misused;
    } catch (const std::exception& problem) {
        report(describe(problem));
        code = failed;
    }
    if (!out.flush()) {
        err << "pinpin: cannot write the output\n";
        return failed;
    }
    return code;
}

} // namespace pinpin
