// SPDX-License-Identifier: MIT
// What pinning and unpinning costs, in instructions a page of 4 KiB, by longpin and by its peers.
// The memory is present before, and the system calls count too. JSON on standard output.
#include "pin_measurements.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <fstream>
#include <iostream>

namespace {

using bench::figures;

/// By so much a recorded figure may be exceeded.
constexpr double tolerance = 1.03;

/// Tells which figures have grown, as results of tests. Returns whether none has.
bool check(const figures& now, const figures& before) {
    const char* const results = std::getenv("LONGPIN_TEST_RESULTS");
    std::ofstream verdicts(results != nullptr ? results : "/dev/null");
    bool all_well = true;
    const auto earlier = before.by_name();
    for (const auto& [name, value] : now.by_name()) {
        const double allowed = earlier.at(name).value() * tolerance;
        const bool well = value.value() <= allowed;
        verdicts << (well ? "passed " : "failed ") << "instructions have not grown: " << name
                 << std::endl;
        if (!well) {
            fmt::print(stderr, "{}: {} instructions a page; recorded {}\n", name, *value,
                       *earlier.at(name));
        }
        all_well = all_well && well;
    }
    return all_well;
}

int run(int argc, char** argv) {
    CLI::App app("Count the instructions that pinning memory takes.");
    std::string wanted;
    std::string recorded;
    bool record = false;
    app.add_option("--memory", wanted, "only the kinds of memory that have this in their name");
    app.add_flag("--record", record, "only the figures that --check looks at");
    app.add_option("--check", recorded,
                   "measure those, and fail if they exceed the ones in that file by more than 3%");
    CLI11_PARSE(app, argc, argv);

    if (!recorded.empty()) {
        return check(bench::measure_recorded_pins(), bench::read_figures(recorded)) ? 0 : 1;
    }
    if (record) {
        nlohmann::json json = bench::measure_recorded_pins();
        json["comment"] = "SPDX-License-Identifier: MIT"; // the file is committed
        std::cout << json.dump(2) << std::endl;
    } else {
        std::cout << nlohmann::json(bench::measure_pins(wanted)) << std::endl;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& failure) {
        fmt::print(stderr, "pin_bench: {}\n", failure.what());
    }
    return 1;
}
