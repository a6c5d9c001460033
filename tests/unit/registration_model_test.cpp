// SPDX-License-Identifier: MIT
// A registration_cache beside a plain model of it, which knows all rules and looks through
// everything at each step: thousands of random operations, after which both must agree.
#include "fake_kernel.hpp"
#include "mapped.hpp"
#include "statistics_text.hpp"

#include <longpin/registration_cache.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

using longpin::cache_options;
using longpin::cache_statistics;
using longpin::reason;
using longpin::registration;
using longpin::registration_cache;

namespace {

constexpr std::size_t page = fake_kernel::page_size;
constexpr std::size_t memory_pages = 40;
constexpr std::size_t no_overflow = 1000; // events in a queue

/// Pages of the test's memory, from the first to before the last.
struct pages {
    std::size_t first;
    std::size_t last;

    [[nodiscard]] std::size_t count() const { return last - first; }
    [[nodiscard]] bool overlaps(const pages& other) const {
        return first < other.last && other.first < last;
    }
    [[nodiscard]] bool touches(const pages& other) const {
        return first <= other.last && other.first <= last;
    }
    [[nodiscard]] bool covers(const pages& other) const {
        return first <= other.first && other.last <= last;
    }
};

/// What a cache is to do, in the plainest words.
class model {
public:
    struct entry {
        pages where{};
        bool writable = false;
        std::size_t users = 1;
        bool listed = true;
        bool revoked = false;       ///< by the kernel
        bool known_revoked = false; ///< by the cache, which looks at some calls only
        std::size_t idle_since = 0;
    };

    model(const cache_options& options, std::size_t kernel_limit)
        : options_(options), kernel_limit_(kernel_limit) {}

    /// Looks a range up. \p while_pinning is taken back when something is pinned the first time,
    /// and \p read_while_pinning says whether somebody reads the events then.
    /// Null: refused for a limit.
    entry* get(const pages& range, bool writable, std::optional<pages> while_pinning,
               bool read_while_pinning) {
        refresh();
        for (const bool wanted : {true, false}) {
            entry* found = nullptr; // of several, the one that begins last
            for (entry& each : entries_) {
                if (each.listed && each.writable == wanted && (wanted || !writable) &&
                    each.where.covers(range) &&
                    (found == nullptr || each.where.first > found->where.first)) {
                    found = &each;
                }
            }
            if (found != nullptr) {
                ++found->users;
                ++counters.hits;
                return found;
            }
        }
        ++counters.misses;
        pages wanted = range;
        for (const entry& each : entries_) {
            if (each.listed && each.writable == writable && each.where.touches(range)) {
                wanted.first = std::min(wanted.first, each.where.first);
                wanted.last = std::max(wanted.last, each.where.last);
            }
        }
        if (wanted.count() * page > options_.merge_limit) {
            wanted = range;
        }
        for (;;) {
            const bool fits = held_pages() + wanted.count() <= kernel_limit_;
            if (fits && while_pinning) {
                revoke(*while_pinning);
                const bool in_vain = while_pinning->overlaps(wanted);
                while_pinning.reset();
                refresh();
                if (in_vain) {
                    wanted = range;
                    continue;
                }
            } else if (while_pinning) {
                revoke(*while_pinning); // during a call that fails
                while_pinning.reset();
                if (read_while_pinning) {
                    refresh();
                }
            }
            if (fits) {
                return &enter({.where = wanted, .writable = writable});
            }
            if (wanted.count() != range.count()) {
                wanted = range;
            } else if (!evict()) {
                ++counters.refusals;
                return nullptr;
            }
        }
    }

    void let_go(entry& of) {
        if (--of.users == 0) {
            of.idle_since = ++clock_;
        }
        drop_what_is_over();
        trim();
    }

    /// The kernel takes pages back.
    void revoke(const pages& range) {
        for (entry& each : entries_) {
            each.revoked = each.revoked || each.where.overlaps(range);
        }
    }

    /// The cache reads the events.
    void refresh() {
        for (entry& each : entries_) {
            if (each.revoked && !each.known_revoked) {
                each.known_revoked = true;
                unlist(each, counters.invalidations);
            }
        }
        drop_what_is_over();
    }

    void clear() {
        refresh();
        for (entry& each : entries_) {
            unlist(each, counters.evictions);
        }
        drop_what_is_over();
    }

    [[nodiscard]] cache_statistics statistics() const {
        cache_statistics all = counters;
        all.entries = entries_.size();
        all.bytes = held_pages() * page;
        all.retired =
            static_cast<std::uint64_t>(std::ranges::count(entries_, false, &entry::listed));
        return all;
    }

