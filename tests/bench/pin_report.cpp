// SPDX-License-Identifier: MIT
// On the host: what longpin-pin-bench found, as Markdown, as data for a chart, and compared with an
// earlier run.
#include "figure_tables.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace {

int run(int argc, char** argv) {
    CLI::App app("Report what longpin-pin-bench found.");
    app.require_subcommand(1);
    std::string file;
    std::string base;
    auto* const tables = app.add_subcommand("tables", "Markdown tables");
    tables->add_option("FILE", file, "the bench's JSON")->required();
    auto* const data = app.add_subcommand("data", "what chart.gnuplot draws");
    data->add_option("FILE", file, "the bench's JSON")->required();
    auto* const compare = app.add_subcommand("compare", "the ratios of two runs, as Markdown");
    compare->add_option("BASE", base, "the JSON of the earlier one")->required();
    compare->add_option("FILE", file, "that of the later one")->required();
    CLI11_PARSE(app, argc, argv);

    const bench::figures all = bench::read_figures(file);
    if (tables->parsed()) {
        bench::print_tables(all);
    } else if (data->parsed()) {
        bench::print_data(all);
    } else {
        bench::print_comparison(bench::read_figures(base), all);
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& failure) {
        fmt::print(stderr, "pin_report: {}\n", failure.what());
    }
    return 1;
}
