// SPDX-License-Identifier: MIT
// How long memory is held, or watched.
#pragma once

#include "descriptor.hpp"

#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <poll.h>

namespace pinpin {

/// What there is to do while pinpin waits.
struct errand {
    int descriptor = -1;       ///< of a file that is readable when there is something; -1: none
    std::function<void()> run; ///< does it
};

/// For as long as it lives, the signals that ask pinpin to end (SIGINT, SIGTERM, SIGHUP) end
/// the wait and not the process; one that was ignored (by nohup, say) stays so. Make one as soon as
/// memory is held, before anybody is told of it. Not earlier: Ctrl-C is to end a pin that is still
/// being made, and the kernel heeds only signals that kill.
class waiter {
public:
    /// \throws std::system_error  the process has too many open files
    waiter();
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;
    waiter(waiter&&) = delete;
    waiter& operator=(waiter&&) = delete;
    ~waiter();

    /// Waits for such a signal, or until the time is over, and runs the errand meanwhile.
    void wait(std::optional<double> seconds, const errand& meanwhile = {}) const;

    /// Waits until there is something to do about one of \p descriptors, as poll() tells it by
    /// their revents. \returns false when such a signal came, or the time is over
    [[nodiscard]] bool wait_for(std::span<pollfd> descriptors, std::optional<double> seconds) const;

    /// Runs a program, found by the PATH, and waits for its end. Signals are passed on to
    /// it (those of the keyboard reach it anyway). The errand is run meanwhile.
    /// \returns whether it exited 0
    /// \throws std::system_error  it could not be started
    [[nodiscard]] bool run(const std::vector<std::string>& program,
                           const errand& meanwhile = {}) const;

private:
    // Waits for one of the awaited signals, and runs the errand meanwhile. Empty: the time is over.
    [[nodiscard]] std::optional<siginfo_t> next_signal(std::chrono::steady_clock::time_point end,
                                                       const errand& meanwhile) const;

    sigset_t awaited_{};
    sigset_t before_{};
    sigset_t ending_{};  // of the awaited ones, those that ask pinpin to end
    descriptor signals_; // readable when one of these came
    descriptor any_;     // readable when any of the awaited ones did
};

} // namespace pinpin
