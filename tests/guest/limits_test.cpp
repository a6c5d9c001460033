// SPDX-License-Identifier: MIT
// Every limit, and every way to grow past it: none does. What counts is what the kernel holds, not
// what longpin says that it holds.
#include "support/backings.hpp"
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/module.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <thread>
#include <vector>

using namespace guest;

namespace {

constexpr std::size_t limit = 64; // pages

/// The most that a process had pinned at once.
class watch {
public:
    void look() { most_ = std::max(most_, vm_pin() / page); }
    [[nodiscard]] std::size_t most() const { return most_; }

private:
    std::size_t most_ = 0;
};

/// Open files: an ordinary user may not open the device, but has what root opened.
using contexts = std::vector<raw_device>;

/// Has something pin a page, until that is refused, or it was twice as often as is allowed. Returns
/// the errno of the refusal, or 0.
int until_refused(watch& seen, const std::function<int(std::size_t)>& pin_one) {
    int err = 0;
    for (std::size_t i = 0; i < 2 * limit && err == 0; i++) {
        err = pin_one(i);
        seen.look();
    }
    return err;
}

int pin_pages(const raw_device& device, const std::byte* memory, std::uint32_t flags, watch& seen) {
    return until_refused(seen,
                         [&](std::size_t i) { return device.pin(memory + i * page, page, flags); });
}

/// Tries to hold more than the limit. What it pins it leaves to its caller, whose memory it is.
/// Returns the errno that it met.
using grow = int(const contexts&, const mapping& memory, watch&);

int by_one_pin(const contexts& open, const mapping& memory, watch& seen) {
    const int err = open[0].pin(memory.data(), (limit + 1) * page);
    seen.look();
    return err;
}

int by_many_pins(const contexts& open, const mapping& memory, watch& seen) {
    return pin_pages(open[0], memory.data(), 0, seen);
}

int by_many_leases(const contexts& open, const mapping& memory, watch& seen) {
    return pin_pages(open[0], memory.data(), leased, seen);
}

int by_the_same_page(const contexts& open, const mapping& memory, watch& seen) {
    return until_refused(seen, [&](std::size_t) { return open[0].pin(memory.data(), page); });
}

int by_what_is_unmapped(const contexts& open, const mapping& /*memory*/, watch& seen) {
    return until_refused(
        seen, [&](std::size_t) { return open[0].pin(mapping::small(page).data(), page); });
}

int by_many_contexts(const contexts& open, const mapping& memory, watch& seen) {
    return until_refused(seen,
                         [&](std::size_t i) { return open.at(i).pin(memory.at(i * page), page); });
}

int by_many_processes(const contexts& open, const mapping& /*memory*/, watch& seen) {
    return until_refused(seen, [&](std::size_t) {
        return in_child([&] { return open[0].pin(mapping::small(page).data(), page); });
    });
}

int by_threads(const contexts& open, const mapping& memory, watch& seen) {
    watch other_seen;
    std::thread other([&] { pin_pages(open[0], memory.at(2 * limit * page), 0, other_seen); });
    const int err = pin_pages(open[1], memory.data(), 0, seen);
    other.join();
    seen.look();
    return err;
}

/// The room that a lease has given up is somebody else's when it wants it back.
int by_repin(const contexts& open, const mapping& memory, watch& seen, bool lost) {
    const std::uint32_t handle = open[0].must_pin(memory.data(), limit * page, leased);
    if (lost) {
        must(::madvise(memory.data(), limit * page, MADV_DONTNEED) == 0, "madvise");
    } else {
        must(open[0].let_go(handle, 0, limit * page) == 0, "LET_GO");
    }
    open[0].must_pin(memory.at(limit * page), limit * page);
    longpin_repin answer{};
    int err = 0;
    for (std::size_t i = 0; i < limit && err == 0; i++) {
        err = open[0].repin(handle, answer, i * page, page);
        seen.look();
    }
    return err;
}

int by_repin_of_what_was_let_go(const contexts& open, const mapping& memory, watch& seen) {
    return by_repin(open, memory, seen, false);
}

int by_repin_of_what_was_lost(const contexts& open, const mapping& memory, watch& seen) {
    return by_repin(open, memory, seen, true);
}

struct way {
    std::string_view name;
    grow* try_it;
};

constexpr std::array ways = {
    way{"one pin", by_one_pin},
    way{"many pins", by_many_pins},
    way{"many leases", by_many_leases},
    way{"pins of the same page", by_the_same_page},
    way{"pins of what is unmapped then", by_what_is_unmapped},
    way{"many open files", by_many_contexts},
    way{"processes that end", by_many_processes},
    way{"threads", by_threads},
    way{"REPIN of what was let go", by_repin_of_what_was_let_go},
    way{"REPIN of what was lost", by_repin_of_what_was_lost},
};

struct outcome {
    int err;
    std::size_t most;
    std::uint64_t kept, locked;
};

/// As an ordinary user, who may lock so many pages; looks at what is held then.
void check_bounded(std::size_t memlock_pages) {
    const long before = pinned_pages();
    for (const way& one : ways) {
        CAPTURE(one.name);
        const mapping result = mapping::shared_anonymous(sizeof(outcome));
        gate grown;
        gate end;
        child user([&] {
            const contexts open(2 * limit);
            set_memlock_limit(memlock_pages * page);
            become_ordinary_user();
            const mapping memory = mapping::small(4 * limit * page);
            watch seen;
            auto* const got = result.as<outcome>();
            got->err = one.try_it(open, memory, seen);
            got->most = seen.most();
            got->kept = open[0].info().out_max_user_pages_used;
            got->locked = open[0].info().out_memlock_used;
            grown.open();
            end.pass();
        });
        REQUIRE(grown.pass_within(60000));
        const auto got = *result.as<outcome>();
        CHECK(got.err == ENOMEM);
        CHECK(got.most <= limit);
        CHECK(got.kept <= limit * page);
        CHECK(got.locked <= limit * page);
        CHECK(pinned_pages() - before <= static_cast<long>(limit));
        end.open();
        CHECK(user.wait());
        CHECK(pinned_pages() == before);
    }
}

/// More than any way would hold.
constexpr std::size_t no_memlock_limit = GiB / page;

/// One page of each of so many huge pages, until that is refused. Returns how many were pinned.
std::size_t pin_a_page_of_each(const raw_device& device, const mapping& huge, std::uint32_t flags,
                               std::vector<std::uint32_t>& handles, longpin_pin& answer) {
    for (std::size_t at = 0; at < huge.length(); at += 2 * MiB) {
        if (device.pin(huge.at(at + handles.size() * page), page, flags, answer) != 0) {
            break;
        }
        handles.push_back(answer.out_handle);
    }
    return handles.size();
}

} // namespace

