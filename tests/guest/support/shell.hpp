// SPDX-License-Identifier: MIT
// Commands as a person or a script gives them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace guest {

struct run_result {
    int code;
    std::string output; ///< standard output and standard error
};

run_result shell(const std::string& command);

/// The same as the ordinary user.
run_result shell_as_ordinary_user(const std::string& command);

/// pinpin with these arguments.
run_result pinpin(const std::string& arguments);

/// What was printed, which has to be JSON.
nlohmann::json parsed(const run_result& result);

} // namespace guest
