// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>

namespace longpin {

namespace detail {
class open_file;
}

/// A physically contiguous stretch of a pin.
struct extent {
    std::uint64_t offset = 0;           ///< first byte, counted from the start of the pin
    std::uint64_t length = 0;           ///< bytes
    std::uint64_t physical_address = 0; ///< of the first byte; 0 without CAP_SYS_ADMIN

    /// Equal when all members are.
    bool operator==(const extent&) const = default;
};

/// A part of a pin's extents: what pin::try_extents() listed.
struct extent_page {
    std::span<extent> extents; ///< the head of the caller's buffer
    std::uint64_t next = 0;    ///< the offset to go on from; the pin's length: all was listed
};

/// The extents of a pin, in the order of their offsets: an input range that asks the
/// kernel for 256 at a time, so that a pin with millions of them takes no more memory
/// than one with a few. Made by pin::extents(); begin() starts from the front.
///
///     for (const longpin::extent& extent : pin.extents()) { ... }
///     std::ranges::copy(pin.extents(), std::back_inserter(a_vector));
///
/// Does not refer to the pin object, which may be moved meanwhile. If the pin ends, the
/// next question to the kernel throws ENOENT. Keeps the open file alive.
///
/// A range and its iterators are used by one thread at a time; any number of ranges over
/// one pin may be used at once.
class LONGPIN_EXPORT extent_range {
public:
    /// Refers to its range. All iterators of a range share one position.
    class LONGPIN_EXPORT iterator {
    public:
        /// Goes once, from the front.
        using iterator_concept = std::input_iterator_tag;
        /// What it goes over.
        using value_type = extent;
        /// Not that there were any.
        using difference_type = std::ptrdiff_t;

        /// The extent; valid until the iterator moves on.
        const extent& operator*() const noexcept;

        /// The same.
        const extent* operator->() const noexcept { return &**this; }

        /// Moves on.
        /// \throws error  ENOENT: the pin has ended
        iterator& operator++();

        /// The same.
        void operator++(int) { ++*this; }

        /// Whether all extents were seen.
        bool operator==(std::default_sentinel_t end) const noexcept;

    private:
        friend class extent_range;
        explicit iterator(extent_range& range) noexcept : range_(&range) {}

        extent_range* range_;
    };

    /// Starts from the front.
    /// \throws error  ENOENT: the pin has ended
    [[nodiscard]] iterator begin();

    /// What an iterator is equal to when all extents were seen.
    [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

private:
    friend class pin;
    extent_range(std::shared_ptr<const detail::open_file> file, std::uint32_t handle,
                 std::uint64_t length) noexcept;

    void fetch(std::uint64_t offset);

    std::shared_ptr<const detail::open_file> file_;
    std::uint32_t handle_;
    std::uint64_t length_; // of the pin, in bytes
    std::array<extent, 256> buffer_;
    std::size_t count_ = 0;   // extents in buffer_
    std::size_t current_ = 0; // among them; count_: all was seen
    std::uint64_t next_ = 0;  // offset to go on from
};

} // namespace longpin
