// SPDX-License-Identifier: MIT
// The command line as a whole: finds the command, runs it, and reports what failed.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace pinpin {

enum exit_code : int {
    done = 0,   // or: allowed
    failed = 1, // or: refused
    misused = 2,
};

/// Runs pinpin with the words behind its name. Results go to \p out, and so do errors
/// with --json; otherwise errors go to \p err. Returns an exit_code. Sets the process's LC_CTYPE.
int run(const std::vector<std::string>& words, std::ostream& out, std::ostream& err);

} // namespace pinpin
