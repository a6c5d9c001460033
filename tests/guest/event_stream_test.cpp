// SPDX-License-Identifier: MIT
// The events as the library gives them out, against what the tests did.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/netlink.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <thread>
#include <unistd.h>

using namespace guest;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using longpin::event;
using longpin::event_stream;
using longpin::lost_events;
using longpin::pinned_event;
using longpin::reason;
using longpin::refused_event;
using longpin::unpinned_event;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace {

/// The next event, which has to come soon.
event must_next(event_stream& events) {
    auto next = events.next(20s);
    if (!next) {
        throw std::runtime_error("no event came");
    }
    return std::move(*next);
}

/// The same, of that kind.
template <typename Kind>
Kind must_next(event_stream& events) {
    return std::get<Kind>(must_next(events).what);
}

bool is_readable(const event_stream& events) {
    pollfd readable{.fd = events.native_handle(), .events = POLLIN};
    return ::poll(&readable, 1, 0) == 1;
}

void set_buffer(const event_stream& events, int bytes) {
    REQUIRE(::setsockopt(events.native_handle(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)) ==
            0);
}

} // namespace

TEST_CASE("event stream: a pin is told when it is made, and when it ends by unpin and by close") {
    event_stream events;
    const mapping memory = mapping::shared_anonymous(4 * page);
    raw_device device;
    const std::uint32_t context = context_of(device);
    const auto before = system_clock::now();
    const std::uint32_t first = device.must_pin(memory.data(), 4 * page, LONGPIN_PIN_WRITE);
    const std::uint32_t second = device.must_pin(memory.at(page), page);
    auto listed = longpin::inventory().pins({.context = context});
    REQUIRE(listed.size() == 2);
    REQUIRE(device.unpin(first) == 0);
    device.close();
    const auto after = system_clock::now();

    auto last = before;
    const auto next = [&] {
        event got = must_next(events);
        CHECK(got.time >= last);
        CHECK(got.time <= after);
        last = got.time;
        return std::move(got.what);
    };
    // All that the listing says of a pin, but for its age.
    const auto same = [](longpin::pin_record pin, const longpin::pin_record& wanted) {
        pin.age = wanted.age;
        return pin == wanted;
    };
    CHECK(same(std::get<pinned_event>(next()).pin, listed[0]));
    CHECK(same(std::get<pinned_event>(next()).pin, listed[1]));
    const auto unpinned = std::get<unpinned_event>(next());
    CHECK(unpinned.cause == longpin::cause::unpin);
    CHECK(same(unpinned.pin, listed[0]));
    const auto closed = std::get<unpinned_event>(next());
    CHECK(closed.cause == longpin::cause::close);
    CHECK(same(closed.pin, listed[1]));
    CHECK(closed.pin.handle == second);
    CHECK_FALSE(events.next(0ms));
}

