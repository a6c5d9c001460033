// SPDX-License-Identifier: MIT
#include "cli.hpp"

#include "colour.hpp"
#include "command.hpp"
#include "completion.hpp"
#include "output.hpp"

#include <longpin/version.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <memory>
#include <ostream>

namespace pinpin {

namespace {

struct command {
    const char* name;
    const char* summary;
    const char* example;
    bool takes_program; // behind "--"
    action (*declare)(CLI::App& app);
    bool opens_device;
};

constexpr std::array commands{
    command{"info", "Show what the module offers, and the limits", "Example: pinpin info --json",
            false, declare_info, true},
    command{"hold", "Pin memory and hold it",
            "The memory is held until Ctrl-C (or SIGTERM, SIGHUP), or for a time. With\n"
            "'-- PROGRAM WORDS...' at the end it is held while the program runs, and pinpin\n"
            "exits 0 if the program did, 1 otherwise.\n"
            "A lease may be of a file on fs-DAX: the kernel takes pages of it back when the\n"
            "file loses blocks, say, and pinpin tells so in a line.\n"
            "Examples:\n"
            "  pinpin hold --anon 64M --for 10\n"
            "  pinpin hold /dev/dax0.0 --length 1G --write -- make test\n"
            "  pinpin hold /mnt/pmem/data.bin --lease --repin\n"
            "  pinpin hold data.bin --unmap --dump 32 --for 0",
            true, declare_hold, true},
    command{"check", "Tell whether memory may be pinned, and the cost",
            "Exits 0 if it is allowed, 1 if it is refused.\n"
            "Example: pinpin check /mnt/pmem/data.bin --write",
            false, declare_check, true},
    command{"list", "List pins: who holds which memory",
            "root sees the pins of all users, others their own. RANGE is an address\n"
            "(0x7f0000000000), an address and a size (0x7f0000000000+64M), or as in\n"
            "/proc/PID/maps (7f0000000000-7f0004000000). KIND is one of anon, shmem,\n"
            "hugetlb, private, file, devdax, device, fsdax. USER is a name or a number. KEY\n"
            "is one of pin (context:handle), context, handle, pid, comm, orphaned, uid, user,\n"
            "address, length, size, pages, runs, bookkeeping, kinds, writable, lease, state,\n"
            "revoked, grace, cookie, age, file, offset, device, inode, memory, holders.\n"
            "Examples:\n"
            "  pinpin list --pid 1234 --address 0x7f0000000000+64M\n"
            "  pinpin list --file /dev/dax0.0 --offset 1G --length 64M\n"
            "  pinpin list --sort -size --columns pin,pid,size,address\n"
            "  pinpin list --orphans",
            false, declare_list, false},
    command{"show", "Show all about a pin, a process or an open file",
            "Exits 1 if there is no such thing.\n"
            "Examples:\n"
            "  pinpin show 3:1\n"
            "  pinpin show 1234\n"
            "  pinpin show --context 3",
            false, declare_show, false},
    command{"monitor", "Show pins that are made, ended, refused and taken back, as it happens",
            "A line for each event, or with --json an object in a line; an event \"lost\"\n"
            "where the kernel had to drop some. Ends by Ctrl-C (or SIGTERM, SIGHUP), and when\n"
            "nobody reads any more. When the module is unloaded, nothing comes from then on.\n"
            "Example: pinpin monitor --uid 1000 --json",
            false, declare_monitor, false},
    command{"metrics", "Print statistics for monitoring systems",
            "In the OpenMetrics format; --textfile writes the one of Prometheus, for the\n"
            "node exporter. With --json, an object of the same numbers. Those by user and by\n"
            "kind, and those of orphans and of the age, are about all users for root only.\n"
            "Example:\n"
            "  pinpin metrics --textfile /var/lib/prometheus/node-exporter/longpin.prom",
            false, declare_metrics, false},
    command{"system", "Show who has pinned or locked memory, by longpin or otherwise",
            "VmPin and VmLck are as in /proc/PID/status; OTHER is what of VmPin is not by\n"
            "longpin, but by RDMA, VFIO or io_uring, say; '?': you may not see that.\n"
            "Example: pinpin system --json",
            false, declare_system, false},
    command{"top", "Show who pins how much, on the full screen",
            "Shows processes, the largest first. Keys sort, scroll and show single pins (press\n"
            "h). Ends by q or Ctrl-C. root sees the pins of all users, others their own.\n"
            "Example: pinpin top --interval 5",
            false, declare_top, false},
    command{"doctor", "Look for what keeps memory from being pinned here, and how to mend it",
            "Looks at the module, the device, your limits and persistent memory, of which it\n"
            "makes dry runs. Exits 0 if there is no problem, 1 otherwise.\n"
            "Example: pinpin doctor",
            false, declare_doctor, true},
};

constexpr const char* footer =
    "SIZE is a number of bytes: 4096, 0x1000, 64k, 64M, 1G (powers of 1024).\n"
    "Exit codes: 0 done, 1 refused or failed, 2 wrong usage.\n"
    "'pinpin COMMAND --help' shows the options of a command.";

/// The command that was given, and what it is to do.
struct choice {
    const command* row = nullptr;
    action run;
};

/// All that may be given. \p session and \p chosen get what is parsed.
std::unique_ptr<CLI::App> declare(session& session, choice& chosen) {
    auto app = std::make_unique<CLI::App>(
        "Pin memory through /dev/longpin: hold it in place for as long as you say.", "pinpin");
    app->set_version_flag("--version", "pinpin " + std::string(longpin::version()));
    app->require_subcommand(1);
    app->footer(footer);
    for (const command& one : commands) {
        CLI::App* const sub = app->add_subcommand(one.name, one.summary);
        sub->footer(one.example);
        sub->add_flag("--json", session.json, "Print JSON instead of a table");
        if (one.opens_device) {
            sub->add_option("--device", session.device_path, "Path of the device")
                ->type_name("FILE")
                ->capture_default_str();
        }
        sub->final_callback(
            [&chosen, &one, run = one.declare(*sub)] { chosen = {.row = &one, .run = run}; });
    }
    return app;
}

/// What every run of pinpin ends in: parses, runs, and returns the exit code.
int dispatch(session& session, std::vector<std::string> words, bool has_program) {
    choice chosen;
    const std::unique_ptr<CLI::App> app = declare(session, chosen);
    try {
        std::ranges::reverse(words); // as CLI11 wants it
        app->parse(std::move(words));
    } catch (const CLI::Success& wanted) { // --help, --version
        return app->exit(wanted, session.out, session.out);
    }
    if (has_program && (!chosen.row->takes_program || session.program.empty())) {
        throw CLI::ValidationError("--", chosen.row->takes_program
                                             ? "a program is missing behind it"
                                             : fmt::format("{} runs no program", chosen.row->name));
    }
    return chosen.run(session);
}

/// Prints what may stand where the user pressed Tab: a line each.
int print_candidates(std::ostream& out, const std::vector<std::string>& words) {
    session session{.out = out};
    choice chosen;
    for (const std::string& one : complete(*declare(session, chosen), words)) {
        out << one << '\n';
    }
    return done;
}

} // namespace

int run(const std::vector<std::string>& words, std::ostream& out, std::ostream& err) {
    // What is printed is UTF-8 (printable()) whatever the user's locale, and is measured as that.
    std::setlocale(LC_CTYPE, "C.UTF-8"); // NOLINT(concurrency-mt-unsafe): no other thread yet

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
            err << wrapped("pinpin: " + what.message, emphasis::bad, has_colours(err),
                           terminal_width(err));
        }
    };
    int code = done;
    try {
        if (!words.empty() && words.front() == "__complete") { // hidden: completion.bash asks so
            code = print_candidates(out, {words.begin() + 1, words.end()});
        } else {
            code = dispatch(session, std::move(own), has_program);
        }
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
