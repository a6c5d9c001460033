// SPDX-License-Identifier: MIT
#include <longpin/registration_cache.hpp>

#include "explain.hpp"
#include "lease_events.hpp"
#include "open_file.hpp"
#include "registration_table.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include <linux/longpin.h>
#include <unistd.h>

namespace longpin {

namespace detail {

namespace {

// How often a range is pinned anew that was revoked while it was pinned, or whose pin a signal
// interrupted.
constexpr int most_attempts = 100;

page_span pages_of(std::span<const std::byte> range, std::uint64_t page_size) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the kernel wants numbers
    const auto begin = reinterpret_cast<std::uintptr_t>(range.data());
    return {begin / page_size * page_size,
            (begin + range.size() + page_size - 1) / page_size * page_size};
}

std::span<std::byte> bytes_of(const page_span& pages) noexcept {
    // NOLINTNEXTLINE(*-reinterpret-cast,performance-no-int-to-ptr): the other way
    return {reinterpret_cast<std::byte*>(pages.begin), pages.size()};
}

// What an error says was tried.
std::string attempt_at(std::span<const std::byte> range) {
    return fmt::format("register {} at {}", format_size(range.size()),
                       static_cast<const void*>(range.data()));
}

bool is_limit(reason why) noexcept {
    return why >= reason::memlock;
}

} // namespace

/// What a cache and its registrations share. The locks are table_lock_, and inside it the one of
/// who reads events (open_file::reading()). No page is pinned or released under either: that may
/// wait for another thread, as for one that brings pages in by userfaultfd, and that one may use
/// the cache itself. What ends is moved out of the table under its lock, and unpinned when that is
/// free again: so every scope that locks has its list of ended entries around it.
class registration_state : public std::enable_shared_from_this<registration_state> {
public:
    using entries = registration_table::entries;

    registration_state(device own, generation of, std::uint64_t page_size,
                       const cache_options& options)
        : device_(std::move(own)), page_size_(page_size), watch_{std::move(of), {}},
          table_(options) {
        watch_.seen = watch_.generation.value();
    }

    /// Frees a state where it was made. In a child it is left alone: its tables are as some other
    /// thread of the parent left them, and its pins are the parent's.
    struct deleter {
        void operator()(registration_state* state) const noexcept {
            if (!state->watch_.generation.inherited()) {
                std::default_delete<registration_state>()(state);
            }
        }
    };

    result<registration> get(std::span<const std::byte> range, bool writable);
    void let_go(registration_entry& entry) noexcept;
    bool is_valid(const registration_entry& entry) noexcept;
    void clear() noexcept;
    cache_statistics statistics() noexcept;

    [[nodiscard]] const lease_watch& watch() const noexcept { return watch_; }

    /// Throws std::logic_error in a child.
    void must_be_here() const {
        if (watch_.generation.inherited()) {
            misused("longpin::registration: used in a child of the process that made it");
        }
    }

private:
    class request;
    class making;

    [[nodiscard]] registration_entry* look_up(const page_span& pages, bool writable,
                                              entries& ended) noexcept;
    [[nodiscard]] result<registration_entry*> make(std::span<const std::byte> range,
                                                   const page_span& pages, bool writable);
    [[nodiscard]] bool is_under_way(const page_span& pages, bool writable) const noexcept;
    [[nodiscard]] bool evict() noexcept;
    void refresh(entries& ended) noexcept;
    [[nodiscard]] bool is_revoked(const registration_entry& entry) const noexcept;

    device device_;
    std::uint64_t page_size_;
    lease_watch watch_;     // seen changes under table_lock_
    std::mutex table_lock_; // for all that follows
    registration_table table_;
    std::vector<const request*> under_way_;
    std::condition_variable one_done_; // a request was, well or not
};

/// What a caller asked for. While it is under way, others whom it would serve wait for its end.
/// They do so by what was asked for, not by what is pinned with it: its neighbours are made
/// already.
class registration_state::request {
public:
    request(registration_state& state, const page_span& pages, bool writable)
        : state_(state), pages_(pages), writable_(writable) {}
    request(const request&) = delete;
    request& operator=(const request&) = delete;
    request(request&&) = delete;
    request& operator=(request&&) = delete;
    ~request() {
        if (under_way_) {
            const std::scoped_lock lock(state_.table_lock_);
            std::erase(state_.under_way_, this);
            state_.one_done_.notify_all();
        }
    }

    /// From now on. table_lock_ is held.
    void begin() {
        state_.under_way_.push_back(this);
        under_way_ = true;
    }

    [[nodiscard]] bool serves(const page_span& pages, bool writable) const noexcept {
        return pages_.covers(pages) && (writable_ || !writable);
    }

private:
    registration_state& state_;
    page_span pages_;
    bool writable_;
    bool under_way_ = false;
};

/// An entry that is being made: forgotten unless it is entered.
class registration_state::making {
public:
    making(registration_state& state, const page_span& pages, bool writable) : state_(state) {
        const std::scoped_lock lock(state_.table_lock_);
        made_ = state_.table_.begin(pages, writable);
    }
    making(const making&) = delete;
    making& operator=(const making&) = delete;
    making(making&&) = delete;
    making& operator=(making&&) = delete;
    ~making() {
        if (!made_.empty()) {
            const std::scoped_lock lock(state_.table_lock_);
            state_.table_.abandon(made_);
        }
    }

