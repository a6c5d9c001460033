// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/export.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace longpin {

/// Why the kernel refused a pin. The numbers are those of the kernel's interface, and
/// a newer module may send one that is not listed.
enum class reason : std::uint32_t {
    none = 0,            ///< no refusal, or the errno says it all
    zero_length = 1,     ///< the range is empty
    wraps = 2,           ///< the range runs past the end of the address space
    flags = 3,           ///< a flag that this module does not know
    reserved = 4,        ///< a reserved member is not zero
    lease_kernel = 5,    ///< this kernel has no means to take a pin back
    lease_only = 6,      ///< a grace or an eventfd for a pin that is no lease
    eventfd = 7,         ///< the descriptor is not that of an eventfd
    grace = 8,           ///< module parameter max_grace_ms; in milliseconds
    hole = 16,           ///< nothing is mapped at the bad address
    not_readable = 17,   ///< the mapping may not be read
    not_writable = 18,   ///< a pin for writing of a mapping that may not be written
    io = 19,             ///< a mapping of device registers (VM_IO)
    pfnmap = 20,         ///< a mapping without page structures (VM_PFNMAP)
    secretmem = 21,      ///< memfd_secret() memory
    fault = 22,          ///< the page could not be brought in
    fsdax = 23,          ///< a file of a file system in DAX mode
    dirty_tracking = 24, ///< a pin for writing of a file whose file system tracks writes
    device_gone = 25,    ///< the DAX device is being unbound
    device_page = 26,    ///< device memory that is not device-DAX
    lease_memory = 27,   ///< memory that can't be leased
    driver_memory = 28,  ///< a pin for writing of pages that another driver mapped
    memlock = 32,        ///< RLIMIT_MEMLOCK; in bytes
    max_pages = 33,      ///< module parameter max_pages, over all users; in bytes
    max_pins = 34,       ///< module parameter max_pins, of this context; in pins
    max_user_pages = 35, ///< module parameter max_user_pages, of the user; in bytes
};

/// The short name of a reason, as in the enumeration: "fsdax". "unknown" for a number
/// that this version of the library does not know.
LONGPIN_EXPORT std::string_view name(reason why) noexcept;

/// What the kernel says beside the errno when it refuses a pin. Which members mean
/// anything depends on the reason; error's accessors know.
struct refusal {
    reason why = reason::none;     ///< what stands in the way
    std::uint64_t bad_address = 0; ///< the first address that stands in the way
    std::uint64_t limit = 0;       ///< the limit that was met, in bytes, pins or milliseconds
    std::uint64_t used = 0;        ///< what is used of it already
    std::uint64_t asked = 0;       ///< what the request would add
};

/// A call to the device that failed: what was attempted, the errno (code()), and, if
/// the kernel gave one, its reason. what() is the whole sentence for people: what was
/// attempted, what stands in the way, and what to do about it.
///
/// Copying does not throw. Const members may be called by several threads at once, and
/// copies are independent.
class LONGPIN_EXPORT error : public std::system_error {
public:
    /// \param errno_value  the errno of the failed call
    /// \param attempted    what was tried, to stand behind "cannot "
    /// \param explanation  why it failed and what to do
    /// \param facts        what the kernel said
    error(int errno_value, std::string attempted, std::string_view explanation,
          const refusal& facts = {});

    /// "cannot ATTEMPTED: EXPLANATION".
    [[nodiscard]] const char* what() const noexcept override;

    /// What was tried: "pin 64 MiB at 0x7f0000000000".
    [[nodiscard]] const std::string& attempted() const noexcept;

    /// The kernel's reason; reason::none when the errno says it all.
    [[nodiscard]] longpin::reason reason() const noexcept;

    /// The first address that stands in the way; empty when no address does.
    [[nodiscard]] std::optional<std::uint64_t> bad_address() const noexcept;

    /// The limit that was met, in bytes (in pins for reason::max_pins, in milliseconds for
    /// reason::grace); empty when the reason is not a limit.
    [[nodiscard]] std::optional<std::uint64_t> limit() const noexcept;

    /// What was used of the limit when the request came; in the same unit. Empty for
    /// reason::grace too.
    [[nodiscard]] std::optional<std::uint64_t> used() const noexcept;

    /// What the request would have added; likewise.
    [[nodiscard]] std::optional<std::uint64_t> asked() const noexcept;

private:
    struct contents;
    std::shared_ptr<const contents> contents_;
};

} // namespace longpin
