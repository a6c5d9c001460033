// SPDX-License-Identifier: MIT
// Events: what happens is told to subscribers, as it happens. Who may
// hear what is tested in netlink_access_test.cpp.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

#include <linux/filter.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace guest;

namespace {

/// A socket that subscribed.
netlink_socket subscriber(const netlink_filters& filters = {}) {
    netlink_socket socket;
    const netlink_answer answer = socket.get(LONGPIN_CMD_SUBSCRIBE, filters);
    if (answer.err != 0) {
        throw std::system_error(answer.err, std::generic_category(), answer.message);
    }
    return socket;
}

/// The next event, which has to be of that sort.
netlink_attributes next(netlink_socket& socket, std::uint8_t command) {
    const auto event = socket.event();
    REQUIRE(event);
    REQUIRE(event->command == command);
    return event->attributes;
}

/// The next refusal. What was revoked before may be told late.
netlink_attributes next_refused(netlink_socket& socket) {
    for (;;) {
        const auto event = socket.event();
        REQUIRE(event);
        if (event->command != LONGPIN_CMD_REVOKED_NTF) {
            REQUIRE(event->command == LONGPIN_CMD_REFUSED_NTF);
            return event->attributes;
        }
    }
}

/// How many requests were refused for that reason so far.
std::uint64_t refusals_counted(std::uint32_t reason) {
    const netlink_answer answer = netlink_socket().get(LONGPIN_CMD_STATS_GET);
    for (const auto& [type, refused] : answer.only().each()) {
        if (type == LONGPIN_A_STATS_REFUSED &&
            refused.u32(LONGPIN_A_REFUSED_COUNT_REASON) == reason) {
            return refused.u64(LONGPIN_A_REFUSED_COUNT_COUNT);
        }
    }
    return 0;
}

std::uint64_t wall_clock() {
    return static_cast<std::uint64_t>(
        std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count());
}

/// Checks that two messages say the same of a pin. The age of the later one may be larger.
void check_same_pin(const netlink_attributes& one, const netlink_attributes& other) {
    for (const int number : {LONGPIN_A_PIN_CONTEXT, LONGPIN_A_PIN_HANDLE, LONGPIN_A_PIN_PID,
                             LONGPIN_A_PIN_UID, LONGPIN_A_PIN_KINDS, LONGPIN_A_PIN_FLAGS}) {
        CHECK(one.u32(number) == other.u32(number));
    }
    for (const int number : {LONGPIN_A_PIN_ADDR, LONGPIN_A_PIN_LENGTH, LONGPIN_A_PIN_PAGES,
                             LONGPIN_A_PIN_RUNS, LONGPIN_A_PIN_BOOKKEEPING, LONGPIN_A_PIN_COOKIE}) {
        CHECK(one.u64(number) == other.u64(number));
    }
    CHECK(one.string(LONGPIN_A_PIN_COMM) == other.string(LONGPIN_A_PIN_COMM));
    CHECK(one.u64(LONGPIN_A_PIN_AGE) <= other.u64(LONGPIN_A_PIN_AGE));
    CHECK(one.has(LONGPIN_A_PIN_FILE) == other.has(LONGPIN_A_PIN_FILE));
}

} // namespace

TEST_CASE("netlink events: making a pin and ending it are told with all its facts") {
    netlink_socket events = subscriber();
    const raw_device device;
    const file data = temporary_file("/dev/shm", 4 * page);
    const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    const std::uint64_t before = wall_clock();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, LONGPIN_PIN_WRITE);
    const std::uint64_t between = wall_clock();
    const netlink_attributes held =
        netlink_socket()
            .get(LONGPIN_CMD_PIN_GET,
                 {{LONGPIN_A_PIN_CONTEXT, context_of(device)}, {LONGPIN_A_PIN_HANDLE, handle}})
            .only();
    REQUIRE(device.unpin(handle) == 0);
    const std::uint64_t after = wall_clock();

    const netlink_attributes made = next(events, LONGPIN_CMD_PINNED_NTF);
    check_same_pin(made, held);
    CHECK(before <= made.u64(LONGPIN_A_PIN_TIME));
    CHECK(made.u64(LONGPIN_A_PIN_TIME) <= between);
    CHECK_FALSE(made.has(LONGPIN_A_PIN_CAUSE));

    const netlink_attributes ended = next(events, LONGPIN_CMD_UNPINNED_NTF);
    check_same_pin(held, ended);
    CHECK(between <= ended.u64(LONGPIN_A_PIN_TIME));
    CHECK(ended.u64(LONGPIN_A_PIN_TIME) <= after);
    CHECK(ended.u32(LONGPIN_A_PIN_CAUSE) == LONGPIN_CAUSE_UNPIN);
    CHECK_FALSE(events.event(0));
}

