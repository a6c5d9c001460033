// SPDX-License-Identifier: MIT
#include "wait.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <system_error>

#include <spawn.h>
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

} // namespace

waiter::waiter() {
    ::sigemptyset(&awaited_);
    ::sigaddset(&awaited_, SIGCHLD);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction action {};
        ::sigaction(signal, nullptr, &action);
        if (action.sa_handler != SIG_IGN) { // NOLINT: macros of the system
            ::sigaddset(&awaited_, signal);
        }
    }
    ::sigprocmask(SIG_BLOCK, &awaited_, &before_);
    ::signal(SIGCHLD, SIG_DFL); // or a parent that ignored it would make us deaf
}

waiter::~waiter() {
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void waiter::wait(std::optional<double> seconds) const {
    using namespace std::chrono;
    static constexpr double forever = 1e9; // some thirty years
    const auto end = steady_clock::now() + duration_cast<steady_clock::duration>(duration<double>(
                                               std::min(seconds.value_or(forever), forever)));
    for (;;) {
        const auto left = std::max(end - steady_clock::now(), steady_clock::duration::zero());
        const auto whole = duration_cast<std::chrono::seconds>(left);
        const timespec timeout{.tv_sec = whole.count(),
                               .tv_nsec = nanoseconds(left - whole).count()};
        const int signal = ::sigtimedwait(&awaited_, nullptr, &timeout);
        const bool over = signal < 0 && errno == EAGAIN;
        if (over || (signal > 0 && signal != SIGCHLD)) {
            return;
        }
    }
}

bool waiter::run(const std::vector<std::string>& program) const {
    const pid_t child = start(program, before_);
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) != child) {
        siginfo_t info{};
        const int signal = ::sigwaitinfo(&awaited_, &info);
        const bool from_keyboard = signal == SIGINT && info.si_code == SI_KERNEL;
        if (signal > 0 && signal != SIGCHLD && !from_keyboard) {
            ::kill(child, signal);
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace pinpin
