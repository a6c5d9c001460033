// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/error.hpp>
#include <longpin/export.hpp>
#include <longpin/lease_event.hpp>
#include <longpin/pin.hpp>
#include <longpin/result.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

namespace longpin {

namespace detail {
class pinned_memory;
class registration_state;
} // namespace detail

/// A limit and how much of it is used.
struct usage {
    std::uint64_t used = 0;             ///< of it
    std::optional<std::uint64_t> limit; ///< empty: there is none
};

/// What the module offers, and what is left of its limits.
struct device_info {
    std::string version;         ///< of the module
    std::uint32_t page_size = 0; ///< bytes
    std::uint32_t pin_flags = 0; ///< the LONGPIN_PIN_* flags of <linux/longpin.h> that it knows
    usage memlock;               ///< bytes charged to the caller's user, by longpin and others
    usage pinned;                ///< bytes pinned by all users of the module (max_pages)
    usage pins;                  ///< pins of this context (max_pins)
    usage user_pinned;           ///< bytes pinned by the caller's user (max_user_pages)
    bool leases = false;         ///< pins may be leases: module and kernel have the means
    std::chrono::milliseconds max_grace{}; ///< most that pin_options::grace may be
};

/// How a pin is to be made. The cookie leads from a handle back to what the program
/// knows it by, in another process too that was handed the open file:
///
///     longpin::pin pin = device.pin(ring, {.cookie = ring_number});
///     ...
///     rings[pin.query().cookie].complete();
///
/// A lease is a pin that the kernel takes back, page by page, when what is mapped there changes:
/// by munmap(), mremap(), truncate or hole punch, MADV_DONTNEED and the like, by anybody; not by
/// mprotect(), fork() or msync(). So it may hold a file on fs-DAX, and it tells a cache of
/// registrations when memory changes hands. device::next_event() says what was taken back,
/// generation tells without a system call that nothing was, and pin::repin() takes what is mapped
/// there now. What uses the memory by its physical address has to be stopped by the program, for
/// which grace gives it time.
struct pin_options {
    std::uint64_t cookie = 0; ///< for the caller's own use; pin::query() gives it back
    bool lease = false;       ///< whether the kernel may take pages back

    /// How long another program that cuts a file on fs-DAX is kept waiting, so that the holder of
    /// a lease can stop what uses its pages; at most device_info::max_grace. A negative one is
    /// none. Whatever else takes pages back takes them at once.
    std::chrono::milliseconds grace{};

    /// The descriptor of an eventfd to which 1 is added for each event of the lease; -1: none.
    /// Stays the caller's, who may close it when the pin is made.
    int eventfd = -1;
};

/// The answer of a dry run: what the pin would hold, or why it is refused.
using check_result = std::variant<footprint, error>;

/// An open context of /dev/longpin. Owns its file together with the pins made from it:
/// it is closed when the last of them is gone. Move-only; an object that was moved from
/// may be assigned and destroyed, every other member throws std::logic_error.
///
/// What the try_ members return, and what they throw all the same, is told at result.
///
/// Thread safety: const members may be called by several threads at once, also while
/// others use or destroy pins made from the device. Assignment and destruction need the
/// object for themselves. Different devices are independent of each other.
class LONGPIN_EXPORT device {
public:
    /// Where the device is, unless somebody gave it another name.
    static constexpr const char* default_path = "/dev/longpin";

    /// Opens a context of its own, closed on exec.
    /// \throws error  ENOENT: the module is not loaded; EACCES: the caller may not
    explicit device(const std::string& path = default_path);

    /// As the constructor, for programs without exceptions.
    [[nodiscard]] static result<device> try_open(const std::string& path = default_path);

    /// Takes over a file descriptor that was opened elsewhere (and received over a
    /// socket, say).
    /// \throws std::bad_alloc  the descriptor is still the caller's then
    static device adopt(int descriptor);

    /// Takes the open file over.
    device(device&&) noexcept = default;

    /// Lets go of its open file, and takes the other's over.
    device& operator=(device&&) noexcept = default;
    device(const device&) = delete;
    device& operator=(const device&) = delete;
    ~device() = default;

    /// The file descriptor. Stays the property of the device and its pins.
    [[nodiscard]] int native_handle() const;

