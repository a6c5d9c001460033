// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>
#include <longpin/extent.hpp>
#include <longpin/memory_kind.hpp>
#include <longpin/result.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace longpin {

/// What a pin holds, or would hold.
struct footprint {
    memory_kind kinds = memory_kind::none; ///< of the memory
    std::uint64_t pages = 0;               ///< pages held, and charged to the user
    std::uint64_t runs = 0;                ///< physically contiguous runs among them
    std::uint64_t bookkeeping = 0;         ///< bytes of kernel memory for the records

    /// Equal when all members are.
    bool operator==(const footprint&) const = default;
};

/// All that the kernel knows of a pin.
struct pin_info {
    std::uint32_t handle = 0;          ///< names the pin in its context; never 0
    std::uint64_t address = 0;         ///< first byte, in the process that made the pin
    std::uint64_t length = 0;          ///< bytes
    std::uint64_t cookie = 0;          ///< as given in pin_options
    bool writable = false;             ///< made by device::pin_writable()
    longpin::footprint footprint;      ///< what it holds now
    bool lease = false;                ///< the kernel may take pages back, as told at pin_options
    std::chrono::milliseconds grace{}; ///< as given in pin_options
    std::uint64_t revoked_pages = 0;   ///< pages of the range that the pin no longer holds
};

/// Memory held in place: owns one handle of the kernel, and ends the pin when it is
/// destroyed. Made by device::pin(). Move-only.
///
/// The memory stays held when it is unmapped, unless the pin is a lease; and the pin keeps the open
/// file alive: it may outlive the device object.
///
/// An object that was moved from, unpinned, reset or detached is empty: it may be
/// tested, assigned, reset and destroyed; every other member throws std::logic_error.
///
/// After fork() both processes have the object, and the pin ends when the first of
/// them destroys it: the child should detach() its copy, or leave by exec or _exit.
///
/// What the try_ members return, and what they throw all the same, is told at result.
///
/// Thread safety: const members may be called by several threads at once, write() too;
/// overlapping copies happen in no certain order. The other members need the object for
/// themselves: a pin has one owner, and hands itself over by a move that the two threads
/// order. Different pins, also of one device, are independent of each other and of the
/// device object.
class LONGPIN_EXPORT pin {
public:
    /// Takes the pin over, and leaves \p other empty.
    pin(pin&& other) noexcept;

    /// Ends the pin held so far as reset() does, and takes \p other's over.
    pin& operator=(pin&& other) noexcept;

    pin(const pin&) = delete;
    pin& operator=(const pin&) = delete;

    /// Ends the pin as reset() does.
    ~pin();

    /// Whether a pin is held.
    [[nodiscard]] explicit operator bool() const noexcept;

    /// The number that names the pin in its context; never 0.
    [[nodiscard]] std::uint32_t handle() const;

    /// The first byte's address in the process that made the pin. It may be unmapped,
    /// or mapped to something else, by now.
    [[nodiscard]] std::uint64_t address() const;

    /// Bytes in the range that was pinned.
    [[nodiscard]] std::uint64_t length() const;

    /// What the pin holds, as the kernel said when it was made.
    [[nodiscard]] const longpin::footprint& footprint() const;

    /// Asks the kernel what the handle stands for.
    /// \throws error  ENOENT: the handle was unpinned by other means
    [[nodiscard]] pin_info query() const;

    /// As query(), for programs without exceptions.
    [[nodiscard]] result<pin_info> try_query() const;

    /// Copies from the held pages, as a device would: what is mapped at address() now
    /// does not matter.
    /// \param offset  first byte, counted from the start of the pin
    /// \param buffer  filled whole; must not be empty nor reach beyond the pin's end
    /// \throws error  EINVAL: empty, or beyond the end; ESTALE: a page of a lease was taken back,
    ///                and what lies before it was copied
    void read(std::uint64_t offset, std::span<std::byte> buffer) const;

    /// As read(), for programs without exceptions.
    [[nodiscard]] result<void> try_read(std::uint64_t offset, std::span<std::byte> buffer) const;

    /// Copies to the held pages, as a device would.
    /// \param offset  first byte, counted from the start of the pin
    /// \param buffer  must not be empty nor reach beyond the pin's end
    /// \throws error  EINVAL: empty, or beyond the end; EPERM: the pin is not writable;
    ///                ESTALE: as for read()
    void write(std::uint64_t offset, std::span<const std::byte> buffer) const;

    /// As write(), for programs without exceptions.
    [[nodiscard]] result<void> try_write(std::uint64_t offset,
                                         std::span<const std::byte> buffer) const;

    /// The physically contiguous stretches, in the order of their offsets; with gaps where the
    /// kernel took pages of a lease back. Asks the kernel while it is iterated over, which throws
    /// its errors.
    [[nodiscard]] extent_range extents() const;

    /// The same for programs without exceptions: lists as many as \p buffer has room for.
    /// \param offset  where to start, counted from the start of the pin; the first extent
    ///                listed begins there, or behind what was taken back there
    /// \param buffer  for the extents
    [[nodiscard]] result<extent_page> try_extents(std::uint64_t offset,
                                                  std::span<extent> buffer) const;

    /// Takes the pages that are mapped now where the kernel took pages of a lease back, among those
    /// that a part touches. All or nothing.
    /// \param offset  first byte, counted from the start of the pin
    /// \param length  bytes; 0: all up to the end
    /// \returns pages that were taken; 0: none was missing
    /// \throws error  as device::pin(); EINVAL: beyond the end; EOPNOTSUPP: not a lease; EPERM:
    ///                another process made the pin, or execve() was called since
    // NOLINTNEXTLINE(modernize-use-nodiscard): few want the number
    std::uint64_t repin(std::uint64_t offset = 0, std::uint64_t length = 0) const;

    /// As repin(), for programs without exceptions.
    [[nodiscard]] result<std::uint64_t> try_repin(std::uint64_t offset = 0,
                                                  std::uint64_t length = 0) const;

    /// Gives the pages of a lease that a part touches back, as if the kernel had taken them, but
    /// without an event: the answer to lease_event_type::revoking when nothing uses them any more.
    /// A huge page that is held as one stays, unless all that the pin has of it is in the part.
    /// \param offset  first byte, counted from the start of the pin
    /// \param length  bytes; not 0
    /// \returns pages that were given back
    /// \throws error  EINVAL: empty, or beyond the end; EOPNOTSUPP: not a lease
    // NOLINTNEXTLINE(modernize-use-nodiscard): as above
    std::uint64_t let_go(std::uint64_t offset, std::uint64_t length) const;

    /// As let_go(), for programs without exceptions.
    [[nodiscard]] result<std::uint64_t> try_let_go(std::uint64_t offset,
                                                   std::uint64_t length) const;

    /// Ends the pin: on return the pages are released and the charge is undone.
    /// \throws error  ENOENT: the handle was unpinned by other means. The object
    ///                keeps the handle then, until reset() or detach().
    void unpin();

    /// As unpin(), for programs without exceptions.
    [[nodiscard]] result<void> try_unpin();

    /// Ends the pin, if one is held, and ignores failure.
    void reset() noexcept;

    /// Gives the pin up without ending it: it lasts until the open file's last
    /// reference goes, or somebody unpins the handle.
    /// \returns the handle
    std::uint32_t detach();

private:
    friend class device;
    pin(std::shared_ptr<const detail::open_file> file, const pin_info& info) noexcept;

    [[nodiscard]] const detail::open_file& file() const;
    int end() noexcept;

    std::shared_ptr<const detail::open_file> file_; // empty: no pin is held
    pin_info info_;
};

} // namespace longpin
