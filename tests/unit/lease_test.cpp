// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"
#include "mapped.hpp"
#include "uapi_header.hpp"

#include <longpin/generation.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <thread>
#include <type_traits>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

using Catch::Matchers::Contains;
using longpin::lease_event;
using longpin::lease_event_type;
using longpin::reason;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t page = fake_kernel::page_size;

longpin_event event_of(std::uint32_t handle) {
    longpin_event event{};
    event.type = LONGPIN_EVENT_REVOKED;
    event.handle = handle;
    return event;
}

} // namespace

TEST_CASE("A lease is asked for with its grace and its eventfd, which stays the caller's") {
    fake_kernel kernel;
    const mapped memory(1);
    const int events = ::eventfd(0, EFD_NONBLOCK);
    const longpin::device device = fake_kernel::open();
    const longpin::pin pin = device.pin_writable(
        memory.bytes(), {.cookie = 3, .lease = true, .grace = 500ms, .eventfd = events});
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_WRITE | LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD));
    CHECK(kernel.last_pin.grace_ms == 500);
    CHECK(kernel.last_pin.eventfd == events);
    const longpin::pin_info info = pin.query();
    CHECK(info.lease);
    CHECK(info.grace == 500ms);
    CHECK(info.revoked_pages == 0);

    kernel.revoke(memory.bytes());
    eventfd_t count = 0;
    CHECK(::eventfd_read(events, &count) == 0);
    CHECK(count == 1);
    ::close(events);
}

TEST_CASE("A pin is no lease unless it is asked for, and does not know grace and eventfd") {
    fake_kernel kernel;
    const mapped memory(1);
    const longpin::device device = fake_kernel::open();
    CHECK_FALSE(device.pin(memory.bytes()).query().lease);
    CHECK(kernel.last_pin.flags == 0);
    CHECK(device.try_pin(memory.bytes(), {.grace = 1ms}).error().reason() == reason::lease_only);
    CHECK(device.try_pin(memory.bytes(), {.eventfd = 0}).error().reason() == reason::lease_only);
    CHECK(kernel.last_pin.flags == LONGPIN_PIN_EVENTFD);
}

TEST_CASE("A grace that the kernel's number has no room for is refused, a negative one is none") {
    fake_kernel kernel;
    const mapped memory(1);
    const longpin::device device = fake_kernel::open();
    for (const std::chrono::milliseconds grace :
         {std::chrono::milliseconds(1001), std::chrono::milliseconds(1LL << 32),
          std::chrono::milliseconds::max()}) {
        const auto tried = device.try_pin(memory.bytes(), {.lease = true, .grace = grace});
        REQUIRE_FALSE(tried);
        CHECK(tried.error().reason() == reason::grace);
        CHECK(tried.error().limit() == 1000);
        CHECK_FALSE(tried.error().used());
        CHECK_THAT(tried.error().what(), Contains("1000 ms") && Contains("max_grace_ms"));
    }
    CHECK(device.pin(memory.bytes(), {.lease = true, .grace = -1ms}).query().grace == 0ms);
}

TEST_CASE("A dry run may be of a lease") {
    fake_kernel kernel;
    const mapped memory(1);
    const longpin::device device = fake_kernel::open();
    CHECK(device.try_check(memory.bytes(), {.lease = true}));
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE));
    CHECK(device.check_writable(memory.bytes(), {.lease = true}).index() == 0);
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE | LONGPIN_PIN_WRITE));
    kernel.info.out_pin_flags = LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN;
    CHECK_FALSE(device.info().leases);
    CHECK(std::get<longpin::error>(device.check(memory.bytes(), {.lease = true})).reason() ==
          reason::lease_kernel);
}

TEST_CASE("A page that was taken back is gone from the pin, and repin takes what is there now") {
    fake_kernel kernel;
    const mapped memory(4);
    const longpin::device device = fake_kernel::open();
    const longpin::pin pin = device.pin(memory.bytes(), {.lease = true});
    kernel.revoke(memory.pages(1, 2));
    std::ranges::fill(memory.bytes(), std::byte{2});
    CHECK(pin.query().revoked_pages == 2);
    CHECK(pin.query().footprint.pages == 2);

    std::vector<std::byte> bytes(page);
    pin.read(0, bytes);
    const auto tried = pin.try_read(page, bytes);
    REQUIRE_FALSE(tried);
    CHECK(tried.error().code().value() == ESTALE);
    CHECK_THAT(tried.error().what(), Contains("cannot read 4 KiB at offset 4096 of pin 1: the "
                                              "kernel took a page of it back"));
    CHECK(pin.repin(2 * page, 1) == 1);
    CHECK(pin.query().revoked_pages == 1);
    CHECK(pin.repin() == 1);
    CHECK(pin.repin() == 0);
    CHECK(pin.query().revoked_pages == 0);
    CHECK_THROWS_WITH(pin.repin(4 * page, 1), Contains("beyond the end of the pin"));
    pin.read(page, bytes);
    CHECK(bytes.front() == std::byte{2});
    pin.read(0, bytes);
    CHECK(bytes.front() == std::byte{1});
}

