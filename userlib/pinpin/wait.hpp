// SPDX-License-Identifier: MIT
// How long memory is held, or watched.
#pragma once

#include "descriptor.hpp"

#include <csignal>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <poll.h>

namespace pinpin {

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

    /// Waits for such a signal, or until the time is over.
    void wait(std::optional<double> seconds) const;

    /// Waits until there is something to do about one of \p descriptors, as poll() tells it by
    /// their revents. \returns false when such a signal came, or the time is over
    [[nodiscard]] bool wait_for(std::span<pollfd> descriptors, std::optional<double> seconds) const;

    /// Runs a program, found by the PATH, and waits for its end. Signals are passed on to
    /// it (those of the keyboard reach it anyway).
    /// \returns whether it exited 0
    /// \throws std::system_error  it could not be started
    [[nodiscard]] bool run(const std::vector<std::string>& program) const;

private:
    sigset_t awaited_{};
    sigset_t before_{};
    sigset_t ending_{};  // of the awaited ones, those that ask pinpin to end
    descriptor signals_; // readable when one of these came
};

} // namespace pinpin
