// SPDX-License-Identifier: MIT
// Figures for people, on standard output.
#pragma once

#include "figures.hpp"

namespace bench {

/// Markdown: of all pinners, of longpin's targets, and of longpin's other figures.
void print_tables(const figures& all);

/// What chart.gnuplot draws.
void print_data(const figures& all);

/// Markdown: each figure of two runs, and the ratio of the last one to the first.
void print_comparison(const figures& base, const figures& last);

} // namespace bench
