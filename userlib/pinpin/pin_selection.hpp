// SPDX-License-Identifier: MIT
// Which pins are meant, on the command line.
#pragma once

#include "arguments.hpp"
#include "users.hpp"

#include <longpin/inventory.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace pinpin {

/// Bytes from the first to the last, both included.
struct byte_range {
    std::uint64_t first = 0;
    std::uint64_t last = std::numeric_limits<std::uint64_t>::max();

    bool operator==(const byte_range&) const = default;
};

/// What turns the text of an option into its value, for CLI11: "0x7f0000000000",
/// "0x7f0000000000+64M" or, as in /proc/PID/maps, "7f0000000000-7f0004000000".
bool lexical_cast(const std::string& text, byte_range& value);

/// A file, as far as a mapping of it tells which it is.
struct file_identity {
    std::string path; ///< the real one
    std::uint32_t device_major = 0;
    std::uint32_t device_minor = 0;
    std::uint64_t inode = 0;

    /// \throws std::system_error  there is no such file
    static file_identity of(const std::string& path);

    [[nodiscard]] bool is(const longpin::mapped_file& mapped) const;
};

/// Which pins are meant: those that match every member that is set.
struct pin_selection {
    longpin::pin_filter filter; ///< what the kernel looks at
    std::optional<byte_range> addresses;
    std::optional<file_identity> file;
    byte_range part_of_file;
    bool orphans = false;

    /// Whether what the kernel does not look at matches. A pin holds whole pages, and matches where
    /// they do.
    [[nodiscard]] bool matches(const longpin::pin_record& pin, std::uint64_t page_size) const;
};

/// The options that select pins.
struct selection_arguments {
    std::optional<pid_t> pid;
    std::optional<user_argument> user;
    std::vector<std::string> kinds;
    std::optional<std::uint32_t> context;
    std::optional<std::uint32_t> handle;
    std::optional<byte_range> addresses;
    std::string file;
    byte_count offset;
    std::optional<byte_count> length;
    bool orphans = false;

    /// \throws std::system_error  there is no such file
    [[nodiscard]] pin_selection selection() const;
};

/// Declares the options of \p arguments, which must live until they are parsed.
void declare_selection(CLI::App& app, selection_arguments& arguments);

} // namespace pinpin
