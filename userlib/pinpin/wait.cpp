// SPDX-License-Identifier: MIT
#include "wait.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <system_error>

#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pinpin {

namespace {

pid_t start(const std::vector<std::string>& program, const sigset_t& mask) {
    std::vector<char*> words;
    for (const std::string& word : program) {
        words.push_back(const_cast<char*>(word.c_str())); // NOLINT: exec() does not write to it
    }
    words.push_back(nullptr);

    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setsigmask(&attributes, &mask);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    pid_t child = 0;
    const int failed =
        ::posix_spawnp(&child, words.front(), nullptr, &attributes, words.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) {
        throw std::system_error(failed, std::generic_category(), "cannot run " + program.front());
    }
    return child;
}

using clock = std::chrono::steady_clock;

clock::time_point end_of(std::optional<double> seconds) {
    static constexpr double forever = 1e9; // some thirty years
    return clock::now() + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(
                              std::min(seconds.value_or(forever), forever)));
}

timespec left_until(clock::time_point end) {
    const auto left = std::max(end - clock::now(), clock::duration::zero());
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(left);
    return {.tv_sec = whole.count(), .tv_nsec = std::chrono::nanoseconds(left - whole).count()};
}

} // namespace

waiter::waiter() {
    ::sigemptyset(&awaited_);
    ::sigaddset(&awaited_, SIGCHLD);
    ::sigemptyset(&ending_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction action {};
        ::sigaction(signal, nullptr, &action);
        if (action.sa_handler != SIG_IGN) { // NOLINT: macros of the system
            ::sigaddset(&awaited_, signal);
            ::sigaddset(&ending_, signal);
        }
    }
    signals_ = descriptor(::signalfd(-1, &ending_, SFD_CLOEXEC));
    any_ = descriptor(::signalfd(-1, &awaited_, SFD_CLOEXEC));
    if (signals_.get() < 0 || any_.get() < 0) {
        throw std::system_error(errno, std::generic_category(), "cannot wait for signals");
    }
    ::sigprocmask(SIG_BLOCK, &awaited_, &before_);
    ::signal(SIGCHLD, SIG_DFL); // or a parent that ignored it would make us deaf
}

waiter::~waiter() {
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<siginfo_t> waiter::next_signal(clock::time_point end, const errand& meanwhile) const {
    for (;;) {
        std::array<pollfd, 2> both{
            {{.fd = any_.get(), .events = POLLIN}, {.fd = meanwhile.descriptor, .events = POLLIN}}};
        const timespec timeout = left_until(end);
        const int ready = ::ppoll(both.data(), both.size(), &timeout, nullptr);
        if (ready < 0 && errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "cannot wait");
        }
        if (ready > 0 && both[1].revents != 0) {
            meanwhile.run();
        }
        if (ready > 0 && both[0].revents != 0) {
            static constexpr timespec at_once{};
            siginfo_t info{};
            if (::sigtimedwait(&awaited_, &info, &at_once) > 0) {
                return info;
            }
        }
        if (ready == 0 || clock::now() >= end) {
            return std::nullopt;
        }
    }
}

void waiter::wait(std::optional<double> seconds, const errand& meanwhile) const {
    const auto end = end_of(seconds);
    for (;;) {
        const std::optional<siginfo_t> signal = next_signal(end, meanwhile);
        if (!signal || signal->si_signo != SIGCHLD) {
            return;
        }
    }
}

bool waiter::wait_for(std::span<pollfd> descriptors, std::optional<double> seconds) const {
    std::vector<pollfd> all(descriptors.begin(), descriptors.end());
    all.push_back({.fd = signals_.get(), .events = POLLIN});
    const auto end = end_of(seconds);
    for (;;) {
        const timespec timeout = left_until(end);
        const int ready = ::ppoll(all.data(), all.size(), &timeout, nullptr);
        if (ready < 0 && errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "cannot wait");
        }
        if (ready == 0) {
            return false;
        }
        if (ready > 0 && all.back().revents != 0) {
            // It is taken, or it would end this process once it is not blocked any more.
            static constexpr timespec at_once{};
            ::sigtimedwait(&ending_, nullptr, &at_once);
            return false;
        }
        if (ready > 0) {
            std::copy_n(all.begin(), descriptors.size(), descriptors.begin());
            return true;
        }
    }
}

bool waiter::run(const std::vector<std::string>& program, const errand& meanwhile) const {
    const pid_t child = start(program, before_);
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) != child) {
        const std::optional<siginfo_t> signal = next_signal(clock::time_point::max(), meanwhile);
        if (!signal || signal->si_signo == SIGCHLD) {
            continue;
        }
        const bool from_keyboard = signal->si_signo == SIGINT && signal->si_code == SI_KERNEL;
        if (!from_keyboard) {
            ::kill(child, signal->si_signo);
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace pinpin
