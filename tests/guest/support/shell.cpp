// SPDX-License-Identifier: MIT
#include "shell.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <sys/wait.h>

namespace guest {

run_result shell(const std::string& command) {
    std::FILE* const pipe = ::popen(("{ " + command + "\n} 2>&1").c_str(), "r");
    if (pipe == nullptr) {
        throw std::runtime_error("popen");
    }
    run_result result{};
    std::array<char, 4096> buffer{};
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
        result.output.append(buffer.data(), got);
    }
    result.code = WEXITSTATUS(::pclose(pipe));
    return result;
}

run_result shell_as_ordinary_user(const std::string& command) {
    std::string quoted;
    for (const char letter : command) {
        quoted += letter == '\'' ? "'\\''" : std::string(1, letter);
    }
    return shell("su user -c '" + quoted + "'");
}

run_result pinpin(const std::string& arguments) {
    return shell("pinpin " + arguments);
}

nlohmann::json parsed(const run_result& result) {
    INFO(result.output);
    REQUIRE(nlohmann::json::accept(result.output));
    return nlohmann::json::parse(result.output);
}

} // namespace guest
