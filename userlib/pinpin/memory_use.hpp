// SPDX-License-Identifier: MIT
// Pinned and locked memory of processes, beside what longpin knows of.
#pragma once

#include "output.hpp"
#include "process_status.hpp"
#include "users.hpp"

#include <longpin/inventory.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace pinpin {

/// A process, and what pinned its memory.
struct memory_use {
    process_status process;
    std::optional<std::uint64_t> longpin; ///< bytes that it pinned through longpin; empty: not seen

    /// Bytes that others pinned for it; empty: not known.
    [[nodiscard]] std::optional<std::uint64_t> other() const;
};

/// What longpin holds for processes.
struct longpin_use {
    std::map<pid_t, std::uint64_t> by_process; ///< bytes
    std::uint64_t orphaned_pins = 0;
    std::uint64_t orphaned_size = 0; ///< bytes

    void add(const longpin::pin_record& pin, std::uint64_t page_size);
};

/// The processes with memory of their own, the one with most pinned first.
/// \param seen_user  whose pins are in \p use; empty: everybody's
/// \param all        also those that have nothing pinned or locked
std::vector<memory_use> compare(std::vector<process_status> processes, const longpin_use& use,
                                std::optional<uid_t> seen_user, bool all);

/// What tables and JSON show of a process.
record memory_fields(const memory_use& one, user_names& users);

} // namespace pinpin
