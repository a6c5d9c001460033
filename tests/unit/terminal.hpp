// SPDX-License-Identifier: MIT
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <iostream>
#include <string>
#include <utility>

#include <pty.h>
#include <unistd.h>

/// The standard output is a terminal of that width (0: it doesn't tell) as long as the object
/// lives, or until its text is read.
class terminal {
public:
    explicit terminal(unsigned short width = 0) {
        const winsize size{.ws_row = 25, .ws_col = width, .ws_xpixel = 0, .ws_ypixel = 0};
        int ours = -1;
        REQUIRE(::openpty(&master_, &ours, nullptr, nullptr, &size) == 0);
        std::cout.flush();
        before_ = ::dup(STDOUT_FILENO);
        ::dup2(ours, STDOUT_FILENO);
        ::close(ours);
    }
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;
    terminal(terminal&&) = delete;
    terminal& operator=(terminal&&) = delete;
    ~terminal() {
        leave();
        ::close(master_);
    }

    /// What was printed there.
    std::string text() {
        leave();
        std::string result;
        std::array<char, 4096> some{};
        for (ssize_t got = 0; (got = ::read(master_, some.data(), some.size())) > 0;) {
            result.append(some.data(), static_cast<std::size_t>(got));
        }
        std::erase(result, '\r');
        return result;
    }

private:
    void leave() {
        std::cout.flush();
        if (before_ >= 0) {
            ::dup2(before_, STDOUT_FILENO);
            ::close(std::exchange(before_, -1));
        }
    }

    int before_ = -1;
    int master_ = -1;
};
