// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"
#include "mapped.hpp"
#include "statistics_text.hpp"

#include <longpin/registration_cache.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <chrono>
#include <future>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

using Catch::Matchers::Contains;
using longpin::cache_options;
using longpin::cache_statistics;
using longpin::reason;
using longpin::registration;
using longpin::registration_cache;

namespace {

constexpr std::size_t page = fake_kernel::page_size;

std::uint64_t number(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address);
}

/// What a cache does whose pins are of as many bytes as are asked for.
constexpr cache_options unmerged{.merge_limit = 0};

/// How long another thread is given to do what it can, and to do what it can't.
constexpr auto deadline = std::chrono::seconds(5);
constexpr auto moment = std::chrono::milliseconds(50);

int errno_of(const longpin::result<registration>& tried) {
    return tried ? 0 : tried.error().code().value();
}

} // namespace

TEST_CASE("A range that is asked for again is pinned once, whole pages, as a lease") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    const auto message = memory.bytes().subspan(page + 10, 100);
    {
        const registration first = cache.get(message);
        CHECK(kernel.last_pin.flags == LONGPIN_PIN_LEASE);
        CHECK(kernel.last_pin.addr == number(memory.bytes().data()) + page);
        CHECK(kernel.last_pin.length == page);
        CHECK(first.bytes().data() == message.data());
        CHECK(first.bytes().size() == message.size());
        CHECK(first.offset() == 10);
        CHECK(first.pin().address() + first.offset() == number(message.data()));
        CHECK(first.valid());
        CHECK(cache.get(message).pin().handle() == first.pin().handle());
    }
    // Also when nobody uses it any more, and what lies within.
    CHECK(cache.get(memory.pages(1, 1)).offset() == 0);
    CHECK(cache.get(memory.bytes().subspan(2 * page - 1, 1)).offset() == page - 1);
    CHECK(kernel.count(LONGPIN_PIN) == 1);
    CHECK(cache.statistics() ==
          cache_statistics{.hits = 3, .misses = 1, .made = 1, .entries = 1, .bytes = page});
}

TEST_CASE("What is for writing serves readers too, and what is for reading no writers") {
    fake_kernel kernel;
    const mapped memory(3);
    const registration_cache cache(fake_kernel::open());
    const registration reading = cache.get(memory.pages(1, 1));
    const registration writing = cache.get_writable(memory.bytes());
    CHECK((kernel.last_pin.flags & LONGPIN_PIN_WRITE) != 0);
    CHECK(reading.pin().handle() != writing.pin().handle());
    CHECK(cache.get(memory.pages(1, 1)).pin().handle() == writing.pin().handle());
    // It lies in the one for writing, so it is found no more, and yet good for its user.
    CHECK(reading.valid());
    CHECK(cache.statistics().superseded == 1);
    CHECK(cache.statistics().retired == 1);
    CHECK(kernel.pins.size() == 2);
}

TEST_CASE("A pin for reading does not take what is for writing with it, nor the other way") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    static_cast<void>(cache.get_writable(memory.pages(0, 2)));
    static_cast<void>(cache.get(memory.pages(1, 2)));
    CHECK(kernel.last_pin.length == 2 * page);
    static_cast<void>(cache.get_writable(memory.pages(3, 1)));
    CHECK(kernel.last_pin.length == page);
    CHECK(cache.statistics().superseded == 0);
}

TEST_CASE("What overlaps or touches a range is pinned with it, within the limit") {
    fake_kernel kernel;
    const mapped memory(10);
    const std::uint64_t limit = GENERATE(0U, 5U, 6U, 100U) * page;
    const registration_cache cache(fake_kernel::open(), {.merge_limit = limit});
    static_cast<void>(cache.get(memory.pages(0, 2)));
    static_cast<void>(cache.get(memory.pages(4, 2)));
    static_cast<void>(cache.get(memory.pages(7, 1)));
    CHECK(kernel.last_pin.length == page); // with a gap on either side
    const registration between = cache.get(memory.pages(2, 3));
    const bool merged = limit >= 6 * page;
    CHECK(kernel.last_pin.length == (merged ? 6 : 3) * page);
    CHECK(between.offset() == (merged ? 2 : 0) * page);
    CHECK(cache.statistics().superseded == (merged ? 2 : 0));
    CHECK(kernel.pins.size() == (merged ? 2 : 4));
    // Overlapping ones are found side by side.
    const auto pins = kernel.count(LONGPIN_PIN);
    static_cast<void>(cache.get(memory.pages(0, 2)));
    static_cast<void>(cache.get(memory.pages(2, 3)));
    static_cast<void>(cache.get(memory.pages(4, 2)));
    CHECK(kernel.count(LONGPIN_PIN) == pins);
}