TEST_CASE("A repin that is refused says the reason, as a pin does") {
    fake_kernel kernel;
    const mapped memory(1);
    const longpin::pin pin = fake_kernel::open().pin(memory.bytes(), {.lease = true});
    kernel.fail(LONGPIN_REPIN, EFAULT, {.why = reason::hole, .bad_address = 4096});
    const auto tried = pin.try_repin();
    REQUIRE_FALSE(tried);
    CHECK(tried.error().bad_address() == 4096);
    CHECK_THAT(tried.error().what(), Contains("cannot repin pin 1: nothing is mapped at 0x1000"));
}

TEST_CASE("Pages that a holder lets go of are gone without an event") {
    fake_kernel kernel;
    const mapped memory(4);
    const longpin::device device = fake_kernel::open();
    const longpin::pin pin = device.pin(memory.bytes(), {.lease = true});
    CHECK(pin.let_go(page - 1, 2) == 2);
    CHECK(pin.let_go(page, 1) == 0);
    CHECK(pin.query().revoked_pages == 2);
    CHECK_FALSE(device.next_event(0ms));
    CHECK_THROWS_WITH(pin.let_go(0, 0), Contains("cannot let go of 0 B at offset 0 of pin 1: "
                                                 "the range is empty"));
    CHECK_THROWS_WITH(device.pin(memory.bytes()).let_go(0, 1), Contains("no lease"));
    CHECK_THROWS_WITH(device.pin(memory.bytes()).repin(), Contains("no lease"));
}

TEST_CASE("Extents leave out what was taken back, at the beginning, in the middle and at the end") {
    fake_kernel kernel;
    const mapped memory(5);
    const longpin::pin pin = fake_kernel::open().pin(memory.bytes(), {.lease = true});
    const auto offsets = [&] {
        std::vector<std::uint64_t> all;
        std::ranges::transform(pin.extents(), std::back_inserter(all), &longpin::extent::offset);
        return all;
    };
    using list = std::vector<std::uint64_t>;
    kernel.extents_in_an_answer = GENERATE(1U, 2U, 100U);
    kernel.revoke(memory.pages(2, 1));
    CHECK(offsets() == list{0, page, 3 * page, 4 * page});
    kernel.revoke(memory.pages(4, 1));
    CHECK(offsets() == list{0, page, 3 * page});
    kernel.revoke(memory.pages(0, 1));
    CHECK(offsets() == list{page, 3 * page});
    kernel.revoke(memory.bytes());
    CHECK(offsets().empty());
}

TEST_CASE("An event says which part of which pin was taken back, and why") {
    fake_kernel kernel;
    const mapped memory(4);
    const longpin::device device = fake_kernel::open();
    const longpin::pin first = device.pin(memory.pages(0, 2), {.cookie = 7, .lease = true});
    const longpin::pin second =
        device.pin(memory.bytes().subspan(page + 100), {.cookie = 8, .lease = true});
    const longpin::pin without = device.pin(memory.bytes());
    kernel.revoke(memory.pages(1, 2), LONGPIN_CAUSE_INVALIDATE);
    const lease_event of_first{.handle = first.handle(),
                               .cause = longpin::cause::invalidate,
                               .cookie = 7,
                               .offset = page,
                               .length = page,
                               .time = 1ns};
    const lease_event of_second{.handle = second.handle(),
                                .cause = longpin::cause::invalidate,
                                .cookie = 8,
                                .offset = 0,
                                .length = 2 * page - 100,
                                .time = 1ns};
    CHECK(device.next_event() == of_first);
    CHECK(device.next_event() == of_second);
    CHECK_FALSE(device.next_event(0ms));
    kernel.revoke(memory.pages(0, 2)); // of the first one's two pages, one is left
    CHECK(device.next_event()->offset == 0);
    CHECK_FALSE(device.next_event(0ms));
}

TEST_CASE("Events that did not fit into the queue are said to be lost, where they were") {
    fake_kernel kernel;
    kernel.event_limit = 2;
    const longpin::device device = fake_kernel::open();
    for (std::uint32_t handle = 1; handle <= 5; ++handle) {
        kernel.tell(device.native_handle(), event_of(handle));
    }
    std::array<lease_event, 10> buffer;
    const auto events = device.read_events(buffer);
    REQUIRE(events.size() == 3);
    CHECK(events[1].handle == 2);
    CHECK(events[2].type == lease_event_type::overflow);
    CHECK(events[2].lost == 3);
}

TEST_CASE("As many events are read as there is room for, and none is lost, whatever their size") {
    fake_kernel kernel;
    kernel.event_size = sizeof(longpin_event) + GENERATE(0U, 1U, 8U, 64U, 200U, 1000U, 4040U);
    const std::size_t room = GENERATE(1U, 2U, 7U, 100U, 1000U);
    const longpin::device device = fake_kernel::open();
    const std::uint32_t count = 150;
    for (std::uint32_t handle = 1; handle <= count; ++handle) {
        kernel.tell(device.native_handle(), event_of(handle));
    }
    std::vector<lease_event> buffer(room);
    std::uint32_t next = 1;
    for (;;) {
        const auto events = device.read_events(buffer, 0ms);
        if (events.empty()) {
            break;
        }
        CHECK(events.data() == buffer.data());
        for (const lease_event& event : events) {
            CHECK(event.handle == next++);
        }
    }
    CHECK(next == count + 1);
}