    [[nodiscard]] std::uint64_t id() const noexcept { return made_.front().id; }

    /// Enters it with its pin. Null: pages of it were taken back already.
    registration_entry* enter(longpin::pin pin) noexcept {
        entries ended;
        const std::scoped_lock lock(state_.table_lock_);
        registration_entry& entry = made_.front();
        entry.pin.emplace(std::move(pin));
        state_.refresh(ended);
        if (!entry.valid.load(std::memory_order_relaxed)) {
            return nullptr;
        }
        state_.table_.enter(made_, ended);
        state_.table_.trim(ended);
        return &entry;
    }

private:
    registration_state& state_;
    entries made_;
};

// Reads what the kernel took back, if it took anything. The generation is read first: the events
// of all that changed it so far are there then.
void registration_state::refresh(entries& ended) noexcept {
    const std::uint64_t now = watch_.generation.value();
    if (now == watch_.seen.load(std::memory_order_relaxed)) {
        return;
    }
    std::array<lease_event, 64> buffer;
    bool lost = false;
    bool unknown = false;
    for (;;) {
        std::span<lease_event> events(buffer);
        unknown = read_lease_events(device_.file(), events, std::chrono::milliseconds(0)) != 0;
        if (unknown || events.empty()) {
            break;
        }
        for (const lease_event& event : events) {
            if (event.type == lease_event_type::overflow) {
                lost = true;
            } else {
                table_.invalidate(event.cookie, ended);
            }
        }
    }
    if (lost || unknown) {
        table_.invalidate_if(
            [&](const registration_entry& entry) { return unknown || is_revoked(entry); }, ended);
    }
    watch_.seen.store(now, std::memory_order_release);
}

// Asks the kernel. Of what is being made it can't be asked: its handle is not known.
bool registration_state::is_revoked(const registration_entry& entry) const noexcept {
    longpin_query query{};
    query.size = sizeof(query);
    query.handle = entry.pin ? entry.pin->handle() : 0;
    return !entry.pin || device_.file().call(LONGPIN_QUERY, &query) != 0 ||
           query.out_revoked_pages != 0;
}

registration_entry* registration_state::look_up(const page_span& pages, bool writable,
                                                entries& ended) noexcept {
    refresh(ended);
    registration_entry* const found = table_.find(pages, writable);
    if (found != nullptr) {
        table_.use(*found);
        ++table_.counters().hits;
    }
    return found;
}

bool registration_state::is_under_way(const page_span& pages, bool writable) const noexcept {
    return std::ranges::any_of(
        under_way_, [&](const request* other) { return other->serves(pages, writable); });
}

bool registration_state::evict() noexcept {
    entries ended;
    const std::scoped_lock lock(table_lock_);
    return table_.evict(ended);
}

result<registration_entry*> registration_state::make(std::span<const std::byte> range,
                                                     const page_span& pages, bool writable) {
    page_span wanted{};
    {
        const std::scoped_lock lock(table_lock_);
        ++table_.counters().misses;
        wanted = table_.merged(pages, writable);
    }
    for (int attempt = 0; attempt < most_attempts;) {
        making made(*this, wanted, writable);
        const pin_options options{.cookie = made.id(), .lease = true};
        auto pin = writable ? device_.try_pin_writable(bytes_of(wanted), options)
                            : device_.try_pin(bytes_of(wanted), options);
        if (pin) {
            if (registration_entry* const entered = made.enter(std::move(*pin))) {
                return entered;
            }
            ++attempt;
            wanted = pages; // the neighbours may be what changes
        } else if (pin.error().code().value() == EINTR) {
            if (++attempt == most_attempts) {
                return pin.error();
            }
        } else if (wanted != pages) {
            wanted = pages; // they may be what stands in the way
        } else if (!is_limit(pin.error().reason()) || !evict()) {
            return pin.error();
        }
    }
    return error(EAGAIN, attempt_at(range), explain(LONGPIN_PIN, EAGAIN));
}

result<registration> registration_state::get(std::span<const std::byte> range, bool writable) {
    if (watch_.generation.inherited()) {
        return error(EPERM, attempt_at(range),
                     "the cache is that of the parent process, whose memory it has pinned; make a "
                     "cache in this one");
    }
    const page_span pages = pages_of(range, page_size_);
    if (range.empty() || pages.end <= pages.begin) {
        return detail::failure(LONGPIN_PIN, EINVAL, attempt_at(range),
                               {.why = range.empty() ? reason::zero_length : reason::wraps});
    }
    const auto found = [&](registration_entry& entry) {
        return registration(shared_from_this(), entry, range);
    };
    request own(*this, pages, writable);
    for (bool begun = false; !begun;) {
        entries ended;
        std::unique_lock lock(table_lock_);
        if (registration_entry* const entry = look_up(pages, writable, ended)) {
            return found(*entry);
        }
        if (!is_under_way(pages, writable)) {
            own.begin();
            begun = true;
        } else if (ended.empty()) { // or it is unpinned first
            one_done_.wait(lock);
        }
    }
    const auto made = make(range, pages, writable);
    if (!made) {
        const std::scoped_lock lock(table_lock_);
        ++table_.counters().refusals;
        return made.error();
    }
    return found(**made);
}

void registration_state::let_go(registration_entry& entry) noexcept {
    if (!watch_.generation.inherited()) {
        entries ended;
        const std::scoped_lock lock(table_lock_);
        table_.let_go(entry, ended);
        table_.trim(ended);
    }
}

bool registration_state::is_valid(const registration_entry& entry) noexcept {
    if (watch_.generation.inherited()) {
        return false;
    }
    entries ended;
    const std::scoped_lock lock(table_lock_);
    refresh(ended);
    return entry.valid.load(std::memory_order_relaxed);
}

void registration_state::clear() noexcept {
    if (!watch_.generation.inherited()) {
        entries ended;
        const std::scoped_lock lock(table_lock_);
        refresh(ended);
        table_.clear(ended);
    }
}

cache_statistics registration_state::statistics() noexcept {
    if (watch_.generation.inherited()) {
        return {};
    }
    entries ended;
    const std::scoped_lock lock(table_lock_);
    refresh(ended);
    return table_.counters();
}

} // namespace detail

