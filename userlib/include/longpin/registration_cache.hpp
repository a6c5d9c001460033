// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>
#include <longpin/export.hpp>
#include <longpin/generation.hpp>
#include <longpin/pin.hpp>
#include <longpin/result.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace longpin {

namespace detail {

class registration_state;
struct registration_entry;

/// What a look at a registration needs without a lock.
struct lease_watch {
    longpin::generation generation;
    std::atomic<std::uint64_t> seen; ///< the generation up to which events were looked at
};

} // namespace detail

/// The limits of a registration_cache.
struct cache_options {
    /// Bytes that may stay pinned. What is in use is never given up for it, so more are pinned
    /// while more are in use.
    std::uint64_t max_bytes = std::uint64_t{1} << 30U;

    /// Pins that may stay, likewise. The module has a limit of its own (max_pins).
    std::size_t max_entries = 1024;

    /// Bytes of a pin up to which one is made of a range and its neighbours.
    std::uint64_t merge_limit = std::uint64_t{4} << 20U;
};

/// What a registration_cache did since it was made, and what it holds.
///
/// What is found no more was evicted, invalidated or superseded, so that always
///     made == entries - retired + evictions + invalidations + superseded.
struct cache_statistics {
    std::uint64_t hits = 0;          ///< lookups that found a registration
    std::uint64_t misses = 0;        ///< lookups that found none
    std::uint64_t refusals = 0;      ///< misses that ended in an error
    std::uint64_t made = 0;          ///< pins made and entered
    std::uint64_t evictions = 0;     ///< of them given up for a limit, or by clear()
    std::uint64_t invalidations = 0; ///< of them that the kernel took pages of back
    std::uint64_t superseded = 0;    ///< of them that lie in another one
    std::uint64_t entries = 0;       ///< pins held now
    std::uint64_t retired = 0;       ///< of them in use still, and found no more
    std::uint64_t bytes = 0;         ///< of memory in the pins held now

    /// Equal when all members are.
    bool operator==(const cache_statistics&) const = default;
};

/// The use of a pin that a registration_cache has: it stays pinned until the object goes, as far as
/// the kernel does not take it back. Move-only. It may outlive the cache.
///
/// An object that was moved from or reset is empty: it may be tested, assigned, reset and
/// destroyed; every other member throws std::logic_error.
///
/// In a child after fork() nothing is valid(), pin() throws std::logic_error, and the end of the
/// object does nothing: the pin is the parent's.
///
/// Thread safety: const members may be called by several threads at once; the others need the
/// object for themselves. Different objects are independent of each other and of the cache.
class LONGPIN_EXPORT registration {
public:
    /// Takes it over, and leaves \p other without.
    registration(registration&& other) noexcept;

    /// Lets go of what it had, and takes \p other's over.
    registration& operator=(registration&& other) noexcept;
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;

    /// Lets go as reset() does.
    ~registration();

    /// Whether it is one.
    [[nodiscard]] explicit operator bool() const noexcept { return entry_ != nullptr; }

    /// The range that was asked for.
    [[nodiscard]] std::span<const std::byte> bytes() const;

    /// Where bytes() begins in pin(): bytes from its start.
    [[nodiscard]] std::uint64_t offset() const;

    /// The pin that covers bytes(), and perhaps more. It is shared with all who use memory of it:
    /// do not pin::repin() it nor pin::let_go() of parts.
    [[nodiscard]] const longpin::pin& pin() const;

    /// Whether the pin is still of the memory that is mapped at bytes(): what no munmap(),
    /// MADV_DONTNEED, truncate() or the like has touched that returned before the call. It may be
    /// about other bytes of the pin that the answer is no: get() another then. Takes a few
    /// nanoseconds and no lock as long as the kernel took nothing of the cache back; after that,
    /// one call of anybody reads what was.
    [[nodiscard]] bool valid() const {
        if (entry_ == nullptr) {
            detail::misused("longpin::registration: used while it is empty");
        }
        const std::uint64_t seen = watch_->seen.load(std::memory_order_acquire);
        const bool valid = valid_->load(std::memory_order_acquire);
        return watch_->generation.value() == seen ? valid : still_valid();
    }

    /// Lets go of it, if it is one.
    void reset() noexcept;

private:
    friend class detail::registration_state;
    registration(std::shared_ptr<detail::registration_state> state,
                 detail::registration_entry& entry, std::span<const std::byte> bytes) noexcept;
    [[nodiscard]] bool still_valid() const noexcept;
    [[nodiscard]] const detail::registration_entry& entry() const;