TEST_CASE("limits: no way to grow passes RLIMIT_MEMLOCK") {
    check_bounded(limit);
}

TEST_CASE("limits: no way to grow passes max_user_pages") {
    const module_parameter cap("max_user_pages", std::to_string(limit));
    check_bounded(no_memlock_limit);
}

TEST_CASE("limits: no way to grow passes max_pages") {
    const module_parameter cap("max_pages", std::to_string(limit));
    check_bounded(no_memlock_limit);
}

TEST_CASE("limits: the administrator's count a huge page whole that a pin keeps by one page",
          "[thp]") {
    const auto* const parameter = GENERATE("max_user_pages", "max_pages");
    const std::uint32_t flags = GENERATE(0U, leased, leased_write);
    CAPTURE(parameter, flags);
    const bool by_user = std::string_view(parameter) == "max_user_pages";
    const raw_device device;
    const mapping huge = mapping::huge(8 * MiB);
    const auto kept = [&] {
        const longpin_info info = device.info();
        CHECK(info.out_max_user_pages_used == info.out_max_pages_used);
        return info.out_max_user_pages_used;
    };
    REQUIRE(kept() == 0);
    const module_parameter cap(parameter, "1400");
    std::vector<std::uint32_t> handles;
    longpin_pin answer{};
    CHECK(pin_a_page_of_each(device, huge, flags, handles, answer) == 2);
    CHECK(answer.out_reason ==
          (by_user ? LONGPIN_REASON_MAX_USER_PAGES : LONGPIN_REASON_MAX_PAGES));
    CHECK(answer.out_limit == 1400 * page);
    CHECK(answer.out_used == 1025 * page); // with the page that is refused
    CHECK(answer.out_asked == 511 * page); // and the rest of its huge page
    CHECK(kept() == 4 * MiB);
    CHECK(vm_pin() == 2 * page);

    // More of the same huge pages costs nothing more, until it is more than there is.
    const std::uint32_t more = device.must_pin(huge.at(100 * page), 300 * page, flags);
    CHECK(kept() == 4 * MiB);
    const std::uint32_t again = device.must_pin(huge.at(MiB), MiB, flags);
    CHECK(kept() == 2 * MiB + (1 + 300 + 256) * page);
    CHECK(device.unpin(more) == 0);
    CHECK(kept() == 4 * MiB);

    // What it keeps goes with the last page of it, whoever else has the mapping.
    CHECK(device.unpin(handles[0]) == 0);
    CHECK(kept() == 4 * MiB);
    CHECK(device.unpin(again) == 0);
    CHECK(kept() == 2 * MiB);
    CHECK(device.unpin(handles[1]) == 0);
    CHECK(kept() == 0);

    // All of it as one is what it is.
    const std::uint32_t whole = device.must_pin(huge.at(2 * MiB), 4 * MiB, flags);
    CHECK(kept() == 4 * MiB);
    CHECK(device.pin(huge.at(8 * MiB - page), page, flags) == ENOMEM);
    CHECK(kept() == 4 * MiB);
    CHECK(device.unpin(whole) == 0);
    CHECK(kept() == 0);
}