TEST_CASE("netlink events: pins that end with their file are told one by one") {
    const mapping memory = mapping::anonymous(page);
    netlink_socket events = subscriber();
    const auto check_ends = [&](std::uint32_t context) {
        for (std::uint32_t handle = 1; handle <= 3; handle++) {
            const netlink_attributes made = next(events, LONGPIN_CMD_PINNED_NTF);
            CHECK(made.u32(LONGPIN_A_PIN_CONTEXT) == context);
            CHECK(made.u32(LONGPIN_A_PIN_HANDLE) == handle);
        }
        for (std::uint32_t handle = 1; handle <= 3; handle++) {
            const netlink_attributes ended = next(events, LONGPIN_CMD_UNPINNED_NTF);
            CHECK(ended.u32(LONGPIN_A_PIN_CONTEXT) == context);
            CHECK(ended.u32(LONGPIN_A_PIN_HANDLE) == handle);
            CHECK(ended.u32(LONGPIN_A_PIN_CAUSE) == LONGPIN_CAUSE_CLOSE);
        }
    };
    const auto pin_three = [&](const raw_device& device) {
        for (int i = 0; i < 3; i++) {
            device.must_pin(memory.data(), page);
        }
        return context_of(device);
    };

    SECTION("close()") {
        raw_device device;
        const std::uint32_t context = pin_three(device);
        device.close();
        check_ends(context);
    }
    SECTION("the end of the process") {
        check_ends(in_child([&] {
            const raw_device device;
            return pin_three(device);
        }));
    }
    SECTION("SIGKILL") {
        const mapping number = mapping::shared_anonymous(page);
        gate pinned;
        child pinner([&] {
            const raw_device device;
            *number.as<std::uint32_t>() = pin_three(device);
            pinned.open();
            ::pause();
        });
        pinned.pass();
        pinner.kill();
        check_ends(*number.as<std::uint32_t>());
    }
    CHECK_FALSE(events.event(0));
}

TEST_CASE("netlink events: a refusal is told with the request and the reason") {
    netlink_socket events = subscriber();
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    memory.unmap_part(2 * page, page);
    auto asked = request<longpin_pin>();
    asked.flags = LONGPIN_PIN_WRITE;
    asked.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    asked.length = 4 * page;
    asked.cookie = 77;
    const std::uint64_t before = wall_clock();
    REQUIRE(device.call(LONGPIN_PIN, &asked) == EFAULT);

    netlink_attributes refused = next(events, LONGPIN_CMD_REFUSED_NTF);
    CHECK(refused.u32(LONGPIN_A_PIN_CONTEXT) == context_of(device));
    CHECK(refused.u32(LONGPIN_A_PIN_PID) == static_cast<std::uint32_t>(::getpid()));
    CHECK(refused.string(LONGPIN_A_PIN_COMM) == read_line("/proc/self/comm"));
    CHECK(refused.u32(LONGPIN_A_PIN_UID) == ::getuid());
    CHECK(refused.u64(LONGPIN_A_PIN_ADDR) == asked.addr);
    CHECK(refused.u64(LONGPIN_A_PIN_LENGTH) == 4 * page);
    CHECK(refused.u32(LONGPIN_A_PIN_FLAGS) == LONGPIN_PIN_WRITE);
    CHECK(refused.u64(LONGPIN_A_PIN_COOKIE) == 77);
    CHECK(before <= refused.u64(LONGPIN_A_PIN_TIME));
    CHECK(refused.u64(LONGPIN_A_PIN_TIME) <= wall_clock());
    netlink_attributes why = refused.nest(LONGPIN_A_PIN_REFUSAL);
    CHECK(why.u32(LONGPIN_A_REFUSAL_ERROR) == EFAULT);
    CHECK(why.u32(LONGPIN_A_REFUSAL_REASON) == LONGPIN_REASON_HOLE);
    CHECK(why.u64(LONGPIN_A_REFUSAL_BAD_ADDR) == asked.addr + 2 * page);

    as_ordinary_user([&] {
        set_memlock_limit(page);
        return device.pin(memory.data(), 2 * page);
    });
    refused = next(events, LONGPIN_CMD_REFUSED_NTF);
    CHECK(refused.u32(LONGPIN_A_PIN_UID) == ordinary_user);
    why = refused.nest(LONGPIN_A_PIN_REFUSAL);
    CHECK(why.u32(LONGPIN_A_REFUSAL_ERROR) == ENOMEM);
    CHECK(why.u32(LONGPIN_A_REFUSAL_REASON) == LONGPIN_REASON_MEMLOCK);
    CHECK(why.u64(LONGPIN_A_REFUSAL_LIMIT) == page);
    CHECK(why.u64(LONGPIN_A_REFUSAL_USED) == 0);
    CHECK(why.u64(LONGPIN_A_REFUSAL_ASKED) == 2 * page);

    REQUIRE(device.pin(memory.data(), 0) == EINVAL);
    why = next(events, LONGPIN_CMD_REFUSED_NTF).nest(LONGPIN_A_PIN_REFUSAL);
    CHECK(why.u32(LONGPIN_A_REFUSAL_ERROR) == EINVAL);
    CHECK(why.u32(LONGPIN_A_REFUSAL_REASON) == LONGPIN_REASON_ZERO_LENGTH);
    CHECK_FALSE(events.event(0));
}

