// SPDX-License-Identifier: MIT
// Memory that was mapped as the arguments say.
#pragma once

#include "arguments.hpp"
#include "descriptor.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace pinpin {

/// Owns a mapping, and knows which part of it is meant.
class mapping {
public:
    /// Maps what \p arguments name.
    /// \throws std::system_error  a system call failed
    /// \throws std::runtime_error  there is no such range
    explicit mapping(const memory_arguments& arguments);
    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    mapping(mapping&&) = delete;
    mapping& operator=(mapping&&) = delete;
    ~mapping();

    /// The bytes to be pinned: length bytes from offset.
    [[nodiscard]] std::span<std::byte> range() const noexcept { return range_; }

    /// How many bytes of range() there are now: of a file that was cut, fewer.
    [[nodiscard]] std::uint64_t present_length() const;

    /// Unmaps all of it. range() is dangling afterwards.
    void unmap() noexcept;

private:
    std::span<std::byte> whole_; // in whole pages; empty: nothing is mapped
    std::span<std::byte> range_;
    descriptor file_;          // none: memory that nobody cuts
    std::uint64_t offset_ = 0; // of range_ in it
};

} // namespace pinpin
