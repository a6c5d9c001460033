// SPDX-License-Identifier: MIT
#include "system_state.hpp"

#include "raw_device.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <stdexcept>
#include <sys/utsname.h>
#include <unistd.h>

namespace guest {

long number_after(const std::string& path, const std::string& word) {
    std::ifstream lines(path);
    for (std::string name; lines >> name;) {
        long value = 0;
        if (name == word && lines >> value) {
            return value;
        }
        lines.ignore(4096, '\n');
    }
    throw std::runtime_error(path + " has no " + word);
}

long pinned_pages() {
    read_line("/proc/sys/vm/stat_refresh"); // the counts are per CPU until they are folded
    return number_after("/proc/vmstat", "nr_foll_pin_acquired") -
           number_after("/proc/vmstat", "nr_foll_pin_released");
}

long compacted_pages() {
    return number_after("/proc/vmstat", "compact_isolated");
}

std::size_t vm_pin(pid_t pid) {
    return static_cast<std::size_t>(
               number_after("/proc/" + std::to_string(pid) + "/status", "VmPin:")) *
           1024;
}

std::size_t vm_pin() {
    return vm_pin(::getpid());
}

kernel_version running_kernel() {
    utsname name{};
    kernel_version version;
    if (::uname(&name) != 0 ||
        std::sscanf(name.release, "%d.%d", &version.first, &version.second) != 2) {
        throw std::runtime_error("no version in uname");
    }
    return version;
}

int rounds(int wanted) {
    static const bool debug_kernel = ::access("/sys/kernel/debug/kmemleak", F_OK) == 0;
    return debug_kernel ? wanted / 10 : wanted;
}

std::string read_line(const std::string& path) {
    std::ifstream stream(path);
    std::string line;
    std::getline(stream, line);
    return line;
}

int write_line(const std::string& path, const std::string& line) {
    const file target(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (target.get() < 0) {
        return errno;
    }
    const std::string text = line + '\n';
    return ::write(target.get(), text.data(), text.size()) < 0 ? errno : 0;
}

} // namespace guest
