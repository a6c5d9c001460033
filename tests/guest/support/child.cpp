// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>

namespace guest {

child::child(const std::function<void()>& work) : pid_(::fork()) {
    must(pid_ >= 0, "fork");
    if (pid_ > 0) {
        return;
    }
    try {
        work();
        ::_exit(0);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "child: %s\n", failure.what());
        ::_exit(1);
    }
}

child::~child() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
}

bool child::wait() {
    int status = 0;
    must(::waitpid(std::exchange(pid_, 0), &status, 0) > 0, "waitpid");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool child::ends() const {
    return eventually([this] {
        siginfo_t info{};
        return ::waitid(P_PID, id_t(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == pid_;
    });
}

void child::kill() {
    ::kill(pid_, SIGKILL);
    wait();
}

gate::gate() {
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
    read_end_ = file(ends[0]);
    write_end_ = file(ends[1]);
}

void gate::open() {
    must(::write(write_end_.get(), "", 1) == 1, "write");
}

void gate::pass() {
    pass_within(-1);
}

bool gate::pass_within(int milliseconds) {
    pollfd ready{read_end_.get(), POLLIN, 0};
    if (::poll(&ready, 1, milliseconds) == 0) {
        return false;
    }
    char byte = 0;
    must(::read(read_end_.get(), &byte, 1) == 1, "read");
    return true;
}

bool eventually(const std::function<bool()>& is_so) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!is_so()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        ::usleep(500);
    }
    return true;
}

file copy_descriptor(pid_t process, int descriptor) {
    const file target(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
    must(target.get() >= 0, "pidfd_open");
    file copy(static_cast<int>(::syscall(SYS_pidfd_getfd, target.get(), descriptor, 0)));
    must(copy.get() >= 0, "pidfd_getfd");
    return copy;
}

void become_ordinary_user() {
    must(::setgroups(0, nullptr) == 0, "setgroups");
    must(::setresgid(ordinary_user, ordinary_user, ordinary_user) == 0, "setresgid");
    must(::setresuid(ordinary_user, ordinary_user, ordinary_user) == 0, "setresuid");
    // A change of user hides /proc/self from its owner.
    must(::prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
}

void set_memlock_limit(std::size_t bytes) {
    const rlimit limit{bytes, bytes};
    must(::setrlimit(RLIMIT_MEMLOCK, &limit) == 0, "setrlimit");
}

} // namespace guest
