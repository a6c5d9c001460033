// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>
#include <longpin/export.hpp>
#include <longpin/pin.hpp>
#include <longpin/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace longpin {

/// What pages a buffer is made of.
enum class huge_pages {
    none,        ///< small ones, unless the system gives huge ones to everybody
    transparent, ///< 2 MiB wherever the kernel has them at hand, else small ones: the pin's
                 ///< footprint().runs tells
    hugetlb_2m,  ///< 2 MiB, of those that the administrator reserved, or failure
    hugetlb_1g,  ///< 1 GiB, likewise
};

/// How a buffer is to be made.
struct buffer_options {
    huge_pages huge = huge_pages::none; ///< what pages it is made of
    bool writable = true;     ///< the holder writes to it too, as a device does that receives data
    std::uint64_t cookie = 0; ///< for the caller's own use; pin::query() gives it back
};

/// Memory of the program's own that is pinned for as long as it lives:
///
///     longpin::pinned_buffer ring(device, 64U << 20U, {.huge = longpin::huge_pages::hugetlb_2m});
///     for (const longpin::extent& extent : ring.pin().extents()) { ... }
///     std::ranges::fill(ring.bytes(), std::byte{0});
///
/// Move-only. Its end is that of the pin first and of the mapping then. The memory is
/// anonymous, filled with zeroes, readable and writable for the program, and all there
/// from the beginning, since the pin brought every page in.
///
/// An object that was moved from has no bytes and an empty pin.
///
/// fork() copies pinned memory at once, and fails if there is no room for that (no huge
/// page left, say). The child's object is of the same pin, of which the class pin says
/// what to do, and of the copy, which is not pinned.
///
/// Thread safety: const members may be called by several threads at once; move and
/// destruction need the object for themselves. The bytes are memory like any other.
class LONGPIN_EXPORT pinned_buffer {
public:
    /// Maps and pins memory. On failure nothing of it is left.
    /// \param from     makes the pin; may be gone before the buffer
    /// \param size     bytes; those that are pinned and charged. What is mapped is whole
    ///                 pages
    /// \param options  how
    /// \throws error  EINVAL: the size is 0, or there are no huge pages of that size;
    ///                ENOMEM: not enough memory or huge pages, or a limit, with the
    ///                kernel's reason
    pinned_buffer(const device& from, std::size_t size, const buffer_options& options = {});

    /// As the constructor, for programs without exceptions.
    [[nodiscard]] static result<pinned_buffer> try_make(const device& from, std::size_t size,
                                                        const buffer_options& options = {});

    /// Takes the memory and its pin over, and leaves \p other without.
    pinned_buffer(pinned_buffer&& other) noexcept = default;

    /// Lets go of what is held so far, and takes \p other's over.
    pinned_buffer& operator=(pinned_buffer&& other) noexcept;

    pinned_buffer(const pinned_buffer&) = delete;
    pinned_buffer& operator=(const pinned_buffer&) = delete;
    ~pinned_buffer() = default;

    /// The memory, as many bytes as were asked for. Begins at a page of the kind.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept;

    /// The pin of all bytes().
    [[nodiscard]] const longpin::pin& pin() const noexcept { return pin_; }

private:
    struct LONGPIN_EXPORT unmapper {
        std::size_t length;
        void operator()(void* address) const noexcept;
    };
    using mapping = std::unique_ptr<void, unmapper>;

    pinned_buffer(mapping memory, std::span<std::byte> bytes, longpin::pin pin) noexcept;

    mapping memory_;
    std::span<std::byte> bytes_; // of memory_, if there is any
    longpin::pin pin_;           // the last: it ends before memory_
};

} // namespace longpin
