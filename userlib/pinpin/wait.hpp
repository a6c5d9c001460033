// SPDX-License-Identifier: MIT
// How long memory is held.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace pinpin {

/// Waits for SIGINT, SIGTERM or SIGHUP, or until the time is over. Returns true.
bool wait_for(std::optional<double> seconds);

/// Runs a program, found by the PATH, and waits for its end. Signals that ask pinpin to
/// end are passed on to it (those of the keyboard reach it anyway).
/// \returns whether it exited 0
/// \throws std::system_error  it could not be started
bool wait_for(const std::vector<std::string>& program);

} // namespace pinpin