    cache_statistics counters;

private:
    [[nodiscard]] std::size_t held_pages() const {
        std::size_t sum = 0;
        for (const entry& each : entries_) {
            sum += each.where.count();
        }
        return sum;
    }

    entry& enter(const entry& made) {
        for (entry& each : entries_) {
            if (made.where.covers(each.where) && (made.writable || !each.writable)) {
                unlist(each, counters.superseded);
            }
        }
        drop_what_is_over();
        ++counters.made;
        entry& result = entries_.emplace_back(made);
        trim();
        return result;
    }

    static void unlist(entry& of, std::uint64_t& counter) {
        counter += of.listed ? 1U : 0U;
        of.listed = false;
    }

    void drop_what_is_over() {
        entries_.remove_if([](const entry& each) { return !each.listed && each.users == 0; });
    }

    bool evict() {
        entry* oldest = nullptr;
        for (entry& each : entries_) {
            if (each.users == 0 && (oldest == nullptr || each.idle_since < oldest->idle_since)) {
                oldest = &each;
            }
        }
        if (oldest != nullptr) {
            unlist(*oldest, counters.evictions);
            drop_what_is_over();
        }
        return oldest != nullptr;
    }

    void trim() {
        while (entries_.size() > options_.max_entries || held_pages() * page > options_.max_bytes) {
            if (!evict()) {
                return;
            }
        }
    }

    cache_options options_;
    std::size_t kernel_limit_; // pages
    std::list<entry> entries_;
    std::size_t clock_ = 0;
};

/// Both, and the operations on them.
class pair {
public:
    pair(unsigned seed, const cache_options& options, std::size_t kernel_limit)
        : random_(seed), options_(options), cache_(fake_kernel::open(), options),
          model_(options, kernel_limit) {
        kernel.has_limits = true;
        kernel.info.out_memlock_limit = kernel_limit * page;
        kernel.info.out_max_pins_limit = 1000;
        kernel.while_pinning = [this](const longpin_pin&) {
            if (const auto range = std::exchange(while_pinning_, {})) {
                revoke_in_kernel(*range);
                if (read_while_pinning_) {
                    // As another thread may: it reads the event, of a pin that nobody knows yet.
                    static_cast<void>(cache_.statistics());
                }
            }
        };
    }

    void step() {
        const unsigned what = below(100);
        if (what < 40) {
            get();
        } else if (what < 70) {
            let_go();
        } else if (what < 80) {
            const pages range = any_range();
            model_.revoke(range);
            revoke_in_kernel(range);
        } else if (what < 84) {
            kernel.event_limit = chance(50) ? below(3) : no_overflow;
        } else if (what < 94) {
            look_at_one();
        } else if (what == 94) {
            cache_.clear();
            model_.clear();
        } else if (what == 95 && chance(10)) {
            fork();
        } else {
            compare();
        }
    }

    void compare() {
        model_.refresh();
        const cache_statistics counters = cache_.statistics();
        REQUIRE(counters == model_.statistics());
        REQUIRE(counters.made == counters.entries - counters.retired + counters.evictions +
                                     counters.invalidations + counters.superseded);
        REQUIRE(counters.misses == counters.made + counters.refusals);
        REQUIRE(counters.entries == kernel.pins.size());
        std::uint64_t pinned = 0;
        for (const auto& [handle, pin] : kernel.pins) {
            pinned += pin.request.length;
        }
        REQUIRE(counters.bytes == pinned);
    }

    /// Lets all go. A run in which little happened would have tested little.
    void finish() {
        const cache_statistics so_far = cache_.statistics();
        for (const std::uint64_t number : {so_far.hits, so_far.made, so_far.evictions,
                                           so_far.invalidations, so_far.superseded}) {
            REQUIRE(number >= 50);
        }
        while (!used_.empty()) {
            let_go();
        }
        compare();
        const cache_statistics counters = cache_.statistics();
        REQUIRE(counters.retired == 0);
        REQUIRE(counters.entries <= options_.max_entries);
        REQUIRE(counters.bytes <= options_.max_bytes);
        cache_.clear();
        model_.clear();
        compare();
        REQUIRE(kernel.pins.empty());
    }

    fake_kernel kernel;

private:
    /// A registration, and what the model has for it.
    struct use {
        registration held;
        model::entry* of;
    };

    unsigned below(unsigned end) {
        return std::uniform_int_distribution<unsigned>(0, end - 1)(random_);
    }
    bool chance(unsigned percent) { return below(100) < percent; }