    /// What the module offers, and what is left of the limits.
    /// \throws error  ENOTTY: the file is not a longpin device
    [[nodiscard]] device_info info() const;

    /// As info(), for programs without exceptions.
    [[nodiscard]] result<device_info> try_info() const;

    /// Holds every page that \p range touches, for reading. Needs no alignment. All or
    /// nothing.
    /// \throws error  EFAULT, EOPNOTSUPP: the memory may not be pinned so; ENOMEM: a
    ///                limit; with the kernel's reason
    [[nodiscard]] longpin::pin pin(std::span<const std::byte> range,
                                   const pin_options& options = {}) const;

    /// As pin(), for programs without exceptions.
    [[nodiscard]] result<longpin::pin> try_pin(std::span<const std::byte> range,
                                               const pin_options& options = {}) const;

    /// The same for a holder that will also write to the pages, as a device does that
    /// receives data. The mapping must be writable.
    [[nodiscard]] longpin::pin pin_writable(std::span<std::byte> range,
                                            const pin_options& options = {}) const;

    /// As pin_writable(), for programs without exceptions.
    [[nodiscard]] result<longpin::pin> try_pin_writable(std::span<std::byte> range,
                                                        const pin_options& options = {}) const;

    /// Dry run of pin(): changes nothing, and brings no page in. So it can't know what shows
    /// only then (no memory left, a broken page), and the runs and the bookkeeping are estimates
    /// where memory isn't there yet.
    /// \returns a refusal for which the kernel gave a reason as an error object
    /// \throws error  a failure that is no answer to the question (no reason given)
    [[nodiscard]] check_result check(std::span<const std::byte> range,
                                     const pin_options& options = {}) const;

    /// The same for programs without exceptions. Every failure is an error object:
    /// with reason::none it is no answer to the question.
    [[nodiscard]] result<footprint> try_check(std::span<const std::byte> range,
                                              const pin_options& options = {}) const;

    /// Dry run of pin_writable().
    [[nodiscard]] check_result check_writable(std::span<std::byte> range,
                                              const pin_options& options = {}) const;

    /// As check_writable(), for programs without exceptions.
    [[nodiscard]] result<footprint> try_check_writable(std::span<std::byte> range,
                                                       const pin_options& options = {}) const;

    /// The next thing that happened to a leased pin of this context, in the order of events. Waits
    /// for one; native_handle() is readable when there is one. Of several threads that read at once
    /// each event goes to one. A process that got the file by fork() or over a socket takes events
    /// away too, and may let a call that was not to wait do so: leave them to one process.
    /// \param timeout  how long to wait at most; empty: for ever. 0: not at all
    /// \returns empty when the time is over, or when a signal came meanwhile (so that a program
    ///          can look at what its handler left)
    /// \throws error  EINVAL: the module knows no leases
    [[nodiscard]] std::optional<lease_event>
    next_event(std::optional<std::chrono::milliseconds> timeout = {}) const;

    /// As next_event(), for programs without exceptions.
    [[nodiscard]] result<std::optional<lease_event>>
    try_next_event(std::optional<std::chrono::milliseconds> timeout = {}) const;

    /// As next_event(), for as many as are there and \p buffer has room for.
    /// \param buffer   must not be empty
    /// \param timeout  as of next_event()
    /// \returns the head of \p buffer that was filled, which may be less than all that is there;
    ///          empty when next_event() is
    [[nodiscard]] std::span<lease_event>
    read_events(std::span<lease_event> buffer,
                std::optional<std::chrono::milliseconds> timeout = {}) const;

    /// As read_events(), for programs without exceptions.
    [[nodiscard]] result<std::span<lease_event>>
    try_read_events(std::span<lease_event> buffer,
                    std::optional<std::chrono::milliseconds> timeout = {}) const;

private:
    friend class detail::pinned_memory;
    friend class detail::registration_state;
    friend class generation;
    explicit device(std::shared_ptr<const detail::open_file> file) noexcept;

    [[nodiscard]] const detail::open_file& file() const;
    [[nodiscard]] result<longpin::pin> take(std::span<const std::byte> range,
                                            const pin_options& options, std::uint32_t flags) const;

    std::shared_ptr<const detail::open_file> file_;
};

} // namespace longpin
