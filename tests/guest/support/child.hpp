// SPDX-License-Identifier: MIT
// Doing things in another process. Assertions stay in the test's own process: a child only
// returns values.
#pragma once

#include "mapping.hpp"

#include <functional>
#include <memory>
#include <type_traits>

#include <sys/types.h>
#include <unistd.h>

namespace guest {

inline constexpr uid_t ordinary_user = 1000;

/// A forked process that runs a function and ends by _exit(). Killed and waited for on
/// destruction if it still runs.
class child {
public:
    explicit child(const std::function<void()>& work);
    child(const child&) = delete;
    child& operator=(const child&) = delete;
    child(child&&) = delete;
    child& operator=(child&&) = delete;
    ~child();

    [[nodiscard]] pid_t pid() const { return pid_; }

    /// Waits for the end. True if the function returned.
    bool wait();

    /// Whether it ends, for 20 s at most. wait() tells how.
    [[nodiscard]] bool ends() const;

    /// SIGKILL, and waits.
    void kill();

private:
    pid_t pid_;
};

/// A gate between processes: pass() returns once somebody opened it.
class gate {
public:
    gate();
    void open();
    void pass();

    /// As pass(), but not for longer than that. True if the gate was opened.
    bool pass_within(int milliseconds);

private:
    file read_end_, write_end_;
};

/// Waits until something is so, for 20 s at most. False if it never was.
bool eventually(const std::function<bool()>& is_so);

/// An open file of another process, as one of our own.
file copy_descriptor(pid_t process, int descriptor);

/// Gives up root for good, as setuid programs do.
void become_ordinary_user();

/// The soft and hard RLIMIT_MEMLOCK.
void set_memlock_limit(std::size_t bytes);

/// Runs a function in a child and returns its value. Throws if the child didn't get there.
template <typename Work>
auto in_child(const Work& work) {
    using value = std::invoke_result_t<Work>;
    static_assert(std::is_trivially_copyable_v<value>);
    const mapping memory = mapping::shared_anonymous(sizeof(value));
    child process([&] { *memory.as<value>() = work(); });
    if (!process.wait()) {
        throw std::runtime_error("a child of the test died");
    }
    return *memory.as<value>();
}

/// The same as the ordinary user.
template <typename Work>
auto as_ordinary_user(const Work& work) {
    return in_child([&] {
        become_ordinary_user();
        return work();
    });
}

} // namespace guest