    pages any_range() {
        const std::size_t first = below(memory_pages);
        const std::size_t longest = std::min<std::size_t>(memory_pages - first, 6);
        return {first, first + 1 + below(static_cast<unsigned>(longest))};
    }

    [[nodiscard]] std::span<std::byte> bytes_of(const pages& range) const {
        return memory_.pages(range.first, range.count());
    }

    /// Something else is mapped there now.
    void revoke_in_kernel(const pages& range) {
        const auto content = static_cast<std::byte>(++content_);
        std::ranges::fill(bytes_of(range), content);
        kernel.revoke(bytes_of(range));
    }

    void get() {
        const pages range = any_range();
        const bool writable = chance(40);
        std::span<std::byte> bytes = bytes_of(range);
        if (bytes.size() > 200 && chance(50)) {
            bytes = bytes.subspan(below(100), bytes.size() - 200); // in the same pages
        }
        while_pinning_ = chance(10) ? std::optional(any_range()) : std::nullopt;
        // An overflow that is read then spoils what is being made, too, which the model does not
        // know; another test does.
        read_while_pinning_ = chance(50) && kernel.event_limit == no_overflow;
        model::entry* const expected =
            model_.get(range, writable, while_pinning_, read_while_pinning_);
        auto got = writable ? cache_.try_get_writable(bytes) : cache_.try_get(bytes);
        while_pinning_.reset(); // if nothing was pinned
        REQUIRE(static_cast<bool>(got) == (expected != nullptr));
        if (!got) {
            REQUIRE(got.error().reason() == reason::memlock);
            return;
        }
        check_new(*got, bytes, writable);
        used_.push_back({std::move(*got), expected});
    }

    /// What is returned is of the memory as it is now.
    void check_new(const registration& got, std::span<const std::byte> bytes, bool writable) {
        const auto found = kernel.pins.find(got.pin().handle());
        REQUIRE(found != kernel.pins.end());
        REQUIRE(found->second.revoked_pages() == 0);
        REQUIRE((!writable || (found->second.request.flags & LONGPIN_PIN_WRITE) != 0));
        REQUIRE(got.valid());
        REQUIRE(got.bytes().data() == bytes.data());
        REQUIRE(got.bytes().size() == bytes.size());
        REQUIRE(got.pin().address() + got.offset() ==
                reinterpret_cast<std::uintptr_t>(bytes.data()));
        std::vector<std::byte> read(bytes.size());
        got.pin().read(got.offset(), read);
        REQUIRE(std::ranges::equal(read, bytes));
    }

    void let_go() {
        if (!used_.empty()) {
            const auto at = used_.begin() +
                            static_cast<std::ptrdiff_t>(below(static_cast<unsigned>(used_.size())));
            use ended = std::move(*at);
            used_.erase(at);
            ended.held.reset();
            model_.let_go(*ended.of);
        }
    }

    void look_at_one() {
        if (!used_.empty()) {
            const use& one = used_[below(static_cast<unsigned>(used_.size()))];
            model_.refresh();
            REQUIRE(one.held.valid() == !one.of->revoked);
        }
    }

    /// A child finds nothing, and leaves everything as it is.
    void fork() {
        const pages range = any_range();
        const auto calls = kernel.calls.size();
        REQUIRE(in_child([&] {
                    const auto tried = cache_.try_get(bytes_of(range));
                    bool right = !tried && tried.error().code().value() == EPERM;
                    for (use& each : used_) {
                        right = right && !each.held.valid();
                        each.held.reset();
                    }
                    cache_.clear();
                    { const registration_cache ended = std::move(cache_); }
                    return right && kernel.calls.size() == calls;
                }) == 0);
    }

    std::mt19937 random_;
    cache_options options_;
    mapped memory_{memory_pages};
    unsigned content_ = 1;
    std::optional<pages> while_pinning_;
    bool read_while_pinning_ = false;
    registration_cache cache_;
    model model_;
    std::vector<use> used_;
};

} // namespace

TEST_CASE("A cache does what its plain model does, whatever is asked of it") {
    const unsigned seed = GENERATE(1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U);
    const std::uint64_t merge_limit = GENERATE(0U, 8U, 1000U) * page;
    const cache_options options{
        .max_bytes = (seed % 2 == 0 ? 12 : 1000) * page,
        .max_entries = seed % 4 < 2 ? std::size_t{5} : std::size_t{1000},
        .merge_limit = merge_limit,
    };
    INFO("seed " << seed);
    pair both(seed, options, seed % 3 == 0 ? 30 : 1000);
    for (int i = 0; i < 3000; ++i) {
        INFO("step " << i);
        both.step();
    }
    both.compare();
    both.finish();
}
