// SPDX-License-Identifier: MIT
// The terminal as a whole: lines to show, and keys.
#pragma once

#include "top_model.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <variant>

namespace pinpin {

/// Ctrl-C, a signal that asks pinpin to end, or a terminal that is gone.
struct quit_request {};

/// The size is another, or somebody else wrote to the terminal.
struct redraw_request {};

/// What a user, and others, want: a letter has a meaning of its own.
using user_input = std::variant<char, motion, quit_request, redraw_request>;

/// The whole terminal, for as long as it lives; what was there before comes back then, where
/// terminals can do so. One at a time.
class screen {
public:
    /// \throws std::runtime_error  there is no terminal, or none that could be used so
    screen();
    screen(const screen&) = delete;
    screen& operator=(const screen&) = delete;
    screen(screen&&) = delete;
    screen& operator=(screen&&) = delete;
    ~screen();

    [[nodiscard]] screen_size size() const;

    void show(std::span<const top_line> lines);

    /// Waits until something is wanted. Empty: until that time, nothing was.
    std::optional<user_input> next(std::chrono::steady_clock::time_point until);

private:
    struct terminal;
    std::unique_ptr<terminal> terminal_;
};

} // namespace pinpin
