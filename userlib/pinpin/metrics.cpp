// SPDX-License-Identifier: MIT
#include "arguments.hpp"
#include "cli.hpp"
#include "command.hpp"
#include "exposition.hpp"
#include "metric_families.hpp"
#include "output.hpp"
#include "replace_file.hpp"

#include <longpin/inventory.hpp>

#include <CLI/CLI.hpp>

#include <fstream>
#include <memory>
#include <ostream>
#include <string>

#include <unistd.h>

namespace pinpin {

namespace {

std::string module_version() {
    std::ifstream file("/sys/module/longpin/version");
    std::string version;
    return std::getline(file, version) ? version : "unknown";
}

int run_metrics(session& session, const std::string& textfile) {
    const longpin::inventory inventory;
    pin_sums sums(static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
    inventory.for_each_pin({}, [&](const longpin::pin_record& pin) { sums.add(pin); });
    const std::vector<metric_family> families =
        metric_families(inventory.statistics(), sums, module_version());
    if (!textfile.empty()) {
        replace_file(textfile, to_text(families, text_format::prometheus));
    } else if (session.json) {
        print_json(session.out, to_json(families));
    } else {
        session.out << to_text(families, text_format::openmetrics) << std::flush;
    }
    return done;
}

} // namespace

action declare_metrics(CLI::App& app) {
    const auto textfile = std::make_shared<std::string>();
    app.add_option("--textfile", *textfile, "Write a file, for the node exporter")
        ->type_name("PATH")
        ->check(check_not_empty)
        ->excludes("--json");
    return [textfile](session& session) { return run_metrics(session, *textfile); };
}

} // namespace pinpin