TEST_CASE("If neighbours stand in the way, the range is pinned alone") {
    fake_kernel kernel;
    kernel.has_limits = true;
    kernel.info.out_memlock_limit = 4 * page;
    const mapped memory(3);
    const registration_cache cache(fake_kernel::open());
    const registration first = cache.get(memory.pages(0, 2));
    const registration second = cache.get(memory.pages(2, 1));
    CHECK(kernel.last_pin.length == page);
    CHECK(cache.statistics() ==
          cache_statistics{.misses = 2, .made = 2, .entries = 2, .bytes = 3 * page});
}

TEST_CASE("If the kernel's limits are met, what was unused for the longest time goes first") {
    fake_kernel kernel;
    kernel.has_limits = true;
    kernel.info.out_memlock_limit = 4 * page;
    const mapped memory(10);
    const registration_cache cache(fake_kernel::open(), unmerged);
    const std::uint32_t old = cache.get(memory.pages(0, 2)).pin().handle();
    const registration used = cache.get(memory.pages(2, 1));
    const std::uint32_t younger = cache.get(memory.pages(4, 1)).pin().handle();
    static_cast<void>(cache.get(memory.pages(6, 2)));
    CHECK_FALSE(kernel.pins.contains(old));
    CHECK(kernel.pins.contains(younger));
    CHECK(used.valid());

    const auto tried = cache.try_get(memory.pages(6, 4));
    REQUIRE_FALSE(tried);
    CHECK(tried.error().reason() == reason::memlock);
    // All but what is in use went, in vain.
    CHECK(cache.statistics() ==
          cache_statistics{
              .misses = 5, .refusals = 1, .made = 4, .evictions = 3, .entries = 1, .bytes = page});
}

TEST_CASE("Memory that can't be leased is refused, and nothing is cached or evicted") {
    fake_kernel kernel;
    const mapped memory(2);
    const registration_cache cache(fake_kernel::open());
    static_cast<void>(cache.get(memory.pages(0, 1)));
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = reason::lease_memory, .bad_address = page});
    for (int i = 0; i < 2; ++i) {
        const auto tried = cache.try_get(memory.pages(1, 1));
        REQUIRE_FALSE(tried);
        CHECK(tried.error().reason() == reason::lease_memory);
        CHECK_THAT(tried.error().what(), Contains("can't be leased"));
    }
    CHECK_THROWS_AS(cache.get_writable(memory.pages(1, 1)), longpin::error);
    CHECK(cache.statistics() ==
          cache_statistics{.misses = 4, .refusals = 3, .made = 1, .entries = 1, .bytes = page});
}

TEST_CASE("The limits of the cache are kept by what is not in use") {
    fake_kernel kernel;
    const mapped memory(20);
    const bool by_bytes = GENERATE(false, true);
    const registration_cache cache(fake_kernel::open(),
                                   by_bytes ? cache_options{.max_bytes = 3 * page, .merge_limit = 0}
                                            : cache_options{.max_entries = 3, .merge_limit = 0});
    std::vector<registration> used;
    for (std::size_t i = 0; i < 5; ++i) {
        used.push_back(cache.get(memory.pages(2 * i, 1)));
    }
    CHECK(kernel.pins.size() == 5);
    CHECK(cache.statistics().evictions == 0);
    std::vector<std::uint32_t> handles;
    for (registration& each : used) {
        handles.push_back(each.pin().handle());
        each.reset();
    }
    CHECK(kernel.pins.size() == 3);
    CHECK_FALSE(kernel.pins.contains(handles[1]));
    CHECK(kernel.pins.contains(handles[2]));
    static_cast<void>(cache.get(memory.pages(4, 1))); // is the youngest now
    static_cast<void>(cache.get(memory.pages(18, 1)));
    CHECK(kernel.pins.contains(handles[2]));
    CHECK_FALSE(kernel.pins.contains(handles[3]));
    CHECK(cache.statistics().entries == 3);
    CHECK(cache.statistics().bytes == 3 * page);
    CHECK(cache.statistics().evictions == 3);
}

