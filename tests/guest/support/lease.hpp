// SPDX-License-Identifier: MIT
// Files on fs-DAX, and leased pins of them.
#pragma once

#include "mapping.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace guest {

inline constexpr std::uint32_t leased = LONGPIN_PIN_LEASE;
inline constexpr std::uint32_t leased_write = LONGPIN_PIN_LEASE | LONGPIN_PIN_WRITE;

/// The backings that are file systems with DAX.
inline constexpr std::array<const char*, 2> dax_filesystems = {"xfs_dax", "ext4_dax"};

/// A file on fs-DAX, filled with the pattern of fill() and mapped whole, shared.
struct dax_file {
    dax_file(const std::string& filesystem, std::size_t size);

    file descriptor;
    mapping memory;
};

/// The file system of a file, frozen as long as the object lives: whoever touches a page of a file
/// on fs-DAX there, to write to it, and finds it not mapped for that, sleeps until then. So pages
/// of it that are being pinned for writing make the call stop in its middle.
class frozen {
public:
    explicit frozen(const file& member);
    frozen(const frozen&) = delete;
    frozen& operator=(const frozen&) = delete;
    frozen(frozen&&) = delete;
    frozen& operator=(frozen&&) = delete;
    ~frozen() { thaw(); }

    void thaw();

private:
    const file& member_;
    bool frozen_ = true;
};

/// Waits until the process sleeps and no signal but SIGKILL can wake it, as in a frozen file
/// system. False if that takes too long.
bool falls_asleep(pid_t process);

/// Pins all of that memory as a lease for writing, with a grace. Returns the handle; throws if it
/// is refused.
std::uint32_t must_pin_with_grace(const raw_device& device, const mapping& memory,
                                  std::uint32_t grace_ms);

/// What QUERY says of a pin that has to be there.
longpin_query must_query(const raw_device& device, std::uint32_t handle);

/// Whether the pages [\p first, \p end) are those that COPY calls stale, and all others of the pin,
/// which starts at a page, hold what is mapped there. QUERY, EXTENTS and COPY agree.
bool lost_exactly(const raw_device& device, std::uint32_t handle, std::size_t first,
                  std::size_t end);

} // namespace guest