TEST_CASE("netlink events: the refusal to pin pages of a lease again is told as that of a pin is") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    auto asked = request<longpin_pin>();
    asked.flags = LONGPIN_PIN_LEASE;
    asked.addr = reinterpret_cast<std::uintptr_t>(memory.at(10));
    asked.length = 3 * page;
    asked.cookie = 77;
    REQUIRE(device.call(LONGPIN_PIN, &asked) == 0);
    memory.unmap_part(2 * page, page);
    const std::uint64_t counted = refusals_counted(LONGPIN_REASON_HOLE);
    netlink_socket events = subscriber();
    longpin_repin answer{};
    REQUIRE(device.repin(asked.out_handle, answer, page) == EFAULT);

    netlink_attributes refused = next_refused(events);
    CHECK(refused.u32(LONGPIN_A_PIN_CONTEXT) == context_of(device));
    CHECK(refused.u32(LONGPIN_A_PIN_PID) == static_cast<std::uint32_t>(::getpid()));
    CHECK(refused.u64(LONGPIN_A_PIN_ADDR) == asked.addr);
    CHECK(refused.u64(LONGPIN_A_PIN_LENGTH) == asked.length);
    CHECK(refused.u32(LONGPIN_A_PIN_FLAGS) == LONGPIN_PIN_LEASE);
    CHECK(refused.u64(LONGPIN_A_PIN_COOKIE) == 77);
    netlink_attributes why = refused.nest(LONGPIN_A_PIN_REFUSAL);
    CHECK(why.u32(LONGPIN_A_REFUSAL_ERROR) == EFAULT);
    CHECK(why.u32(LONGPIN_A_REFUSAL_REASON) == LONGPIN_REASON_HOLE);
    CHECK(why.u64(LONGPIN_A_REFUSAL_BAD_ADDR) ==
          reinterpret_cast<std::uintptr_t>(memory.at(2 * page)));
    CHECK(refusals_counted(LONGPIN_REASON_HOLE) == counted + 1);

    // It is that of who asks, who need not be the pin's maker.
    REQUIRE(in_child([&] {
                longpin_repin of_child{};
                return device.repin(asked.out_handle, of_child);
            }) == EPERM);
    refused = next_refused(events);
    CHECK(refused.u32(LONGPIN_A_PIN_PID) != static_cast<std::uint32_t>(::getpid()));
    CHECK(refused.nest(LONGPIN_A_PIN_REFUSAL).u32(LONGPIN_A_REFUSAL_ERROR) == EPERM);
    CHECK_FALSE(events.event(0));
}

TEST_CASE("netlink events: a dry run is none, whatever its answer") {
    netlink_socket events = subscriber();
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    REQUIRE(device.pin(memory.data(), page, LONGPIN_PIN_DRY_RUN) == 0);
    REQUIRE(device.pin(nullptr, page, LONGPIN_PIN_DRY_RUN) == EFAULT);
    CHECK_FALSE(events.event(200));
    device.must_pin(memory.data(), page);
    next(events, LONGPIN_CMD_PINNED_NTF);
}