TEST_CASE("A registration beyond the limit is made, and ends with its user") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open(), {.max_bytes = page});
    {
        const registration large = cache.get(memory.bytes());
        CHECK(large.valid());
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("What the kernel took back is found no more, and ends with its last user") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    std::optional<registration> first = cache.get(memory.bytes());
    std::optional<registration> second = cache.get(memory.pages(3, 1));
    const std::uint32_t old = first->pin().handle();
    kernel.revoke(memory.pages(1, 1));
    CHECK_FALSE(first->valid());
    CHECK_FALSE(second->valid()); // of the same pin, though of another page
    const registration anew = cache.get(memory.pages(3, 1));
    CHECK(anew.pin().handle() != old);
    CHECK(anew.valid());
    CHECK(cache.statistics().retired == 1);
    first.reset();
    CHECK(kernel.pins.contains(old));
    second.reset();
    CHECK_FALSE(kernel.pins.contains(old));
    CHECK(cache.statistics() ==
          cache_statistics{
              .hits = 1, .misses = 2, .made = 2, .invalidations = 1, .entries = 1, .bytes = page});
}

TEST_CASE("What nobody uses ends at the first call after the kernel took it back") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open(), unmerged);
    static_cast<void>(cache.get(memory.pages(0, 2)));
    static_cast<void>(cache.get(memory.pages(2, 2)));
    kernel.revoke(memory.pages(0, 1));
    CHECK(cache.statistics().invalidations == 1);
    CHECK(kernel.pins.size() == 1);
    CHECK(kernel.pins.begin()->second.request.addr == number(memory.bytes().data()) + 2 * page);
}

TEST_CASE("What is about to be taken back is found no more") {
    fake_kernel kernel;
    const mapped memory(2);
    longpin::device device = fake_kernel::open();
    const int descriptor = device.native_handle();
    const registration_cache cache(std::move(device), unmerged);
    const registration used = cache.get(memory.pages(0, 1));
    static_cast<void>(cache.get(memory.pages(1, 1)));
    longpin_event event{};
    event.type = LONGPIN_EVENT_REVOKING;
    event.handle = used.pin().handle();
    event.cookie = used.pin().query().cookie;
    kernel.tell(descriptor, event);
    kernel.revoke(memory.pages(1, 1)); // changes the generation
    CHECK_FALSE(used.valid());
    CHECK(kernel.pins.size() == 1);
}

TEST_CASE("Validity is told without a system call until the kernel takes something back") {
    fake_kernel kernel;
    const mapped memory(2);
    const registration_cache cache(fake_kernel::open(), unmerged);
    const registration kept = cache.get(memory.pages(0, 1));
    const registration revoked = cache.get(memory.pages(1, 1));
    kernel.event_size = 5000; // who reads, drops all
    CHECK(kept.valid());
    kernel.event_size = sizeof(longpin_event);
    kernel.revoke(memory.pages(1, 1));
    CHECK(kept.valid());
    kernel.event_size = 5000;
    CHECK(kept.valid());
    CHECK_FALSE(revoked.valid());
}

TEST_CASE("After an overflow the kernel is asked for every pin") {
    fake_kernel kernel;
    kernel.event_limit = GENERATE(0U, 1U);
    const mapped memory(8);
    const registration_cache cache(fake_kernel::open(), unmerged);
    std::vector<registration> used;
    for (std::size_t i = 0; i < 8; ++i) {
        used.push_back(cache.get(memory.pages(i, 1)));
    }
    used.pop_back(); // one is idle
    kernel.revoke(memory.pages(1, 2));
    kernel.revoke(memory.pages(5, 1));
    kernel.revoke(memory.pages(7, 1));
    for (std::size_t i = 0; i < used.size(); ++i) {
        CHECK(used[i].valid() == (i != 1 && i != 2 && i != 5));
    }
    CHECK(kernel.count(LONGPIN_QUERY) >= 4);
    CHECK(kernel.pins.size() == 7);
    const auto pins = kernel.count(LONGPIN_PIN);
    CHECK(cache.get(memory.pages(0, 1)).valid());
    CHECK(kernel.count(LONGPIN_PIN) == pins);
    CHECK(cache.get(memory.pages(1, 1)).valid());
    CHECK(kernel.count(LONGPIN_PIN) == pins + 1);
}

