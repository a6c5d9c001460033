// SPDX-License-Identifier: MIT
// Tells a person at a terminal that a long call is under way.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>

namespace pinpin {

/// While it lives, and once that was more than half a second, a line on the terminal
/// says how long the call has taken. Does nothing when stderr is not a terminal.
///
/// Pinning is one call, and the kernel does not tell how far it is. What can be seen is
/// how much of the memory has been brought in (mincore), which is most of the work for
/// memory that was not there: so a bar shows that, and is left out for memory that was
/// there from the start, where it would say nothing.
class progress {
public:
    /// \param activity  "pinning"
    /// \param range     what is being pinned; must stay mapped while this lives
    progress(const std::string& activity, std::span<std::byte> range);

private:
    std::jthread drawer_; // ends with the object
};

/// The same where it is known how far the work is: a bar shows that. Once it has taken more than
/// half a second, the bar is drawn with each call; it is gone when the object is.
class measured_progress {
public:
    /// \param activity  "pinning 1 GiB"
    explicit measured_progress(std::string activity);
    measured_progress(const measured_progress&) = delete;
    measured_progress& operator=(const measured_progress&) = delete;
    measured_progress(measured_progress&&) = delete;
    measured_progress& operator=(measured_progress&&) = delete;
    ~measured_progress();

    void update(std::uint64_t done, std::uint64_t total);

private:
    std::string activity_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    bool terminal_;
    bool drawn_ = false;
};

} // namespace pinpin