TEST_CASE("netlink events: however soon a pin ends, that it was made is told before") {
    // To tell so many takes a while, in which another thread may have its turn.
    std::vector<netlink_socket> others;
    while (others.size() < 60) {
        others.push_back(subscriber());
    }
    netlink_socket events = subscriber();
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    constexpr std::uint32_t count = 500;
    // Handles can be guessed: another thread ends each pin in the moment in which it is there. It
    // is on the same processor, and more urgent.
    cpu_set_t before;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    REQUIRE(::sched_getaffinity(0, sizeof(before), &before) == 0);
    REQUIRE(::sched_setaffinity(0, sizeof(one), &one) == 0);
    std::atomic<std::uint32_t> next_handle = 1;
    std::thread unpinner([&] {
        const sched_param urgent{.sched_priority = 1};
        ::sched_setscheduler(0, SCHED_FIFO, &urgent);
        while (next_handle <= count) {
            next_handle += static_cast<std::uint32_t>(device.unpin(next_handle) == 0);
            ::usleep(50);
        }
    });
    std::map<std::uint32_t, std::vector<int>> told; // by handle
    for (std::uint32_t made = 1; made <= count; made++) {
        device.must_pin(memory.data(), page);
        if (made % 20 == 0) { // before the socket is full
            while (next_handle <= made) {
                ::usleep(50);
            }
            while (const auto event = events.event(0)) {
                told[event->attributes.u32(LONGPIN_A_PIN_HANDLE)].push_back(event->command);
            }
        }
    }
    unpinner.join();
    CHECK(::sched_setaffinity(0, sizeof(before), &before) == 0);
    CHECK(told.size() == count);
    const std::vector<int> expected{LONGPIN_CMD_PINNED_NTF, LONGPIN_CMD_UNPINNED_NTF};
    CHECK(std::ranges::all_of(told, [&](const auto& pin) { return pin.second == expected; }));
}

TEST_CASE("netlink events: a subscription has filters") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto pin = [&] { return device.must_pin(memory.data(), page); };
    const auto self = static_cast<std::uint32_t>(::getpid());
    netlink_socket all = subscriber();
    netlink_socket of_user = subscriber({{LONGPIN_A_PIN_UID, ordinary_user}});
    netlink_socket of_self = subscriber({{LONGPIN_A_PIN_PID, self}});
    netlink_socket of_both =
        subscriber({{LONGPIN_A_PIN_UID, ordinary_user}, {LONGPIN_A_PIN_PID, self}});
    const std::uint32_t users = as_ordinary_user(pin);
    const std::uint32_t own = pin();
    REQUIRE(device.pin(nullptr, page) == EFAULT); // refusals pass the filters as well

    const auto check_pinned = [](netlink_socket& socket, std::uint32_t handle) {
        CHECK(next(socket, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == handle);
    };
    check_pinned(all, users);
    check_pinned(all, own);
    next(all, LONGPIN_CMD_REFUSED_NTF);
    check_pinned(of_user, users);
    check_pinned(of_self, own);
    next(of_self, LONGPIN_CMD_REFUSED_NTF);
    for (netlink_socket* const socket : {&all, &of_user, &of_self, &of_both}) {
        CHECK_FALSE(socket->event(0));
    }
}

TEST_CASE("netlink events: a socket subscribes once") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    netlink_socket events = subscriber({{LONGPIN_A_PIN_UID, 0}});
    const netlink_answer again = events.get(LONGPIN_CMD_SUBSCRIBE, {{LONGPIN_A_PIN_UID, 1}});
    CHECK(again.err == EBUSY);
    CHECK_FALSE(again.message.empty());
    device.must_pin(memory.data(), page);
    CHECK(next(events, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_UID) == 0); // as before
}

TEST_CASE("netlink events: they don't look like answers") {
    netlink_socket events = subscriber();
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    REQUIRE(device.unpin(device.must_pin(memory.data(), page)) == 0);
    for (std::uint32_t number = 1; number <= 2; number++) {
        const auto event = events.event();
        REQUIRE(event);
        CHECK(event->port == 0);
        CHECK(event->sequence == 0);
        CHECK(event->flags == 0);
        CHECK(event->attributes.u32(LONGPIN_A_PIN_SEQUENCE) == number);
    }
}