TEST_CASE("If events can't be read, nothing is taken to be valid") {
    fake_kernel kernel;
    const mapped memory(3);
    const registration_cache cache(fake_kernel::open(), unmerged);
    const registration used = cache.get(memory.pages(0, 1));
    static_cast<void>(cache.get(memory.pages(1, 1)));
    const registration revoked = cache.get(memory.pages(2, 1));
    kernel.event_size = 5000;
    kernel.revoke(memory.pages(2, 1));
    CHECK_FALSE(used.valid());
    CHECK_FALSE(revoked.valid());
    CHECK(kernel.pins.size() == 2);
    CHECK(cache.get(memory.pages(0, 1)).valid());
    CHECK(cache.statistics().invalidations == 3);
}

TEST_CASE("What is taken back while it is pinned is pinned again, whoever reads the event") {
    fake_kernel kernel;
    const mapped memory(4);
    registration_cache cache(fake_kernel::open());
    static_cast<void>(cache.get(memory.pages(0, 1)));
    const bool overflow = GENERATE(false, true);
    const bool somebody_else_reads = GENERATE(false, true);
    kernel.event_limit = overflow ? 0 : 1000;
    int times = 2;
    kernel.while_pinning = [&](const longpin_pin&) {
        if (times-- > 0) {
            kernel.revoke(memory.pages(1, 1));
            if (somebody_else_reads) {
                static_cast<void>(cache.statistics());
            }
        }
    };
    const registration got = cache.get(memory.pages(1, 1));
    CHECK(got.valid());
    CHECK(kernel.pins.at(got.pin().handle()).revoked_pages() == 0);
    CHECK(got.pin().length() == page); // its neighbour was left out at the second attempt
    CHECK(kernel.count(LONGPIN_PIN) == 4);
    CHECK(kernel.pins.size() == 2);
    CHECK(cache.statistics() ==
          cache_statistics{.misses = 2, .made = 2, .entries = 2, .bytes = 2 * page});
}

TEST_CASE("Memory that is taken back for ever while it is pinned is given up") {
    fake_kernel kernel;
    const mapped memory(1);
    const registration_cache cache(fake_kernel::open());
    kernel.while_pinning = [&](const longpin_pin&) { kernel.revoke(memory.bytes()); };
    const auto tried = cache.try_get(memory.bytes());
    REQUIRE_FALSE(tried);
    CHECK(tried.error().code().value() == EAGAIN);
    CHECK_THAT(tried.error().what(),
               Contains("cannot register 4 KiB at 0x") && Contains("again and again"));
    CHECK(kernel.pins.empty());
    CHECK(cache.statistics() == cache_statistics{.misses = 1, .refusals = 1});
}

TEST_CASE("Other lookups go on while one pins") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    static_cast<void>(cache.get(memory.pages(0, 1)));
    bool found = false;
    kernel.while_pinning = [&](const longpin_pin&) {
        // The same thread, which would wait for itself.
        found = cache.get(memory.pages(0, 1)).valid();
    };
    static_cast<void>(cache.get(memory.pages(2, 2)));
    CHECK(found);
}

