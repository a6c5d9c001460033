// SPDX-License-Identifier: MIT
// What /proc says of processes and their memory.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace pinpin {

/// A process, by its /proc/PID/status.
struct process_status {
    pid_t pid = 0;
    std::string comm;
    uid_t uid = 0;            ///< the real one
    bool has_memory = false;  ///< false: a kernel thread, or a process that is ending
    std::uint64_t vm_pin = 0; ///< bytes pinned for good, whoever did it
    std::uint64_t vm_lck = 0; ///< bytes locked by mlock() and the like

    bool operator==(const process_status&) const = default;
};

/// Reads the text of such a file.
process_status parse_status(std::istream& text);

/// Empty: there is no such process.
std::optional<process_status> read_process(pid_t pid);

/// All of them, in the order of their pids. What ends meanwhile may be missing.
std::vector<process_status> read_processes();

} // namespace pinpin
