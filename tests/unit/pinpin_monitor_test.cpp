// SPDX-License-Identifier: MIT
// How events are told, and how pinpin waits for them.
#include "event_fields.hpp"
#include "sample_pins.hpp"
#include "wait.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include <unistd.h>

namespace {

longpin::event at_ten(decltype(longpin::event::what) what) {
    using namespace std::chrono;
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    return {.time = system_clock::time_point(sys_days(year(2024) / 5 / 1) + 10h + 250ms),
            .what = std::move(what)};
}

std::string line_of(const longpin::event& event) {
    pinpin::pin_view view{.page_size = 4096};
    return pinpin::event_line(pinpin::event_fields(event, view));
}

std::string json_of(const longpin::event& event) {
    pinpin::pin_view view{.page_size = 4096};
    return pinpin::to_json_line(to_json(pinpin::event_fields(event, view)));
}

longpin::refused_event a_refusal(int errno_value, const longpin::refusal& facts) {
    return {.request = {.context = 3,
                        .pid = 1234,
                        .comm = "server",
                        .uid = 0,
                        .address = 0x1000,
                        .length = 1U << 20U},
            .errno_value = errno_value,
            .facts = facts};
}

} // namespace

TEST_CASE("An event is one line that fits in 80 columns") {
    CHECK(pinpin::event_heads() ==
          "TIME     EVENT    PIN     PID COMM     USER       SIZE KINDS, WHY");
    CHECK(line_of(at_ten(longpin::pinned_event{anonymous_pin()})) ==
          "10:00:00 pinned   3:1    1234 server   root     16 KiB anon");
    CHECK(line_of(at_ten(longpin::unpinned_event{anonymous_pin(), longpin::cause::close})) ==
          "10:00:00 unpinned 3:1    1234 server   root     16 KiB anon close");
    CHECK(line_of(at_ten(a_refusal(ENOMEM, {.why = longpin::reason::memlock, .limit = 65536}))) ==
          "10:00:00 refused  3:     1234 server   root      1 MiB ENOMEM memlock");
    CHECK(line_of(at_ten(a_refusal(EINTR, {}))) ==
          "10:00:00 refused  3:     1234 server   root      1 MiB EINTR");
    CHECK(line_of(at_ten(
              longpin::revoked_event{leased_pin(), longpin::cause::invalidate, 4096, 8192})) ==
          "10:00:00 revoked  3:2    1234 server   root      8 KiB fsdax invalidate");
    CHECK(line_of(
              at_ten(longpin::revoked_event{leased_pin(), longpin::cause::unmap, 0, 1U << 20U})) ==
          "10:00:00 revoked  3:2    1234 server   root      1 MiB fsdax unmap");
    CHECK(line_of(at_ten(longpin::repinned_event{leased_pin()})) ==
          "10:00:00 repinned 3:2    1234 server   root      8 KiB fsdax");
    CHECK(line_of(at_ten(longpin::lost_events{})) ==
          "10:00:00 lost     events were lost: read faster or filter, and list again");
    CHECK(line_of(at_ten(a_refusal(EOPNOTSUPP, {.why = longpin::reason::dirty_tracking}))).size() <=
          80);
}

TEST_CASE("On a narrower terminal an event goes on in the next line, and lacks nothing") {
    const std::string refused =
        line_of(at_ten(a_refusal(EOPNOTSUPP, {.why = longpin::reason::dirty_tracking})));
    CHECK(pinpin::folded(refused, 80) == refused);
    CHECK(pinpin::folded(refused, 70) ==
          "10:00:00 refused  3:     1234 server   root      1 MiB EOPNOTSUPP\n  dirty_tracking");
    CHECK(pinpin::folded(refused, 40) == "10:00:00 refused  3:     1234 server\n"
                                         "  root      1 MiB EOPNOTSUPP\n"
                                         "  dirty_tracking");

    REQUIRE(std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr);
    longpin::pin_record pin = anonymous_pin();
    pin.comm = "日本語";
    CHECK(line_of(at_ten(longpin::pinned_event{pin})) ==
          "10:00:00 pinned   3:1    1234 日本語   root     16 KiB anon");
}

TEST_CASE("An event's JSON has the facts of its kind, and the time in seconds") {
    const std::string pinned = json_of(at_ten(longpin::pinned_event{anonymous_pin()}));
    CHECK_THAT(pinned, Catch::StartsWith(
                           R"({"time":1714557600.25,"event":"pinned","pin":"3:1","context":3)"));
    CHECK_THAT(json_of(at_ten(longpin::unpinned_event{orphaned_pin(), longpin::cause::unpin})),
               Catch::Contains(R"("event":"unpinned","pin":"12:7")") &&
                   Catch::EndsWith(R"("inode":140,"cause":"unpin"})"));
    CHECK_THAT(json_of(at_ten(
                   longpin::revoked_event{leased_pin(), longpin::cause::invalidate, 4096, 8192})),
               Catch::Contains(R"("event":"revoked","pin":"3:2")") &&
                   Catch::Contains(R"("state":"partly_revoked","revoked":8192)") &&
                   Catch::EndsWith(
                       R"("cause":"invalidate","changed_offset":4096,"changed_length":8192})"));
    CHECK_THAT(json_of(at_ten(longpin::repinned_event{leased_pin()})),
               Catch::Contains(R"("event":"repinned","pin":"3:2")") &&
                   Catch::EndsWith(R"("inode":12})"));
    CHECK(json_of(at_ten(a_refusal(ENOMEM, {.why = longpin::reason::memlock,
                                            .limit = 65536,
                                            .used = 4096,
                                            .asked = 1U << 20U}))) ==
          R"({"time":1714557600.25,"event":"refused","context":3,"pid":1234,"comm":"server",)"
          R"("uid":0,"user":"root","address":4096,"length":1048576,"writable":false,"cookie":0,)"
          R"("errno":"ENOMEM","reason":"memlock","bad_address":null,"limit":65536,"used":4096,)"
          R"("asked":1048576})");
    CHECK_THAT(json_of(at_ten(a_refusal(
                   EFAULT, {.why = longpin::reason::hole, .bad_address = 0x2000, .limit = 5}))),
               Catch::EndsWith(R"("reason":"hole","bad_address":8192,"limit":null,"used":null,)"
                               R"("asked":null})"));
    CHECK(json_of(at_ten(longpin::lost_events{})) ==
          R"({"time":1714557600.25,"event":"lost",)"
          R"("message":"events were lost: read faster or filter, and list again"})");
}

TEST_CASE("Waiting ends when there is something to read, by a signal, or in time") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pinpin::waiter waiter;
    std::array<pollfd, 1> one{{{.fd = ends[0], .events = POLLIN}}};

    CHECK_FALSE(waiter.wait_for(one, 0.01));
    CHECK_FALSE(waiter.wait_for({}, 0));
    REQUIRE(::write(ends[1], "x", 1) == 1);
    CHECK(waiter.wait_for(one, std::nullopt));
    CHECK(one[0].revents == POLLIN);

    // A signal goes first, and does not come back: not even when the waiter is gone.
    ::kill(::getpid(), SIGTERM);
    CHECK_FALSE(waiter.wait_for(one, std::nullopt));
    CHECK(waiter.wait_for(one, std::nullopt));
    ::close(ends[0]);
    ::close(ends[1]);
}