TEST_CASE("A registration that signals interrupt is tried again, but not for ever") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    static_cast<void>(cache.get(memory.pages(0, 1)));
    const int interruptions = GENERATE(1, 99, 100);
    kernel.fail(LONGPIN_PIN, EINTR);
    kernel.while_pinning = [&, left = interruptions](const longpin_pin&) mutable {
        if (--left == 0) {
            kernel.fail(LONGPIN_PIN, 0);
        }
    };
    const auto got = cache.try_get(memory.pages(1, 1));
    if (interruptions < 100) {
        REQUIRE(got);
        CHECK(got->pin().length() == 2 * page); // with its neighbour, which is not at fault
        CHECK(kernel.count(LONGPIN_PIN) == 1 + static_cast<std::size_t>(interruptions) + 1);
    } else {
        CHECK(errno_of(got) == EINTR);
        CHECK(kernel.count(LONGPIN_PIN) == 1 + 100);
        CHECK(cache.statistics().refusals == 1);
        CHECK(cache.statistics().evictions == 0);
    }
}

TEST_CASE("A registration is made while another waits for its pages, and perhaps for its maker") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    std::future<bool> other;
    auto in_time = std::future_status::deferred;
    kernel.while_pinning = [&](const longpin_pin& request) {
        if (request.addr == number(memory.bytes().data())) {
            other = std::async(std::launch::async,
                               [&] { return cache.get_writable(memory.pages(2, 2)).valid(); });
            in_time = other.wait_for(deadline);
        }
    };
    CHECK(cache.get(memory.pages(0, 1)).valid());
    CHECK(in_time == std::future_status::ready);
    CHECK(other.get());
    CHECK(cache.statistics() ==
          cache_statistics{.misses = 2, .made = 2, .entries = 2, .bytes = 3 * page});
}

TEST_CASE("Who asks for a part of what is being made waits for it, and has it then") {
    fake_kernel kernel;
    const mapped memory(3);
    const registration_cache cache(fake_kernel::open());
    const bool writable = GENERATE(false, true);
    std::future<std::uint32_t> other;
    kernel.while_pinning = [&](const longpin_pin&) {
        other = std::async(std::launch::async,
                           [&] { return cache.get(memory.pages(1, 2)).pin().handle(); });
        CHECK(other.wait_for(moment) == std::future_status::timeout);
    };
    const registration got =
        writable ? cache.get_writable(memory.bytes()) : cache.get(memory.bytes());
    CHECK(other.get() == got.pin().handle());
    CHECK(kernel.count(LONGPIN_PIN) == 1);
    CHECK(cache.statistics() ==
          cache_statistics{.hits = 1, .misses = 1, .made = 1, .entries = 1, .bytes = 3 * page});
}

TEST_CASE("Who waits for a registration that is refused tries itself") {
    fake_kernel kernel;
    const mapped memory(2);
    const registration_cache cache(fake_kernel::open());
    const bool only_the_first = GENERATE(false, true);
    kernel.fail(LONGPIN_PIN, EFAULT, {.why = reason::hole});
    std::future<int> other;
    kernel.while_pinning = [&](const longpin_pin&) {
        if (!other.valid()) {
            other = std::async(std::launch::async,
                               [&] { return errno_of(cache.try_get(memory.pages(1, 1))); });
            CHECK(other.wait_for(moment) == std::future_status::timeout);
            kernel.fail(LONGPIN_PIN, only_the_first ? 0 : EFAULT, {.why = reason::hole});
        }
    };
    CHECK(errno_of(cache.try_get(memory.bytes())) == EFAULT);
    CHECK(other.get() == (only_the_first ? 0 : EFAULT));
    CHECK(kernel.count(LONGPIN_PIN) == 2);
    CHECK(cache.statistics().refusals == (only_the_first ? 1 : 2));
}

TEST_CASE("Who waits is not kept by what it lets end") {
    fake_kernel kernel;
    const mapped memory(3);
    const registration_cache cache(fake_kernel::open(), unmerged);
    static_cast<void>(cache.get(memory.pages(2, 1)));
    std::future<bool> other;
    kernel.while_pinning = [&](const longpin_pin&) {
        kernel.revoke(memory.pages(2, 1));
        other =
            std::async(std::launch::async, [&] { return cache.get(memory.pages(0, 1)).valid(); });
        CHECK(other.wait_for(moment) == std::future_status::timeout);
        static_cast<void>(cache.statistics()); // when it waits, it is through with the kernel
        CHECK(kernel.pins.size() == 1);        // that which is being made
    };
    static_cast<void>(cache.get(memory.pages(0, 1)));
    CHECK(other.get());
}

