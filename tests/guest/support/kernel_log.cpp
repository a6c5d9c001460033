// SPDX-License-Identifier: MIT
#include "kernel_log.hpp"

#include "raw_device.hpp"
#include "system_state.hpp"

#include <algorithm>
#include <atomic>
#include <initializer_list>
#include <sstream>
#include <sys/klog.h>
#include <unistd.h>

namespace guest {

namespace {

constexpr const char* console_levels = "/proc/sys/kernel/printk";

} // namespace

kernel_log::kernel_log() {
    static std::atomic<int> count = 0;
    mark_ = "longpin-guest-tests " + std::to_string(::getpid()) + "." + std::to_string(++count);
    must(write_line("/dev/kmsg", mark_) == 0, "write to /dev/kmsg");
}

std::string kernel_log::text() const {
    constexpr int read_all = 3; // SYSLOG_ACTION_READ_ALL
    std::string text(1U << 20U, '\0');
    const int length = ::klogctl(read_all, text.data(), static_cast<int>(text.size()));
    must(length >= 0, "klogctl");
    text.resize(static_cast<std::size_t>(length));
    const std::size_t at = text.find(mark_);
    must(at != std::string::npos, "the mark in the kernel's log");
    return text.substr(text.find('\n', at) + 1);
}

std::string kernel_log::complaints(const char* except) const {
    std::istringstream lines(text());
    std::string found;
    for (std::string line; std::getline(lines, line);) {
        const auto has = [&](const char* words) { return line.find(words) != std::string::npos; };
        const bool complaint =
            std::ranges::any_of(std::initializer_list<const char*>{"BUG", "WARNING", "KASAN",
                                                                   "UBSAN", "ODEBUG", "Oops"},
                                has);
        if (complaint && (except == nullptr || !has(except))) {
            found += line + '\n';
        }
    }
    return found;
}

quiet_console::quiet_console() : before_(read_line(console_levels)) {
    must(write_line(console_levels, "1") == 0, "the console's level");
}

quiet_console::~quiet_console() {
    write_line(console_levels, before_);
}

} // namespace guest
