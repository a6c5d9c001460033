// SPDX-License-Identifier: MIT
// Pages are charged to the user who pins them, exactly, and given back to the same.
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <thread>

using namespace guest;

namespace {

struct result {
    int err;
    longpin_pin answer{};
    std::size_t pinned; ///< VmPin afterwards
};

/// Pins as the ordinary user with a limit, through a device that root opened.
result pin_as_user(const raw_device& device, std::size_t limit, std::size_t length) {
    return as_ordinary_user([&] {
        set_memlock_limit(limit);
        const mapping memory = mapping::anonymous(length);
        result got{};
        got.err = device.pin(memory.data(), length, 0, got.answer);
        got.pinned = vm_pin();
        return got;
    });
}

} // namespace

TEST_CASE("RLIMIT_MEMLOCK holds exactly to the page") {
    const raw_device device;
    const result fits = pin_as_user(device, 16 * page, 16 * page);
    CHECK(fits.err == 0);
    CHECK(fits.pinned == 16 * page);
    REQUIRE(device.unpin(fits.answer.out_handle) == 0);

    const result too_much = pin_as_user(device, 16 * page, 17 * page);
    CHECK(too_much.err == ENOMEM);
    CHECK(too_much.answer.out_reason == LONGPIN_REASON_MEMLOCK);
    CHECK(too_much.answer.out_limit == 16 * page);
    CHECK(too_much.answer.out_used == 0);
    CHECK(too_much.answer.out_asked == 17 * page);
    CHECK(too_much.answer.out_bad_addr == 0);
    CHECK(too_much.pinned == 0);
}

TEST_CASE("RLIMIT_MEMLOCK has room again for what was unpinned") {
    const raw_device device;
    // The kernel forgets the count of a user without processes, so one does all of it.
    const bool had_room = as_ordinary_user([&] {
        set_memlock_limit(16 * page);
        const mapping memory = mapping::anonymous(17 * page);
        bool good = true;
        for (int round = 0; round < 3; round++) {
            longpin_pin pin{};
            good = good && device.pin(memory.data(), 16 * page, 0, pin) == 0 &&
                   device.pin(memory.at(16 * page), page) == ENOMEM &&
                   device.unpin(pin.out_handle) == 0 && device.info().out_memlock_used == 0;
        }
        return good;
    });
    CHECK(had_room);
}

TEST_CASE("RLIMIT_MEMLOCK counts whole pages: a part of a page is no room") {
    const raw_device device;
    CHECK(pin_as_user(device, 2 * page - 1, 2 * page).err == ENOMEM);
    CHECK(pin_as_user(device, page - 1, page).err == ENOMEM);
    CHECK(pin_as_user(device, 0, 1).err == ENOMEM);
}

TEST_CASE("RLIMIT_MEMLOCK counts the pages that a range touches, not its bytes") {
    const raw_device device;
    const int err = as_ordinary_user([&] {
        set_memlock_limit(page);
        const mapping memory = mapping::anonymous(2 * page);
        return device.pin(memory.at(page - 1), 2);
    });
    CHECK(err == ENOMEM);
}

TEST_CASE("RLIMIT_MEMLOCK counts a huge page by the pages that are asked for", "[thp]") {
    const raw_device device;
    constexpr std::size_t limit = 600 * page;
    struct answer {
        int parts, whole, too_much;
        std::size_t pinned;
    };
    const answer got = in_child([&] {
        const mapping memory = mapping::huge(4 * MiB);
        set_memlock_limit(limit);
        become_ordinary_user();
        answer said{};
        said.parts = device.pin(memory.at(MiB), 88 * page);
        said.whole = device.pin(memory.at(2 * MiB), 2 * MiB);
        said.too_much = device.pin(memory.data(), 1);
        said.pinned = vm_pin();
        return said;
    });
    CHECK(got.parts == 0);
    CHECK(got.whole == 0);
    CHECK(got.too_much == ENOMEM);
    CHECK(got.pinned == limit);
}

TEST_CASE("the contexts and the processes of a user share the limit") {
    const raw_device one;
    const raw_device two;
    const result first = pin_as_user(one, 16 * page, 10 * page);
    REQUIRE(first.err == 0); // its process is gone, its pin is not
    const result second = pin_as_user(two, 16 * page, 7 * page);
    CHECK(second.err == ENOMEM);
    CHECK(second.answer.out_used == 10 * page);
    CHECK(second.answer.out_asked == 7 * page);
    CHECK(pin_as_user(two, 16 * page, 6 * page).err == 0);

    // What is given back can be used again.
    REQUIRE(one.unpin(first.answer.out_handle) == 0);
    CHECK(pin_as_user(two, 16 * page, 10 * page).err == 0);
    CHECK(pin_as_user(two, 16 * page, page).err == ENOMEM);
}

TEST_CASE("the charge goes back to the user who pinned, whoever unpins") {
    const raw_device device;
    const auto used_by_root = device.info().out_memlock_used;
    const result pinned = pin_as_user(device, 16 * page, 16 * page);
    REQUIRE(pinned.err == 0);
    CHECK(device.info().out_memlock_used == used_by_root);
    REQUIRE(device.unpin(pinned.answer.out_handle) == 0); // by root
    CHECK(device.info().out_memlock_used == used_by_root);
    const auto used_by_user = as_ordinary_user([&] { return device.info().out_memlock_used; });
    CHECK(used_by_user == 0);
}