TEST_CASE("Memory that overlaps what is being made is pinned by itself") {
    fake_kernel kernel;
    const mapped memory(4);
    const registration_cache cache(fake_kernel::open());
    // The same thread, which would wait for itself. It asks for more, for another part, for the
    // neighbour that is pinned with it, to write.
    const auto ask = GENERATE(0, 1, 2, 3);
    static_cast<void>(cache.get(memory.pages(3, 1)));
    std::optional<registration> meanwhile;
    bool asked = false;
    kernel.while_pinning = [&](const longpin_pin&) {
        if (std::exchange(asked, true)) {
            return;
        }
        switch (ask) {
        case 0: meanwhile = cache.get(memory.bytes()); break;
        case 1: meanwhile = cache.get(memory.pages(0, 2)); break;
        case 2: meanwhile = cache.get_writable(memory.pages(3, 1)); break;
        default: meanwhile = cache.get_writable(memory.pages(1, 1));
        }
    };
    std::optional<registration> got = cache.get(memory.pages(1, 2));
    CHECK(got->valid());
    CHECK(meanwhile->valid());
    CHECK(got->pin().handle() != meanwhile->pin().handle());
    const auto now = cache.statistics();
    CHECK(now.made == 3);
    CHECK(now.made ==
          now.entries - now.retired + now.evictions + now.invalidations + now.superseded);
    if (ask == 0) { // what was made of less is found no more, and good for its user
        CHECK(cache.get(memory.pages(1, 2)).pin().handle() == meanwhile->pin().handle());
        CHECK(now.superseded == 2);
        CHECK(now.retired == 1);
        got.reset();
        CHECK(kernel.pins.size() == 1);
    }
    got.reset();
    meanwhile.reset();
    cache.clear();
    CHECK(kernel.pins.empty());
}

TEST_CASE("A range that is empty or runs past the end of memory is refused") {
    fake_kernel kernel;
    const mapped memory(1);
    const registration_cache cache(fake_kernel::open());
    CHECK(cache.try_get({}).error().reason() == reason::zero_length);
    CHECK(cache.try_get_writable(memory.bytes().first(0)).error().reason() == reason::zero_length);
    for (const std::size_t size :
         {std::numeric_limits<std::size_t>::max(),
          std::numeric_limits<std::size_t>::max() - number(memory.bytes().data())}) {
        CHECK(cache.try_get({memory.bytes().data(), size}).error().reason() == reason::wraps);
    }
    CHECK(kernel.count(LONGPIN_PIN) == 0);
}

TEST_CASE("A module without leases has no cache") {
    fake_kernel kernel;
    kernel.info.out_pin_flags = LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN;
    const auto tried = registration_cache::try_make(fake_kernel::open());
    REQUIRE_FALSE(tried);
    CHECK(tried.error().reason() == reason::lease_kernel);
    CHECK_THROWS_WITH(registration_cache(fake_kernel::open()),
                      Contains("cannot make a cache of registrations: this kernel has no means"));
    kernel.fail(LONGPIN_INFO, ENOTTY);
    CHECK(registration_cache::try_make(fake_kernel::open()).error().code().value() == ENOTTY);
}

TEST_CASE("Clearing a cache ends what is not in use, and the rest with its users") {
    fake_kernel kernel;
    const mapped memory(3);
    const registration_cache cache(fake_kernel::open(), unmerged);
    std::optional<registration> used = cache.get(memory.pages(0, 1));
    static_cast<void>(cache.get_writable(memory.pages(1, 1)));
    cache.clear();
    CHECK(kernel.pins.size() == 1);
    CHECK(used->valid());
    CHECK(cache.get(memory.pages(0, 1)).pin().handle() != used->pin().handle());
    CHECK(cache.statistics().evictions == 2);
    CHECK(cache.statistics().retired == 1);
    used.reset();
    CHECK(kernel.pins.size() == 1);
}

