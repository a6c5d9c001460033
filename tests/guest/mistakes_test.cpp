// SPDX-License-Identifier: MIT
// The mistakes of others who pinned memory before, each with a test that fails if it is made
// again.
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

/// A process that pins 4 pages, closes the file, which others have open too, and lives on.
class pinner_without_file {
public:
    explicit pinner_without_file(raw_device& device)
        : process_([&] {
              const mapping memory = mapping::anonymous(4 * page);
              device.must_pin(memory.data(), 4 * page);
              device.close();
              pinned_.open();
              finish_.pass();
          }) {
        pinned_.pass();
    }

    [[nodiscard]] pid_t pid() const { return process_.pid(); }

    /// Lets it go. True if all went well there.
    bool end() {
        finish_.open();
        return process_.wait();
    }

private:
    gate pinned_;
    gate finish_;
    child process_; // the last: it uses the gates
};

} // namespace

TEST_CASE("mistake: a short pin leaks its pages and its count is taken for success") {
    const raw_device device;
    const mapping memory = mapping::anonymous(600 * page);
    const file tail = temporary_file("/dev/shm", page);
    // get_user_pages takes 590 pages, and fails at the next: behind the end of the file.
    REQUIRE(::mmap(memory.at(589 * page), 11 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   tail.get(), 0) != MAP_FAILED);
    const long held_before = pinned_pages();
    CHECK(device.pin(memory.data(), memory.length()) == EFAULT);
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("mistake: a second pin at the same address overwrites the first one's record") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    const long held_before = pinned_pages();
    const std::uint32_t first = device.must_pin(memory.data(), 4 * page);
    const std::uint32_t second = device.must_pin(memory.data(), 4 * page);
    CHECK(first != second);
    CHECK(pinned_pages() == held_before + 8);
    CHECK(device.unpin(first) == 0);
    CHECK(pinned_pages() == held_before + 4);
    CHECK(device.unpin(second) == 0);
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("mistake: two unpins race to a double unpin") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const long held_before = pinned_pages();
    for (int round = 0; round < 500; round++) {
        const std::uint32_t handle = device.must_pin(memory.data(), page);
        std::atomic<int> at_start = 0;
        std::atomic<int> succeeded = 0;
        const auto unpin = [&] {
            at_start++;
            while (at_start < 2) {
            }
            if (device.unpin(handle) == 0) {
                succeeded++;
            }
        };
        std::thread other(unpin);
        unpin();
        other.join();
        REQUIRE(succeeded == 1);
    }
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("mistake: an int counts the pages") {
    // 2^32 pages and one: an int would make one page of it, which the limit has room for.
    const raw_device device;
    constexpr std::size_t length = (1ULL << 44U) + page;
    const auto [err, asked] = as_ordinary_user([&] {
        struct {
            int err;
            std::uint64_t asked;
        } got{};
        set_memlock_limit(16 * page);
        const mapping memory(length, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
        longpin_pin answer{};
        got.err = device.pin(memory.data(), length, 0, answer);
        got.asked = answer.out_asked;
        return got;
    });
    CHECK(err == ENOMEM);
    CHECK(asked == length);
}

TEST_CASE("mistake: address plus length is not checked") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    // The sum comes to the end of the page.
    auto arguments = request<longpin_pin>();
    arguments.addr = address + page;
    arguments.length = 0 - static_cast<std::uint64_t>(page);
    CHECK(device.call(LONGPIN_PIN, &arguments) == EINVAL);
    CHECK(arguments.out_reason == LONGPIN_REASON_WRAPS);
    CHECK(vm_pin() == 0);
}

TEST_CASE("mistake: mappings are looked at without the mmap lock") {
    // mprotect() of many pages holds the lock for writing all the time, so that hardly ever a pin
    // of other memory begins and ends meanwhile. (Hardly ever: the thread may be stopped just
    // before it takes the lock.) Without the lock it happens each time.
    using clock = std::chrono::steady_clock;
    struct interval {
        clock::time_point begin, end;
    };
    const raw_device device;
    const mapping big = mapping::advised(256 * MiB, MADV_NOHUGEPAGE);
    for (std::size_t i = 0; i < big.length(); i += page) {
        *big.at(i) = std::byte{1};
    }
    const mapping small = mapping::anonymous(page);
    std::vector<interval> locked;
    std::vector<interval> pins;
    std::atomic<bool> done = false;
    std::thread locker([&] {
        for (int round = 0; round < 20; round++) {
            const auto begin = clock::now();
            big.protect(round % 2 == 0 ? PROT_READ : PROT_READ | PROT_WRITE);
            locked.push_back({begin, clock::now()});
        }
        done = true;
    });
    while (!done) {
        const auto begin = clock::now();
        const std::uint32_t handle = device.must_pin(small.data(), page);
        pins.push_back({begin, clock::now()});
        REQUIRE(device.unpin(handle) == 0);
        ::usleep(100); // lets the other thread have the lock
    }
    locker.join();

    const auto passed_by_a_pin = [&](const interval& lock) {
        // At its edges the call may be before and behind the lock.
        const auto edge = (lock.end - lock.begin) / 4;
        return std::any_of(pins.begin(), pins.end(), [&](const interval& pin) {
            return pin.begin > lock.begin + edge && pin.end < lock.end - edge;
        });
    };
    CHECK(std::count_if(locked.begin(), locked.end(), passed_by_a_pin) < 10); // of 20
    const auto shortest = std::min_element(
        locked.begin(), locked.end(), [](const interval& left, const interval& right) {
            return left.end - left.begin < right.end - right.begin;
        });
    CHECK(shortest->end - shortest->begin > std::chrono::microseconds(500)); // or it proves nothing
}

TEST_CASE("mistake: memory is not charged to the user") {
    const raw_device device;
    const int err = as_ordinary_user([&] {
        set_memlock_limit(16 * page);
        const mapping memory = mapping::anonymous(page);
        for (int i = 0; i < 16; i++) {
            if (const int failed = device.pin(memory.data(), page)) {
                return failed;
            }
        }
        return device.pin(memory.data(), page) == ENOMEM ? 0 : -1;
    });
    CHECK(err == 0);
}

TEST_CASE("mistake: nothing is cleaned up when another process closes the file") {
    const long held_before = pinned_pages();
    raw_device device;
    pinner_without_file pinner(device);
    CHECK(vm_pin(pinner.pid()) == 4 * page);
    device.close(); // the last reference, here
    CHECK(pinned_pages() == held_before);
    CHECK(vm_pin(pinner.pid()) == 0);
    CHECK(pinner.end());
}

TEST_CASE("mistake: the charge is undone against the process that happens to close") {
    raw_device device;
    const mapping own = mapping::anonymous(8 * page);
    const raw_device keeps_own_pins;
    keeps_own_pins.must_pin(own.data(), 8 * page);
    pinner_without_file pinner(device);
    device.close();
    CHECK(vm_pin() == 8 * page); // untouched
    CHECK(vm_pin(pinner.pid()) == 0);
    CHECK(pinner.end());
}

TEST_CASE("mistake: a fork is taken for the same process") {
    // The child pins through the inherited file: its own memory, charged to itself.
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    memory.fill(1);
    const auto [handle, childs_own] = in_child([&] {
        struct {
            std::uint32_t handle;
            std::size_t pinned;
        } got{};
        memory.fill(2);
        got.handle = device.must_pin(memory.data(), 4 * page);
        got.pinned = vm_pin();
        return got;
    });
    CHECK(childs_own == 4 * page);
    CHECK(vm_pin() == 0);
    std::byte copy[4 * page];
    REQUIRE(device.read(handle, 0, copy, sizeof(copy)) == 0);
    CHECK(has_pattern(copy, sizeof(copy), 0, 2));
    CHECK(has_pattern(memory.data(), 4 * page, 0, 1));
}

TEST_CASE("mistake: padding carries kernel memory to user space") {
    // Layouts are asserted member by member at build time (tests/unit/abi_layout.h). Here: what
    // the kernel writes is what the structure says and nothing behind it.
    const raw_device device;
    struct {
        longpin_info info;
        std::uint64_t behind;
    } arguments{request<longpin_info>(), 0x1122334455667788};
    REQUIRE(device.call(LONGPIN_INFO, &arguments.info) == 0);
    CHECK(arguments.behind == 0x1122334455667788);
    const std::string version = arguments.info.out_version;
    for (std::size_t i = version.size(); i < sizeof(arguments.info.out_version); i++) {
        CHECK(arguments.info.out_version[i] == 0);
    }
}

TEST_CASE("mistake: a structure that can't grow needs a second version") {
    // INFO has grown once already: callers of both sizes are served by one ioctl.
    const raw_device device;
    auto info = request<longpin_info>();
    info.size = offsetof(longpin_info, out_max_user_pages_limit);
    info.out_max_user_pages_limit = 77;
    REQUIRE(device.call(LONGPIN_INFO, &info) == 0);
    CHECK(info.out_page_size == page);
    CHECK(info.out_max_user_pages_limit == 77); // not touched
    info.size = sizeof(info);
    REQUIRE(device.call(LONGPIN_INFO, &info) == 0);
    CHECK(info.out_max_user_pages_limit == LONGPIN_UNLIMITED);
}
