// SPDX-License-Identifier: MIT
// What a command is made of. Each has a file of its own and a row in cli.cpp's table.
#pragma once

#include <longpin/device.hpp>

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace pinpin {

/// What every command gets.
struct session {
    std::ostream& out;
    std::string device_path = longpin::device::default_path;
    bool json = false;
    std::vector<std::string> program; ///< the words behind "--"
};

/// Runs a command whose options were parsed. Returns an exit_code.
using action = std::function<int(session&)>;

/// Each of these declares a command's options in \p app, and returns what to do once
/// they are parsed.
action declare_info(CLI::App& app);
action declare_hold(CLI::App& app);
action declare_check(CLI::App& app);
action declare_list(CLI::App& app);
action declare_show(CLI::App& app);
action declare_monitor(CLI::App& app);
action declare_metrics(CLI::App& app);
action declare_system(CLI::App& app);
action declare_top(CLI::App& app);
action declare_doctor(CLI::App& app);

} // namespace pinpin
