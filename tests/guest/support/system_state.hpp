// SPDX-License-Identifier: MIT
// What the kernel says of pinned memory, from outside longpin.
#pragma once

#include <cstddef>
#include <string>
#include <sys/types.h>
#include <utility>

namespace guest {

inline constexpr std::size_t page = 4096;
// NOLINTBEGIN(readability-identifier-naming): as they are written everywhere
inline constexpr std::size_t KiB = 1024;
inline constexpr std::size_t MiB = 1024 * KiB;
inline constexpr std::size_t GiB = 1024 * MiB;
// NOLINTEND(readability-identifier-naming)

/// Long-term and other pins (FOLL_PIN) that the kernel holds now, in pages: what was acquired
/// less what was released, of /proc/vmstat. The references that longpin takes on device-DAX
/// pages are not among them.
long pinned_pages();

/// Pages that the kernel has taken in hand so far to move them (memory compaction), of
/// /proc/vmstat. It takes back leases on them, at any moment.
long compacted_pages();

/// VmPin of a process in bytes, of /proc/PID/status.
std::size_t vm_pin(pid_t pid);
std::size_t vm_pin();

/// Major and minor.
using kernel_version = std::pair<int, int>;
kernel_version running_kernel();

/// How often to repeat what is repeated that often: on the debug kernel, where all takes ten times
/// as long, a tenth of it.
int rounds(int wanted);

/// The number behind a word that starts a line of the file, as in /proc/vmstat. Throws if there is
/// none.
long number_after(const std::string& path, const std::string& word);

/// First line of a file, without its newline; "" if it can't be read.
std::string read_line(const std::string& path);

/// Writes a line into a file (a sysfs attribute, say): 0 or the errno.
int write_line(const std::string& path, const std::string& line);

} // namespace guest
