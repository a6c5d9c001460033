// SPDX-License-Identifier: MIT
#include "cli.hpp"
#include "colour.hpp"
#include "command.hpp"
#include "doctor_facts.hpp"
#include "doctor_findings.hpp"
#include "output.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace pinpin {

namespace {

json to_json(const finding& one) {
    return {{"check", one.check},
            {"state", name(one.state)},
            {"finding", one.sentence},
            {"mend", one.mend ? json(*one.mend) : json()}};
}

emphasis emphasis_of(severity how_bad) {
    switch (how_bad) {
    case severity::ok: return emphasis::good;
    case severity::note: return emphasis::warning;
    case severity::problem: break;
    }
    return emphasis::bad;
}

int run_doctor(session& session) {
    const std::vector<finding> findings = examine(gather(session.device_path));
    if (session.json) {
        json list = json::array();
        for (const finding& one : findings) {
            list.push_back(to_json(one));
        }
        print_json(session.out, list);
    } else {
        const bool coloured = has_colours(session.out);
        const std::size_t width = terminal_width(session.out);
        for (const finding& one : findings) {
            session.out << wrapped(
                fmt::format("{}: {}: {}", name(one.state), one.check, one.sentence),
                emphasis_of(one.state), coloured, width);
            if (one.mend) { // in one line, to be copied
                session.out << "    " << *one.mend << '\n';
            }
        }
    }
    const bool is_ill = std::ranges::any_of(
        findings, [](const finding& one) { return one.state == severity::problem; });
    return is_ill ? failed : done;
}

} // namespace

action declare_doctor(CLI::App& /*app*/) {
    return run_doctor;
}

} // namespace pinpin