TEST_CASE("netlink events: who unsubscribes hears nothing more, and may subscribe again") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto pin = [&] { return device.must_pin(memory.data(), page); };
    netlink_socket events = subscriber();
    netlink_socket other = subscriber();
    const std::uint32_t heard = pin();
    REQUIRE(events.get(LONGPIN_CMD_UNSUBSCRIBE).err == 0);
    const std::uint32_t missed = pin();
    CHECK(next(events, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == heard);
    CHECK_FALSE(events.event(200));
    CHECK(next(other, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == heard);
    CHECK(next(other, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == missed);

    const netlink_answer again = events.get(LONGPIN_CMD_UNSUBSCRIBE);
    CHECK(again.err == ENOENT);
    CHECK_FALSE(again.message.empty());
    CHECK(netlink_socket().get(LONGPIN_CMD_UNSUBSCRIBE).err == ENOENT);

    REQUIRE(events.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    const std::uint32_t then = pin();
    const netlink_attributes event = next(events, LONGPIN_CMD_PINNED_NTF);
    CHECK(event.u32(LONGPIN_A_PIN_HANDLE) == then);
    CHECK(event.u32(LONGPIN_A_PIN_SEQUENCE) == 1);
    REQUIRE(events.get(LONGPIN_CMD_UNSUBSCRIBE).err == 0);
}

TEST_CASE("netlink events: while others pin, nothing comes after the answer to unsubscribe") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    std::atomic<bool> finished = false;
    std::thread pinner([&] {
        while (!finished) {
            static_cast<void>(device.unpin(device.must_pin(memory.data(), page)));
        }
    });
    int failed = 0;
    int late = 0;
    for (int i = 0; i < 200; i++) {
        try {
            netlink_socket events;
            events.set_buffer(16 * MiB); // so that the answers have room
            failed += events.get(LONGPIN_CMD_SUBSCRIBE).err != 0 ? 1 : 0;
            failed += events.get(LONGPIN_CMD_UNSUBSCRIBE).err != 0 ? 1 : 0;
            while (events.event(0)) { // those from before
            }
            ::usleep(100);
            late += events.event(0) ? 1 : 0;
        } catch (const std::exception&) {
            failed++;
        }
    }
    finished = true;
    pinner.join();
    CHECK(failed == 0);
    CHECK(late == 0);
}

TEST_CASE("netlink events: what was revoked of a lease is said before its end") {
    netlink_socket events = subscriber();
    events.set_buffer(16 * MiB);
    const raw_device device;
    constexpr std::size_t pages = 100;
    for (int round = 0; round < 10; round++) {
        const mapping memory = mapping::small(pages * page);
        const std::uint32_t handle = device.must_pin(memory.data(), pages * page, leased);
        for (std::size_t i = 0; i < pages; i++) {
            REQUIRE(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0);
        }
        REQUIRE(device.unpin(handle) == 0);
        CHECK(next(events, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == handle);
        for (std::size_t i = 0; i < pages; i++) {
            const netlink_attributes revoked = next(events, LONGPIN_CMD_REVOKED_NTF);
            CHECK(revoked.u64(LONGPIN_A_PIN_CHANGED_OFFSET) == i * page);
        }
        CHECK(next(events, LONGPIN_CMD_UNPINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == handle);
    }
    CHECK_FALSE(events.event(100));
}

TEST_CASE("netlink events: a loss is an error once, until the buffer was emptied") {
    netlink_socket events = subscriber();
    events.set_buffer(8192);
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto overflow = [&] {
        for (int i = 0; i < 100; i++) {
            REQUIRE(device.unpin(device.must_pin(memory.data(), page)) == 0);
        }
    };
    const auto is_told = [&] {
        try {
            events.event(0);
            return false;
        } catch (const std::system_error& loss) {
            return loss.code() == std::errc::no_buffer_space;
        }
    };
    overflow();
    CHECK(is_told());
    overflow(); // it is still full
    CHECK_FALSE(is_told());
    while (events.event(0)) {
    }
    overflow();
    CHECK(is_told());

    while (events.event(0)) {
    }
    const int on = 1;
    REQUIRE(::setsockopt(events.descriptor(), SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) ==
            0);
    overflow();
    CHECK_FALSE(is_told()); // as it asked for
}

TEST_CASE("netlink events: what a slow subscriber loses is not lost silently") {
    netlink_socket events = subscriber();
    netlink_socket other = subscriber();
    events.set_buffer(8192);
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    constexpr std::uint32_t count = 500;
    std::uint32_t heard = 0;
    std::uint32_t expected = 1;
    for (std::uint32_t i = 0; i < count; i++) {
        const std::uint32_t handle = device.must_pin(memory.data(), page);
        REQUIRE(device.unpin(handle) == 0);
        // It is the slow one's loss alone.
        CHECK(next(other, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == handle);
        CHECK(next(other, LONGPIN_CMD_UNPINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == handle);
    }

    // First the kernel says so, then come those that were in time, then there are new ones.
    try {
        events.event();
        FAIL("no loss was told");
    } catch (const std::system_error& loss) {
        CHECK(loss.code() == std::errc::no_buffer_space);
    }
    while (const auto event = events.event(0)) {
        CHECK(event->attributes.u32(LONGPIN_A_PIN_SEQUENCE) == expected++);
        heard++;
    }
    CHECK(heard > 5);
    CHECK(heard < 2 * count);
    device.must_pin(memory.data(), page);
    const auto event = events.event();
    REQUIRE(event);
    CHECK(event->attributes.u32(LONGPIN_A_PIN_SEQUENCE) == 2 * count + 1); // so many there were
    CHECK(event->attributes.u32(LONGPIN_A_PIN_HANDLE) == count + 1);
}

TEST_CASE("netlink events: when more leases are taken back at once than are kept, that is told") {
    const raw_device device;
    const mapping memory = mapping::small(page);
    constexpr int leases = 5000;
    for (int i = 0; i < leases; i++) {
        device.must_pin(memory.data(), page, LONGPIN_PIN_LEASE);
    }
    netlink_socket events = subscriber();
    events.set_buffer(16 * MiB); // it isn't the socket that has no room
    REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);

    bool told = false;
    int heard = 0;
    while (true) {
        try {
            const auto event = events.event(told ? 500 : 10000);
            if (!event) {
                break;
            }
            CHECK(event->command == LONGPIN_CMD_REVOKED_NTF);
            heard++;
        } catch (const std::system_error& loss) {
            CHECK(loss.code() == std::errc::no_buffer_space);
            told = true;
        }
    }
    CHECK(told);
    CHECK(heard > 0);
    CHECK(heard < leases);
}

TEST_CASE("netlink events: what the socket's own filter drops is no loss") {
    netlink_socket events = subscriber();
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{1, &nothing};
    REQUIRE(::setsockopt(events.descriptor(), SOL_SOCKET, SO_ATTACH_FILTER, &program,
                         sizeof(program)) == 0);
    device.must_pin(memory.data(), page);
    CHECK_FALSE(events.event(100));
    const int unused = 0;
    REQUIRE(::setsockopt(events.descriptor(), SOL_SOCKET, SO_DETACH_FILTER, &unused,
                         sizeof(unused)) == 0);
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    CHECK(next(events, LONGPIN_CMD_PINNED_NTF).u32(LONGPIN_A_PIN_HANDLE) == handle);
}

TEST_CASE("netlink events: while a process ends its pins are found until their turn has come") {
    constexpr std::uint32_t count = 3000;
    const mapping memory = mapping::anonymous(page);
    const mapping number = mapping::shared_anonymous(page);
    gate pinned;
    child process([&] {
        const raw_device device;
        *number.as<std::uint32_t>() = context_of(device);
        for (std::uint32_t handle = 1; handle <= count; handle++) {
            if (device.must_pin(memory.data(), page) != handle) {
                throw std::runtime_error("not the handle that was expected");
            }
        }
        pinned.open();
        ::pause();
    });
    pinned.pass();
    netlink_socket events = subscriber();
    events.set_buffer(16 << 20);
    REQUIRE(::kill(process.pid(), SIGKILL) == 0);
    next(events, LONGPIN_CMD_UNPINNED_NTF);
    const netlink_answer answer = netlink_socket().get(
        LONGPIN_CMD_PIN_GET,
        {{LONGPIN_A_PIN_CONTEXT, *number.as<std::uint32_t>()}, {LONGPIN_A_PIN_HANDLE, count}});
    const std::uint64_t asked = wall_clock();
    process.kill();
    netlink_attributes last;
    while (const auto event = events.event(0)) {
        last = event->attributes;
    }
    REQUIRE(last.u32(LONGPIN_A_PIN_HANDLE) == count);
    CHECK((answer.err == 0 || last.u64(LONGPIN_A_PIN_TIME) < asked));
    if (answer.err == 0) {
        CHECK_FALSE(answer.only().has(LONGPIN_A_PIN_ORPHANED)); // not while it ends
    }
}

TEST_CASE("netlink events: a subscription lives as long as its socket, whoever holds that") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const mapping number = mapping::shared_anonymous(page);
    gate subscribed;
    child process([&] {
        const netlink_socket events = subscriber();
        *number.as<int>() = events.descriptor();
        subscribed.open();
        ::pause();
    });
    subscribed.pass();
    netlink_socket heir(copy_descriptor(process.pid(), *number.as<int>()));
    process.kill();
    device.must_pin(memory.data(), page);
    next(heir, LONGPIN_CMD_PINNED_NTF);
}
