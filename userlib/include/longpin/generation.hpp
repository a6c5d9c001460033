// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>
#include <longpin/export.hpp>
#include <longpin/result.hpp>

#include <cstdint>

namespace longpin {

/// The number that the kernel changes whenever it took a page of a leased pin of a device back:
/// tells without a system call, in a few nanoseconds, that none was.
///
///     const longpin::generation generation(device);
///     std::uint64_t seen = generation.value(); // first
///     ... make leased pins, and use them
///     if (generation.value() != seen) { ... read the device's events }
///
/// As long as value() gives the same, every leased page that was held when it first gave that is
/// held still. It changes behind the event that device::next_event() gives, and before the
/// munmap(), truncate() or other call that took the page back returns.
///
/// A child after fork() (or clone() without CLONE_VM) has not the mapping: value() gives
/// generation::forked there, which is no generation, so that a comparison finds a change.
///
/// Move-only; an object that was moved from may be assigned and destroyed, and nothing else. It
/// does not need the device object any more, and does not keep its file open.
///
/// Thread safety: const members may be called by several threads at once.
class LONGPIN_EXPORT generation {
public:
    /// What value() gives in a child.
    static constexpr std::uint64_t forked = ~std::uint64_t{0};

    /// Maps the number.
    /// \throws error  EINVAL, ENODEV: the module knows no leases; ENOMEM
    explicit generation(const device& of);

    /// As the constructor, for programs without exceptions.
    [[nodiscard]] static result<generation> try_make(const device& of);

    /// Takes the mapping over, and leaves \p other without.
    generation(generation&& other) noexcept;

    /// Unmaps its own, and takes the mapping of \p other over.
    generation& operator=(generation&& other) noexcept;
    generation(const generation&) = delete;
    generation& operator=(const generation&) = delete;
    ~generation();

    /// The number as it is now. Nothing that the thread reads after it is read before it.
    [[nodiscard]] std::uint64_t value() const noexcept {
        return inherited() ? forked : __atomic_load_n(status_, __ATOMIC_ACQUIRE);
    }

    /// Whether this process is a child of the one that made the object.
    [[nodiscard]] bool inherited() const noexcept {
        return __atomic_load_n(here_, __ATOMIC_ACQUIRE) == 0;
    }

private:
    generation(const std::uint64_t* here, const std::uint64_t* status) noexcept;

    const std::uint64_t* here_;   // a page that a child finds zeroed; null: moved from
    const std::uint64_t* status_; // of the device; not mapped in a child
};

} // namespace longpin
