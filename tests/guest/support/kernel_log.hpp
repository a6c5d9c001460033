// SPDX-License-Identifier: MIT
// What the kernel prints while a test runs.
#pragma once

#include <string>

namespace guest {

/// The kernel's log from the moment on that the object is made.
class kernel_log {
public:
    kernel_log();

    /// What was printed since then.
    [[nodiscard]] std::string text() const;

    /// The lines of it that tell of a mistake, but for those with these words.
    [[nodiscard]] std::string complaints(const char* except = nullptr) const;

private:
    std::string mark_;
};

/// As long as the object lives nothing is printed on the console: for what the kernel reports with
/// a call trace though nothing is wrong. The log has it nevertheless.
class quiet_console {
public:
    quiet_console();
    quiet_console(const quiet_console&) = delete;
    quiet_console& operator=(const quiet_console&) = delete;
    quiet_console(quiet_console&&) = delete;
    quiet_console& operator=(quiet_console&&) = delete;
    ~quiet_console();

private:
    std::string before_;
};

} // namespace guest
