// SPDX-License-Identifier: MIT
// The registrations of a cache: which there are, which are found, and which go first.
#pragma once

#include <longpin/registration_cache.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>

namespace longpin::detail {

/// Whole pages, by their addresses.
struct page_span {
    std::uint64_t begin;
    std::uint64_t end;

    [[nodiscard]] std::uint64_t size() const noexcept { return end - begin; }
    [[nodiscard]] bool covers(const page_span& other) const noexcept {
        return begin <= other.begin && other.end <= end;
    }
    bool operator==(const page_span&) const = default;
};

/// A pin of a cache.
struct registration_entry {
    /// Those that can be found, by where they begin. None lies in another, so they are in the order
    /// of their ends too.
    using index = std::map<std::uint64_t, registration_entry*>;

    std::uint64_t id = 0; ///< the cookie of the pin
    page_span pages{};
    bool writable = false;
    std::size_t users = 0;
    bool listed = false;             ///< can be found
    std::atomic<bool> valid{true};   ///< the kernel took no page of it back
    std::optional<longpin::pin> pin; ///< empty while it is made
    index::node_type place{};        ///< in the index, when it is not there
};

/// No locks, and no system calls: what ends is moved into a list of the caller, who lets it end
/// where that does no harm.
class registration_table {
public:
    using entries = std::list<registration_entry>;

    explicit registration_table(const cache_options& options) : options_(options) {}

    /// The one that covers \p pages, and may be written if \p writable. Null: none.
    [[nodiscard]] registration_entry* find(const page_span& pages, bool writable) noexcept;

    /// What is to be pinned when there is none: \p pages, and what overlaps or touches them, within
    /// the limit.
    [[nodiscard]] page_span merged(const page_span& pages, bool writable) const;

    /// An entry that is being made: events find it by its id, lookups don't. It has one user, and
    /// goes by enter() or by abandon().
    [[nodiscard]] entries begin(const page_span& pages, bool writable);

    /// Enters what begin() gave, which is valid and has its pin. What lies in it is superseded; or
    /// it is itself, by one that was entered meanwhile and in which it lies.
    void enter(entries& made, entries& ended) noexcept;

    /// Forgets what begin() gave.
    void abandon(const entries& made) noexcept;

    /// Somebody uses an entry that find() gave.
    void use(registration_entry& entry) noexcept;

    /// A user lets go.
    void let_go(registration_entry& entry, entries& ended) noexcept;

    /// The kernel took pages of the entry \p id back, if there is one.
    void invalidate(std::uint64_t id, entries& ended) noexcept;

    /// As invalidate(), for every entry of which \p is_revoked says so.
    template <typename Predicate>
    void invalidate_if(Predicate is_revoked, entries& ended) noexcept {
        for (auto next = by_id_.begin(); next != by_id_.end();) {
            registration_entry& entry = *(next++)->second; // which may go
            if (is_revoked(entry)) {
                invalidate(entry, ended);
            }
        }
    }

    /// Evicts the one that was not used for the longest time. Returns false if all are in use.
    bool evict(entries& ended) noexcept;

    /// Evicts as many as the limits want.
    void trim(entries& ended) noexcept;

    /// Evicts all, those in use too: they end when they are let go of.
    void clear(entries& ended) noexcept;

    /// Hits, misses and refusals are the caller's to count.
    [[nodiscard]] cache_statistics& counters() noexcept { return counters_; }

private:
    [[nodiscard]] registration_entry::index& index_of(bool writable) noexcept {
        return writable ? writable_ : readable_;
    }
    void invalidate(registration_entry& entry, entries& ended) noexcept;
    void unlist(registration_entry& entry, std::uint64_t& counter, entries& ended) noexcept;
    void end(registration_entry& entry, entries& ended) noexcept;
    void supersede(registration_entry::index& by, const page_span& pages, entries& ended) noexcept;

    cache_options options_;
    cache_statistics counters_;
    std::uint64_t last_id_ = 0;
    entries busy_;
    entries idle_; // those unused for the longest time first
    std::unordered_map<std::uint64_t, entries::iterator> by_id_; // those that are being made too
    registration_entry::index readable_;
    registration_entry::index writable_;
};

} // namespace longpin::detail