TEST_CASE("A device with events is readable, and not when all were read") {
    fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    const auto readable = [&] {
        pollfd file{.fd = device.native_handle(), .events = POLLIN};
        return ::poll(&file, 1, 0) == 1;
    };
    CHECK_FALSE(readable());
    kernel.tell(device.native_handle(), event_of(1));
    kernel.tell(device.native_handle(), event_of(2));
    CHECK(readable());
    CHECK(device.next_event()->handle == 1);
    CHECK(readable());
    CHECK(device.next_event()->handle == 2);
    CHECK_FALSE(readable());
}

TEST_CASE("Who waits for an event waits as long as was said, or until there is one") {
    fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(device.next_event(-1ms));
    CHECK_FALSE(device.next_event(30ms));
    CHECK(std::chrono::steady_clock::now() - start >= 30ms);
    const std::jthread later([&] {
        std::this_thread::sleep_for(20ms);
        kernel.tell(device.native_handle(), event_of(5));
    });
    CHECK(device.next_event()->handle == 5);
}

TEST_CASE("A module without leases, and records that make no sense, are told as errors") {
    fake_kernel kernel;
    const mapped memory(1);
    const longpin::device device = fake_kernel::open();
    std::array<lease_event, 2> buffer;
    CHECK(device.try_read_events({}, 0ms).error().code().value() == EINVAL);
    kernel.tell(device.native_handle(), event_of(1));
    kernel.event_size = sizeof(longpin_event) - 8;
    CHECK(device.try_read_events(buffer).error().code().value() == EPROTO);
    kernel.tell(device.native_handle(), event_of(1));
    kernel.event_size = 5000; // no record fits into what the library reads at once
    CHECK_THROWS_WITH(device.next_event(), Contains("cannot read the events of leases: the module "
                                                    "is older than this library"));
    kernel.info.out_pin_flags = 0;
    CHECK_THROWS_WITH(longpin::generation(device),
                      Contains("cannot map the generation of leases: the file is not"));
    CHECK_THAT(longpin::generation::try_make(longpin::device("/dev/zero")).error().what(),
               Contains("cannot map"));
}

TEST_CASE("Every type of event in the kernel's header has its name") {
    const auto types = uapi_constants("EVENT");
    REQUIRE(types.size() == 3);
    for (const auto& [known_as, number] : types) {
        CHECK(longpin::name(static_cast<lease_event_type>(number)) == known_as);
    }
    CHECK(longpin::name(static_cast<lease_event_type>(77)) == "unknown");
}

TEST_CASE("The generation changes behind the event, for the context whose page was taken") {
    fake_kernel kernel;
    const mapped memory(2);
    const longpin::device device = fake_kernel::open();
    const longpin::device other = fake_kernel::open();
    const longpin::generation generation(device);
    const longpin::generation of_other(other);
    const longpin::pin pin = device.pin(memory.pages(0, 1), {.lease = true});
    const longpin::pin without = other.pin(memory.bytes());
    const std::uint64_t seen = generation.value();
    const std::uint64_t seen_of_other = of_other.value();
    CHECK(seen != longpin::generation::forked);
    kernel.revoke(memory.pages(1, 1));
    CHECK(generation.value() == seen);
    kernel.revoke(memory.pages(0, 1));
    CHECK(generation.value() != seen);
    CHECK(of_other.value() == seen_of_other);
    CHECK_FALSE(generation.inherited());
}

TEST_CASE("A generation outlives its device object, and moves") {
    STATIC_REQUIRE(std::is_nothrow_move_constructible_v<longpin::generation>);
    STATIC_REQUIRE(std::is_nothrow_move_assignable_v<longpin::generation>);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<longpin::generation>);
    fake_kernel kernel;
    const mapped memory(1);
    std::optional<longpin::device> device = fake_kernel::open();
    longpin::generation first(*device);
    const longpin::pin pin = device->pin(memory.bytes(), {.lease = true});
    device.reset();
    longpin::generation second = std::move(first);
    const std::uint64_t seen = second.value();
    kernel.revoke(memory.bytes());
    CHECK(second.value() != seen);
    first = std::move(second);
    CHECK(first.value() != seen);
}

TEST_CASE("A child finds a change, and its end of the object unmaps nothing of its own") {
    fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    std::optional<longpin::generation> generation(device);
    const std::uint64_t seen = generation->value();
    CHECK(in_child([&] {
              if (!generation->inherited() || generation->value() == seen ||
                  generation->value() != longpin::generation::forked) {
                  return false;
              }
              // Fill every gap of a page, so that one is where the status is in the parent.
              std::vector<void*> mine(2000);
              for (void*& address : mine) {
                  address = ::mmap(nullptr, page, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              }
              generation.reset();
              for (void* const address : mine) {
                  *static_cast<int*>(address) = 1; // a fault, if it is gone
              }
              return true;
          }) == 0);
    CHECK(generation->value() == seen);
}