TEST_CASE("A registration outlives its cache, and then ends") {
    fake_kernel kernel;
    const mapped memory(2);
    std::optional<registration_cache> cache(std::in_place, fake_kernel::open(), unmerged);
    std::optional<registration> used = cache->get_writable(memory.pages(0, 1));
    static_cast<void>(cache->get(memory.pages(1, 1)));
    cache.reset();
    CHECK(kernel.pins.size() == 1);
    CHECK(used->valid());
    used->pin().write(used->offset(), memory.pages(1, 1));
    kernel.revoke(memory.pages(0, 1));
    CHECK_FALSE(used->valid());
    used.reset();
    CHECK(kernel.pins.empty());
}

TEST_CASE("Registrations and caches move, and what is left is empty") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<registration>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<registration>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<registration>);
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<registration_cache>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<registration_cache>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<registration_cache>);
    fake_kernel kernel;
    const mapped memory(2);
    registration_cache first(fake_kernel::open(), unmerged);
    registration one = first.get(memory.pages(0, 1));
    registration two = std::move(one);
    CHECK_FALSE(one);                                // NOLINT: on purpose, from here on
    CHECK_THROWS_AS(one.pin(), std::logic_error);    // NOLINT
    CHECK_THROWS_AS(one.bytes(), std::logic_error);  // NOLINT
    CHECK_THROWS_AS(one.offset(), std::logic_error); // NOLINT
    CHECK_THROWS_AS(one.valid(), std::logic_error);  // NOLINT
    CHECK_NOTHROW(one.reset());                      // NOLINT
    CHECK(two);
    registration& alias = two;
    two = std::move(alias);
    CHECK(two.valid());
    two = first.get(memory.pages(1, 1));
    CHECK(two.bytes().data() == memory.pages(1, 1).data());
    first.clear();
    CHECK(kernel.pins.size() == 1);

    registration_cache second = std::move(first);
    CHECK_THROWS_AS(first.get(memory.bytes()), std::logic_error); // NOLINT
    CHECK_THROWS_AS(first.clear(), std::logic_error);             // NOLINT
    CHECK_THROWS_AS(first.statistics(), std::logic_error);        // NOLINT
    static_cast<void>(second.get(memory.pages(0, 1)));
    second = registration_cache(fake_kernel::open());
    CHECK(kernel.pins.size() == 1);
    CHECK(second.statistics() == cache_statistics{});
    CHECK(two.valid());
}

TEST_CASE("A child gets nothing of its parent's cache, and ends nothing of it") {
    fake_kernel kernel;
    const mapped memory(4);
    std::optional<registration_cache> cache(std::in_place, fake_kernel::open(), unmerged);
    std::optional<registration> used = cache->get(memory.pages(0, 1));
    static_cast<void>(cache->get(memory.pages(1, 1)));
    CHECK(in_child([&] {
              const bool refused = errno_of(cache->try_get(memory.pages(0, 1))) == EPERM &&
                                   errno_of(cache->try_get_writable(memory.pages(2, 1))) == EPERM;
              bool hidden = false;
              try {
                  static_cast<void>(used->pin());
              } catch (const std::logic_error&) {
                  hidden = true;
              }
              const bool invalid = !used->valid();
              cache->clear();
              const bool empty = cache->statistics() == cache_statistics{};
              *cache = registration_cache(fake_kernel::open(), unmerged);
              const registration own = cache->get(memory.pages(0, 1));
              const bool works = own.valid();
              used.reset();
              cache.reset();
              return refused && hidden && invalid && empty && works &&
                     kernel.count(LONGPIN_UNPIN) == 0;
          }) == 0);
    CHECK(used->valid());
    CHECK(cache->get(memory.pages(1, 1)).valid());
    CHECK(kernel.count(LONGPIN_PIN) == 2);
}

TEST_CASE("A child that is forked while another thread pins does not wait for that thread") {
    fake_kernel kernel;
    const mapped memory(2);
    std::optional<registration_cache> cache(std::in_place, fake_kernel::open(), unmerged);
    int status = -1;
    kernel.while_pinning = [&](const longpin_pin&) {
        // As if by another thread.
        status = in_child([&] {
            const bool refused = errno_of(cache->try_get(memory.pages(0, 1))) == EPERM;
            cache.reset();
            return refused;
        });
    };
    static_cast<void>(cache->get(memory.pages(0, 1)));
    CHECK(status == 0);
}