TEST_CASE("event stream: a refusal is told with its request and the facts, a dry run is not") {
    event_stream events;
    const raw_device device;
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    const mapping storage(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    auto request = guest::request<longpin_pin>();
    request.addr = reinterpret_cast<std::uintptr_t>(storage.at(page));
    request.length = 2 * page;
    request.flags = LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN;
    request.cookie = 77;
    REQUIRE(device.call(LONGPIN_PIN, &request) == EOPNOTSUPP);
    request.flags = LONGPIN_PIN_WRITE;
    REQUIRE(device.call(LONGPIN_PIN, &request) == EOPNOTSUPP);

    const auto refused = must_next<refused_event>(events);
    CHECK(refused.request == longpin::pin_record{.context = context_of(device),
                                                 .pid = ::getpid(),
                                                 .comm = read_line("/proc/self/comm"),
                                                 .uid = 0,
                                                 .address = request.addr,
                                                 .length = 2 * page,
                                                 .cookie = 77,
                                                 .writable = true});
    CHECK(refused.errno_value == EOPNOTSUPP);
    CHECK(refused.facts.why == reason::fsdax);
    CHECK(refused.facts.bad_address == request.addr);
    CHECK_FALSE(events.next(0ms));
}

TEST_CASE("event stream: what is taken back from a lease is told, and that it got pages again") {
    event_stream events;
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased);
    CHECK(must_next<pinned_event>(events).pin.lease);
    memory.unmap_part(2 * page, 3 * page);
    const auto revoked = must_next<longpin::revoked_event>(events);
    CHECK(revoked.pin.handle == handle);
    CHECK(revoked.pin.state == longpin::pin_state::partly_revoked);
    CHECK(revoked.pin.revoked_pages == 3);
    CHECK(revoked.pin.footprint.pages == 5);
    CHECK(revoked.cause == longpin::cause::unmap);
    CHECK(revoked.offset == 2 * page);
    CHECK(revoked.length == 3 * page);

    REQUIRE(::mmap(memory.at(2 * page), 3 * page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    const auto repinned = must_next<longpin::repinned_event>(events);
    CHECK(repinned.pin.handle == handle);
    CHECK(repinned.pin.state == longpin::pin_state::held);
    CHECK(repinned.pin.revoked_pages == 0);
    CHECK(repinned.pin.footprint.pages == 8);
    REQUIRE(device.repin(handle, answer) == 0); // there is nothing to do
    CHECK_FALSE(events.next(0ms));
}

TEST_CASE("event stream: a refusal for a limit is told with its figures") {
    event_stream events;
    const raw_device device;
    const auto pid = as_ordinary_user([&] {
        set_memlock_limit(8 * page);
        const mapping memory = mapping::anonymous(16 * page);
        device.must_pin(memory.data(), 6 * page);
        if (device.pin(memory.data(), 3 * page) != ENOMEM) {
            throw std::runtime_error("it was pinned");
        }
        return ::getpid();
    });
    CHECK(must_next<pinned_event>(events).pin.uid == ordinary_user);
    const auto refused = must_next<refused_event>(events);
    CHECK(refused.request.pid == pid);
    CHECK(refused.request.uid == ordinary_user);
    CHECK(refused.errno_value == ENOMEM);
    CHECK(refused.facts.why == reason::memlock);
    CHECK(refused.facts.limit == 8 * page);
    CHECK(refused.facts.used == 6 * page);
    CHECK(refused.facts.asked == 3 * page);
}

TEST_CASE("event stream: only the events that match the filter are told") {
    const raw_device device;
    gate go;
    const auto pin_one = [&] {
        const mapping memory = mapping::anonymous(page);
        device.must_pin(memory.data(), page);
    };
    child other([&] {
        go.pass();
        pin_one();
    });
    event_stream all;
    event_stream of_other({.pid = other.pid()});
    event_stream of_user({.uid = ordinary_user});
    event_stream of_nobody({.pid = other.pid(), .uid = ordinary_user});
    const pid_t others_pid = other.pid();
    go.open();
    REQUIRE(other.wait());
    pin_one();
    const pid_t users_pid = as_ordinary_user([&] {
        pin_one();
        return ::getpid();
    });

    for (const pid_t pid : {others_pid, ::getpid(), users_pid}) {
        CHECK(must_next<pinned_event>(all).pin.pid == pid);
    }
    CHECK(must_next<pinned_event>(of_other).pin.pid == others_pid);
    CHECK(must_next<pinned_event>(of_user).pin.pid == users_pid);
    for (event_stream* const events : {&all, &of_other, &of_user, &of_nobody}) {
        CHECK_FALSE(events->next(0ms));
    }
}

TEST_CASE("event stream: an ordinary user is told of nobody else's pins") {
    const raw_device device;
    gate subscribed;
    gate pinned;
    const mapping counts = mapping::shared_anonymous(page);
    child user([&] {
        become_ordinary_user();
        event_stream events;
        event_stream of_root({.uid = 0});
        subscribed.open();
        pinned.pass();
        const mapping own = mapping::anonymous(page);
        device.must_pin(own.data(), page);
        while (const auto next = events.next(0ms)) {
            const auto* const event = std::get_if<pinned_event>(&next->what);
            ++counts.as<int>()[event != nullptr && event->pin.pid == ::getpid() ? 0 : 1];
        }
        counts.as<int>()[1] += of_root.next(0ms).has_value() ? 1 : 0;
    });
    subscribed.pass();
    const mapping memory = mapping::anonymous(page);
    REQUIRE(device.unpin(device.must_pin(memory.data(), page)) == 0);
    pinned.open();
    CHECK(user.wait());
    CHECK(counts.as<int>()[0] == 1);
    CHECK(counts.as<int>()[1] == 0);
}

TEST_CASE("event stream: next() waits no longer than it is told to") {
    event_stream events;
    for (const auto timeout : {0ms, 50ms, -5ms}) {
        const auto start = steady_clock::now();
        CHECK_FALSE(events.next(timeout));
        CHECK(steady_clock::now() - start >= timeout);
        CHECK(steady_clock::now() - start < timeout + 60s);
    }
    gate waiting;
    const raw_device device;
    child pinner([&] {
        waiting.pass();
        ::usleep(20'000);
        const mapping memory = mapping::anonymous(page);
        device.must_pin(memory.data(), page);
    });
    waiting.open();
    CHECK(events.next(std::chrono::milliseconds::max())); // nothing overflows
    CHECK(pinner.wait());
    REQUIRE(device.unpin(1) == 0);
    CHECK(events.next()); // and one that is there is not waited for
}

TEST_CASE("event stream: a signal ends the wait, even one without an end") {
    event_stream events;
    static std::atomic<int> alarms = 0;
    struct sigaction handler {};
    handler.sa_handler = [](int) { ++alarms; };
    handler.sa_flags = SA_RESTART;
    struct sigaction before {};
    REQUIRE(::sigaction(SIGALRM, &handler, &before) == 0);
    // Again and again, so that one comes while it waits.
    const itimerval often{.it_interval = {0, 50'000}, .it_value = {0, 50'000}};
    REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
    const auto woken = events.next();
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before, nullptr);
    CHECK_FALSE(woken);
    CHECK(alarms > 0);
}

TEST_CASE("event stream: its file descriptor is readable as long as there are events") {
    event_stream events;
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    CHECK_FALSE(is_readable(events));
    for (int i = 0; i < 3; i++) {
        device.must_pin(memory.data(), page);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(is_readable(events));
        CHECK(events.next(0ms));
    }
    CHECK_FALSE(is_readable(events));
    CHECK_FALSE(events.next(0ms));
}

TEST_CASE("event stream: what didn't fit into its buffer is told as one loss, in its place") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    event_stream events;
    set_buffer(events, 1);
    for (int i = 0; i < 10'000; i++) {
        REQUIRE(device.unpin(device.must_pin(memory.data(), page)) == 0);
    }
    CHECK(is_readable(events));

    // First what did fit, from the beginning and without a gap.
    std::uint32_t told = 0;
    event next = must_next(events);
    for (; !std::holds_alternative<lost_events>(next.what); next = must_next(events)) {
        if (const auto* const made = std::get_if<pinned_event>(&next.what)) {
            REQUIRE(made->pin.handle == ++told);
        } else {
            REQUIRE(std::get<unpinned_event>(next.what).pin.handle == told);
        }
        REQUIRE(told < 10'000);
    }
    CHECK(told > 0);
    CHECK(next.time <= system_clock::now());
    CHECK(next.time > system_clock::now() - 20s);
    CHECK_FALSE(events.next(0ms));

    // And then it is as if nothing had been.
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    CHECK(must_next<pinned_event>(events).pin.handle == handle);
    REQUIRE(device.unpin(handle) == 0);
    CHECK(must_next<unpinned_event>(events).pin.handle == handle);
    CHECK_FALSE(events.next(0ms));
}

TEST_CASE("event stream: whatever is lost while it is read, each gap is told") {
    // A reader that is too slow for a buffer that is too small, while pins are made.
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    event_stream events;
    set_buffer(events, 16384);
    constexpr std::uint32_t count = 5000;
    std::atomic<bool> finished = false;
    std::thread pinner([&] {
        for (std::uint32_t i = 0; i < count; i++) {
            device.must_pin(memory.data(), page);
        }
        finished = true;
    });
    std::uint32_t last = 0;
    bool lost = false; // since then
    int losses = 0;
    int untold = 0;
    for (;;) {
        const bool is_rest = finished;
        const auto next = events.next(is_rest ? 0ms : 10ms);
        if (!next && is_rest) {
            break;
        }
        if (next && std::holds_alternative<lost_events>(next->what)) {
            lost = true;
            losses++;
        } else if (next) {
            const std::uint32_t handle = std::get<pinned_event>(next->what).pin.handle;
            untold += handle != last + 1 && !lost ? 1 : 0;
            last = handle;
            lost = false;
            if (handle % 500 == 0) {
                ::usleep(50000);
            }
        }
    }
    pinner.join();
    CAPTURE(last, losses);
    CHECK(untold == 0);
    CHECK((last == count || lost));
    CHECK(losses > 0); // or the test has tried nothing
}

TEST_CASE("event stream: a user has 64 of them, and is told so") {
    const auto opened = as_ordinary_user([] {
        struct {
            std::size_t count;
            int errno_value;
            bool explained, again;
        } got{};
        std::vector<event_stream> streams;
        for (;;) {
            auto next = event_stream::try_open();
            if (!next) {
                got.errno_value = next.error().code().value();
                got.explained = std::string_view(next.error().what()).find("end a program") !=
                                std::string::npos;
                break;
            }
            streams.push_back(std::move(*next));
        }
        got.count = streams.size();
        streams.pop_back();
        got.again = static_cast<bool>(event_stream::try_open());
        return got;
    });
    CHECK(opened.count == 64);
    CHECK(opened.errno_value == EDQUOT);
    CHECK(opened.explained);
    CHECK(opened.again);
}

TEST_CASE("event stream: a filter that the module refuses is an error that says why") {
    const auto opened = event_stream::try_open({.pid = 0});
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code().value() == ERANGE);
    CHECK_THAT(opened.error().what(), Contains("cannot subscribe") && Contains("begin at 1"));
}

TEST_CASE("event stream: nobody but the kernel is believed") {
    event_stream events;
    sockaddr_nl address{};
    socklen_t size = sizeof(address);
    REQUIRE(::getsockname(events.native_handle(), reinterpret_cast<sockaddr*>(&address), &size) ==
            0);
    address.nl_groups = 0;
    // An event that another process made up.
    const netlink_request lie = longpin_request(
        LONGPIN_CMD_PINNED_NTF, 0, {{LONGPIN_A_PIN_CONTEXT, 1}, {LONGPIN_A_PIN_HANDLE, 1}});
    const netlink_socket neighbour;
    REQUIRE(::sendto(neighbour.descriptor(), lie.bytes().data(), lie.bytes().size(), 0,
                     reinterpret_cast<const sockaddr*>(&address), sizeof(address)) > 0);
    CHECK(is_readable(events));
    CHECK_FALSE(events.next(0ms));
    CHECK_FALSE(is_readable(events));
}

TEST_CASE("event stream: when the module goes, that is an error, behind the last event") {
    event_stream events;
    {
        const raw_device device;
        const mapping memory = mapping::anonymous(page);
        device.must_pin(memory.data(), page);
    }
    REQUIRE(remove_module() == 0);
    static_cast<void>(must_next<pinned_event>(events));
    static_cast<void>(must_next<unpinned_event>(events));
    for (int i = 0; i < 2; i++) {
        const auto next = events.try_next();
        REQUIRE_FALSE(next);
        CHECK(next.error().code().value() == ENODEV);
        CHECK_THAT(next.error().what(), Contains("unloaded"));
    }
    REQUIRE(load_module() == 0);
    events = event_stream();
    CHECK_FALSE(events.next(0ms));
}

TEST_CASE("event stream: one that was moved from throws, and can be assigned again") {
    event_stream first;
    event_stream second = std::move(first);
    CHECK_FALSE(second.next(0ms));
    CHECK_THROWS_AS(first.next(0ms), std::logic_error);       // NOLINT: on purpose
    CHECK_THROWS_AS(first.native_handle(), std::logic_error); // NOLINT
    first = std::move(second);
    CHECK_FALSE(first.next(0ms));
}