    std::shared_ptr<detail::registration_state> state_;
    detail::registration_entry* entry_; // of state_; null: empty
    const detail::lease_watch* watch_;  // of state_
    const std::atomic<bool>* valid_;    // of entry_
    std::span<const std::byte> bytes_;
};

/// Keeps memory pinned that a program registers again and again, as programs do that hand buffers
/// to a network card or to storage: a pin costs microseconds to milliseconds, a lookup less than
/// one. And it knows when memory changes hands: its pins are leases, and what the kernel took back
/// because of munmap(), mremap(), MADV_DONTNEED, truncate() and the like, by whomever, is never
/// returned. Nothing is hooked, and no allocator need be told.
///
///     longpin::registration_cache cache{longpin::device()};
///     ...
///     const longpin::registration sent = cache.get(message);
///     card.send(sent.pin(), sent.offset(), message.size());
///
/// What is found: a pin that covers all pages of the range, and is for writing if that is asked
/// for. A lookup that finds none makes a pin of the range together with those that overlap or touch
/// it and are for the same (reading, or writing), if that is no more than
/// cache_options::merge_limit bytes; else, or if that is refused, of the range alone. A new pin
/// supersedes those that lie in it. Of a pin of which the kernel took any page back nothing is
/// found any more. What is not found any more ends when its last user lets go. When a limit is
/// passed, of the cache or by the kernel's refusal, the pins that were not used for the longest
/// time end first; those in use stay.
///
/// Memory that can't be leased (files in the page cache, private mappings of files, pages of
/// drivers) is refused by the kernel, and nothing is cached.
///
/// After fork() the cache goes on in the parent, whose pinned pages stay its own. In the child
/// get() fails with EPERM: the pins are the parent's. The child makes a cache of its own, and may
/// assign it to this object. Neither that nor the end of the object in the child ends a pin of the
/// parent, nor gives its memory back. The file stays open there until the child ends or calls
/// execve(). That a process is a child is told by memory that the kernel wipes (MADV_WIPEONFORK),
/// so it works however the process was made.
///
/// Move-only; an object that was moved from may be assigned and destroyed, every other member
/// throws std::logic_error. What the try_ members return, and what they throw all the same, is told
/// at result.
///
/// Thread safety: const members may be called by several threads at once, and so may get() and
/// clear(). Assignment and destruction need the object for themselves. No page is pinned or
/// released under a lock, so threads pin at once, and one that waits in the kernel for its pages
/// keeps nobody waiting but those who ask for a part of just what it asked for: they wait for it,
/// rather than pin the same again; and if it is refused, they try themselves. So a thread that
/// brings pages in by userfaultfd may register memory as well, but not such as is being registered
/// and waits for it. No member may be called from a signal handler.
class LONGPIN_EXPORT registration_cache {
public:
    /// Makes an empty cache.
    /// \param own  a context that nobody else pins or reads events with; the cache takes it over
    /// \param options  its limits
    /// \throws error  EOPNOTSUPP, with reason::lease_kernel: there are no leases here
    explicit registration_cache(device own, const cache_options& options = {});

    /// As the constructor, for programs without exceptions.
    [[nodiscard]] static result<registration_cache> try_make(device own,
                                                             const cache_options& options = {});

    /// Takes it over, and leaves \p other without.
    registration_cache(registration_cache&& other) noexcept;

    /// Lets go of what it had, and takes \p other's over.
    registration_cache& operator=(registration_cache&& other) noexcept;
    registration_cache(const registration_cache&) = delete;
    registration_cache& operator=(const registration_cache&) = delete;

    /// Ends what is not in use; the rest ends with its last user.
    ~registration_cache();

    /// Finds or makes a registration for reading.
    /// \throws error  as device::pin(); EAGAIN: the range was mapped anew again and again; EINTR:
    ///                signals came again and again; EPERM: in a child after fork()
    [[nodiscard]] registration get(std::span<const std::byte> range) const;

    /// As get(), for programs without exceptions.
    [[nodiscard]] result<registration> try_get(std::span<const std::byte> range) const;

    /// The same for a user who will also write to the pages.
    [[nodiscard]] registration get_writable(std::span<std::byte> range) const;

    /// As get_writable(), for programs without exceptions.
    [[nodiscard]] result<registration> try_get_writable(std::span<std::byte> range) const;

    /// Ends what is not in use, and finds nothing of the rest any more.
    void clear() const;

    /// What it did, and what it holds; what the kernel took back before the call is counted.
    [[nodiscard]] cache_statistics statistics() const;

private:
    explicit registration_cache(std::shared_ptr<detail::registration_state> state) noexcept;
    [[nodiscard]] detail::registration_state& state() const;

    std::shared_ptr<detail::registration_state> state_; // empty: moved from
};

} // namespace longpin
