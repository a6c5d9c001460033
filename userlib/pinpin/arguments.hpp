// SPDX-License-Identifier: MIT
// The arguments that name memory, shared by hold and check.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace pinpin {

/// A number of bytes on the command line.
struct byte_count {
    std::uint64_t bytes = 0;
};

/// What turns the text of an option into its value, for CLI11.
bool lexical_cast(const std::string& text, byte_count& value);

/// A check for CLI11, which takes an empty word for no option at all: with a script's empty
/// variable everything would be meant. Empty, or what is wrong.
std::string check_not_empty(const std::string& text);

/// Which memory is meant: one of file, anon, memfd and hugetlb is set.
struct memory_arguments {
    std::string file;
    std::optional<byte_count> anon;
    std::optional<byte_count> memfd;
    std::optional<byte_count> hugetlb;
    byte_count offset;
    std::optional<byte_count> length; ///< empty: from the offset to the end
    bool write = false;
    bool private_mapping = false;

    /// What the memory is, in words: "data.bin", "anonymous memory".
    [[nodiscard]] std::string description() const;
};

/// What the help says of --lease.
inline constexpr const char* lease_help =
    "A pin that the kernel may take back when what is mapped there changes: the one that a file on "
    "fs-DAX may have";

/// Declares the options of \p arguments, which must live until they are parsed.
void declare_memory(CLI::App& app, memory_arguments& arguments);

} // namespace pinpin