TEST_CASE("limits: a huge page that a lease has left a part of counts until the last of it goes",
          "[thp]") {
    const raw_device device;
    const mapping huge = mapping::huge(4 * MiB);
    // In single pages: each of them can be given back by itself.
    REQUIRE(::madvise(huge.data(), huge.length(), MADV_NOHUGEPAGE) == 0);
    for (std::size_t at = 0; at < huge.length(); at += 2 * MiB) {
        REQUIRE(::mprotect(huge.at(at), page, PROT_READ) == 0);
        REQUIRE(::mprotect(huge.at(at), page, PROT_READ | PROT_WRITE) == 0);
    }
    const std::uint32_t handle = device.must_pin(huge.data(), huge.length(), leased);
    const auto kept = [&] { return device.info().out_max_user_pages_used; };
    CHECK(kept() == 4 * MiB);
    CHECK(device.let_go(handle, page, 2 * MiB - page) == 0);
    CHECK(vm_pin() == 2 * MiB + page);
    CHECK(kept() == 4 * MiB);
    CHECK(device.let_go(handle, 0, page) == 0);
    CHECK(kept() == 2 * MiB);
    longpin_repin answer{};
    CHECK(device.repin(handle, answer, 16 * page, page) == 0);
    CHECK(kept() == 4 * MiB);
    CHECK(vm_pin() == 2 * MiB + page);
    {
        // What would be beyond the limit isn't taken.
        REQUIRE(device.let_go(handle, 16 * page, page) == 0);
        const module_parameter cap("max_user_pages", "600");
        CHECK(device.repin(handle, answer, 16 * page, page) == ENOMEM);
        CHECK(answer.out_reason == LONGPIN_REASON_MAX_USER_PAGES);
        CHECK(kept() == 2 * MiB);
        CHECK(vm_pin() == 2 * MiB);
    }
    CHECK(device.unpin(handle) == 0);
    CHECK(kept() == 0);
}

TEST_CASE("limits: what a page of a huge page keeps counts once for each user", "[thp]") {
    const raw_device device;
    const mapping shared = memory_backing_named("hugetlb 2 MiB, shared").map();
    device.must_pin(shared.data(), page);
    const auto [own, all] = as_ordinary_user([&] {
        struct {
            std::uint64_t own, all;
        } got{};
        device.must_pin(shared.at(MiB), page);
        device.must_pin(shared.at(MiB), page);
        got.own = device.info().out_max_user_pages_used;
        got.all = device.info().out_max_pages_used;
        return got;
    });
    CHECK(own == 2 * MiB);
    CHECK(all == 4 * MiB);
    CHECK(device.info().out_max_user_pages_used == 2 * MiB);
}