registration::registration(std::shared_ptr<detail::registration_state> state,
                           detail::registration_entry& entry,
                           std::span<const std::byte> bytes) noexcept
    : state_(std::move(state)), entry_(&entry), watch_(&state_->watch()), valid_(&entry.valid),
      bytes_(bytes) {}

registration::registration(registration&& other) noexcept
    : state_(std::move(other.state_)), entry_(std::exchange(other.entry_, nullptr)),
      watch_(other.watch_), valid_(other.valid_), bytes_(other.bytes_) {}

registration& registration::operator=(registration&& other) noexcept {
    if (this != &other) {
        reset();
        state_ = std::move(other.state_);
        entry_ = std::exchange(other.entry_, nullptr);
        watch_ = other.watch_;
        valid_ = other.valid_;
        bytes_ = other.bytes_;
    }
    return *this;
}

registration::~registration() {
    reset();
}

const detail::registration_entry& registration::entry() const {
    if (entry_ == nullptr) {
        detail::misused("longpin::registration: used while it is empty");
    }
    return *entry_;
}

std::span<const std::byte> registration::bytes() const {
    static_cast<void>(entry());
    return bytes_;
}

std::uint64_t registration::offset() const {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the kernel counts in numbers
    return reinterpret_cast<std::uintptr_t>(bytes_.data()) - entry().pages.begin;
}

const longpin::pin& registration::pin() const {
    const detail::registration_entry& used = entry();
    state_->must_be_here();
    return *used.pin;
}

bool registration::still_valid() const noexcept {
    return state_->is_valid(*entry_);
}

void registration::reset() noexcept {
    if (entry_ != nullptr) {
        state_->let_go(*std::exchange(entry_, nullptr));
        state_.reset();
    }
}

registration_cache::registration_cache(device own, const cache_options& options)
    : registration_cache(try_make(std::move(own), options).value()) {}

result<registration_cache> registration_cache::try_make(device own, const cache_options& options) {
    const auto info = own.try_info();
    if (!info) {
        return info.error();
    }
    if (!info->leases) {
        return detail::failure(LONGPIN_PIN, EOPNOTSUPP, "make a cache of registrations",
                               {.why = reason::lease_kernel});
    }
    auto generation = longpin::generation::try_make(own);
    if (!generation) {
        return generation.error();
    }
    using detail::registration_state;
    std::unique_ptr<registration_state, registration_state::deleter> state(
        new registration_state(std::move(own), std::move(*generation), info->page_size, options));
    return registration_cache(std::shared_ptr<registration_state>(std::move(state)));
}

registration_cache::registration_cache(std::shared_ptr<detail::registration_state> state) noexcept
    : state_(std::move(state)) {}

registration_cache::registration_cache(registration_cache&& other) noexcept = default;

registration_cache& registration_cache::operator=(registration_cache&& other) noexcept {
    if (this != &other) {
        const registration_cache ended = std::move(*this);
        state_ = std::move(other.state_);
    }
    return *this;
}

registration_cache::~registration_cache() {
    if (state_) {
        state_->clear();
    }
}

detail::registration_state& registration_cache::state() const {
    if (!state_) {
        detail::misused("longpin::registration_cache: used after it was moved from");
    }
    return *state_;
}

registration registration_cache::get(std::span<const std::byte> range) const {
    return try_get(range).value();
}

result<registration> registration_cache::try_get(std::span<const std::byte> range) const {
    return state().get(range, false);
}

registration registration_cache::get_writable(std::span<std::byte> range) const {
    return try_get_writable(range).value();
}

result<registration> registration_cache::try_get_writable(std::span<std::byte> range) const {
    return state().get(range, true);
}

void registration_cache::clear() const {
    state().clear();
}

cache_statistics registration_cache::statistics() const {
    return state().statistics();
}

} // namespace longpin