TEST_CASE("CAP_IPC_LOCK is exempt from the limit, and charged all the same") {
    const auto [err, limit, used] = in_child([] {
        struct {
            int err;
            std::uint64_t limit, used;
        } got{};
        set_memlock_limit(page);
        const raw_device device;
        const mapping memory = mapping::anonymous(16 * page);
        got.err = device.pin(memory.data(), memory.length());
        got.limit = device.info().out_memlock_limit;
        got.used = device.info().out_memlock_used;
        return got;
    });
    CHECK(err == 0);
    CHECK(limit == LONGPIN_UNLIMITED);
    CHECK(used >= 16 * page);
}

TEST_CASE("the charge stays with the user who pinned when the process becomes another one") {
    const raw_device device;
    const auto root_before = device.info().out_memlock_used;
    const auto [as_root, as_user, released, unpinned] = in_child([&] {
        struct {
            std::uint64_t as_root, as_user, released;
            int unpinned;
        } got{};
        const mapping memory = mapping::anonymous(8 * page);
        const std::uint32_t handle = device.must_pin(memory.data(), 8 * page);
        got.as_root = device.info().out_memlock_used;
        become_ordinary_user();
        got.as_user = device.info().out_memlock_used;
        got.unpinned = device.unpin(handle);
        got.released = device.info().out_memlock_used;
        return got;
    });
    CHECK(unpinned == 0);
    CHECK(as_root == root_before + 8 * page);
    CHECK(as_user == 0);
    CHECK(released == 0);
    CHECK(device.info().out_memlock_used == root_before);
}

TEST_CASE("a file passed to another user charges each pin to the one who makes it") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    const auto root_before = device.info().out_memlock_used;
    const std::uint32_t by_root = device.must_pin(memory.data(), 4 * page);
    const auto user_used = as_ordinary_user([&] {
        const mapping own = mapping::anonymous(2 * page);
        device.must_pin(own.data(), 2 * page); // left behind
        return device.unpin(by_root) == 0 ? device.info().out_memlock_used : 0;
    });
    CHECK(user_used == 2 * page);
    CHECK(device.info().out_memlock_used == root_before);
    CHECK(device.info().out_max_pages_used == 2 * page);
    CHECK(as_ordinary_user([&] { return device.info().out_memlock_used; }) == 2 * page);
}

TEST_CASE("processes and threads that race to the limit never pass it nor leave a page of it") {
    const raw_device device;
    constexpr std::size_t limit = 64 * page;
    const mapping counts = mapping::shared_anonymous(page);
    auto* const pinned = counts.as<std::atomic<int>>(); // one page each
    gate go;
    const auto race = [&] {
        become_ordinary_user();
        set_memlock_limit(limit);
        const mapping memory = mapping::anonymous(page);
        go.pass();
        const auto pin_all = [&] {
            while (device.pin(memory.data(), page) == 0) {
                ++*pinned;
            }
        };
        std::thread other(pin_all);
        pin_all();
        other.join();
    };
    for (int round = 0; round < 5; round++) {
        *pinned = 0;
        child one(race);
        child two(race);
        go.open();
        go.open();
        REQUIRE(one.wait());
        REQUIRE(two.wait());
        REQUIRE(*pinned == limit / page);
        REQUIRE(as_ordinary_user([&] { return device.info().out_memlock_used; }) == limit);
        for (std::uint32_t handle = 1; device.info().out_max_pins_used > 0; handle++) {
            const int err = device.unpin(handle);
            REQUIRE((err == 0 || err == ENOENT));
        }
    }
    CHECK(as_ordinary_user([&] { return device.info().out_memlock_used; }) == 0);
}

TEST_CASE("INFO tells an ordinary user the limit and what is used of it") {
    const raw_device device;
    const longpin_info info = as_ordinary_user([&] {
        set_memlock_limit(20 * page + 5);
        const mapping memory = mapping::anonymous(6 * page);
        device.must_pin(memory.data(), 6 * page);
        return device.info();
    });
    CHECK(info.out_memlock_limit == 20 * page);
    CHECK(info.out_memlock_used == 6 * page);
    CHECK(info.out_max_pages_limit == LONGPIN_UNLIMITED);
    CHECK(info.out_max_pages_used == 6 * page);
    CHECK(info.out_max_pins_used == 1);
    CHECK(info.out_page_size == page);
}

TEST_CASE("a dry run says that the limit is met, and charges nothing") {
    const raw_device device;
    const auto [fits, too_much, real] = as_ordinary_user([&] {
        struct {
            int fits, too_much, real;
        } got{};
        set_memlock_limit(4 * page);
        const mapping memory = mapping::anonymous(8 * page);
        got.fits = device.pin(memory.data(), 4 * page, LONGPIN_PIN_DRY_RUN);
        got.too_much = device.pin(memory.data(), 5 * page, LONGPIN_PIN_DRY_RUN);
        got.real = device.pin(memory.data(), 4 * page);
        return got;
    });
    CHECK(fits == 0);
    CHECK(too_much == ENOMEM);
    CHECK(real == 0);
}

TEST_CASE("physical addresses are shown with CAP_SYS_ADMIN only") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    CHECK(device.extents(handle).at(0).phys != 0);
    CHECK(as_ordinary_user([&] { return device.extents(handle).at(0).phys; }) == 0);
}
