// SPDX-License-Identifier: MIT
// What the kernel's messages become. That it sends such is for the tests in the guest.
#include "explain.hpp"
#include "netlink_message.hpp"
#include "netlink_socket.hpp"
#include "records.hpp"
#include "uapi_header.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <vector>

#include <linux/longpin.h>

using Catch::Matchers::Contains;
using longpin::memory_kind;
using longpin::reason;
using namespace longpin::detail;
using namespace std::chrono_literals;

namespace {

netlink_message minimal_pin(std::uint8_t command = LONGPIN_CMD_PIN_GET) {
    auto message = netlink_message::of_command(command);
    message.u32(LONGPIN_A_PIN_CONTEXT, 3).u32(LONGPIN_A_PIN_HANDLE, 7);
    return message;
}

netlink_message complete_pin(std::uint8_t command = LONGPIN_CMD_PIN_GET) {
    auto message = minimal_pin(command);
    message.u32(LONGPIN_A_PIN_PID, 100)
        .text(LONGPIN_A_PIN_COMM, "dbserver")
        .u32(LONGPIN_A_PIN_UID, 1000)
        .u64(LONGPIN_A_PIN_ADDR, 0x7f0000001000)
        .u64(LONGPIN_A_PIN_LENGTH, 8192)
        .u64(LONGPIN_A_PIN_PAGES, 2)
        .u64(LONGPIN_A_PIN_RUNS, 1)
        .u64(LONGPIN_A_PIN_BOOKKEEPING, 240)
        .u32(LONGPIN_A_PIN_KINDS, LONGPIN_KIND_FILE | LONGPIN_KIND_ANON)
        .u32(LONGPIN_A_PIN_FLAGS, LONGPIN_PIN_WRITE | LONGPIN_PIN_LEASE)
        .u64(LONGPIN_A_PIN_COOKIE, ~std::uint64_t{0})
        .u64(LONGPIN_A_PIN_AGE, 1'500'000'000)
        .flag(LONGPIN_A_PIN_ORPHANED)
        .u32(LONGPIN_A_PIN_STATE, LONGPIN_STATE_PARTLY_REVOKED)
        .u64(LONGPIN_A_PIN_REVOKED_PAGES, 3)
        .u32(LONGPIN_A_PIN_GRACE, 250)
        .nest(LONGPIN_A_PIN_FILE, [](netlink_message& file) {
            file.text(LONGPIN_A_FILE_PATH, "/mnt/a b")
                .u32(LONGPIN_A_FILE_MAJOR, 259)
                .u32(LONGPIN_A_FILE_MINOR, 4)
                .u64(LONGPIN_A_FILE_INODE, std::uint64_t{1} << 40U)
                .u64(LONGPIN_A_FILE_OFFSET, 4096);
        });
    return message;
}

longpin::pin_record expected_pin() {
    return {.context = 3,
            .handle = 7,
            .pid = 100,
            .comm = "dbserver",
            .uid = 1000,
            .address = 0x7f0000001000,
            .length = 8192,
            .cookie = ~std::uint64_t{0},
            .writable = true,
            .orphaned = true,
            .footprint{.kinds = memory_kind::file | memory_kind::anon,
                       .pages = 2,
                       .runs = 1,
                       .bookkeeping = 240},
            .lease = true,
            .state = longpin::pin_state::partly_revoked,
            .revoked_pages = 3,
            .grace = 250ms,
            .age = 1500ms,
            .file = longpin::mapped_file{.path = "/mnt/a b",
                                         .device_major = 259,
                                         .device_minor = 4,
                                         .inode = std::uint64_t{1} << 40U,
                                         .offset = 4096}};
}

/// A request for a pin that was refused, but for the refusal.
netlink_message refused_request() {
    auto message = netlink_message::of_command(LONGPIN_CMD_REFUSED_NTF);
    message.u64(LONGPIN_A_PIN_TIME, 5)
        .u32(LONGPIN_A_PIN_CONTEXT, 3)
        .u32(LONGPIN_A_PIN_PID, 100)
        .u64(LONGPIN_A_PIN_ADDR, 4096)
        .u64(LONGPIN_A_PIN_LENGTH, 1)
        .u32(LONGPIN_A_PIN_FLAGS, 0)
        .u64(LONGPIN_A_PIN_COOKIE, 9);
    return message;
}

nlmsgerr failure(int errno_value, std::size_t request_length) {
    nlmsgerr contents{};
    contents.error = -errno_value;
    contents.msg.nlmsg_len = static_cast<std::uint32_t>(request_length);
    return contents;
}

} // namespace

TEST_CASE("A pin is read with everything that the kernel says of it") {
    CHECK(read_pin(complete_pin().header()) == expected_pin());
}

TEST_CASE("Of a pin only the context and the handle must be there") {
    CHECK(read_pin(minimal_pin().header()) == longpin::pin_record{.context = 3, .handle = 7});
    auto without_handle = netlink_message::of_command(LONGPIN_CMD_PIN_GET);
    without_handle.u32(LONGPIN_A_PIN_CONTEXT, 3);
    CHECK_FALSE(read_pin(without_handle.header()));
    auto without_context = netlink_message::of_command(LONGPIN_CMD_PIN_GET);
    without_context.u32(LONGPIN_A_PIN_HANDLE, 7);
    CHECK_FALSE(read_pin(without_context.header()));
}

TEST_CASE("Attributes and flags of a newer module are passed over") {
    auto message = complete_pin();
    message.u32(LONGPIN_A_PIN_MAX + 1, 1).bytes(LONGPIN_A_PIN_MAX + 100, "x");
    message.nest(LONGPIN_A_PIN_MAX + 2, [](netlink_message& nest) { nest.u32(1, 1); });
    CHECK(read_pin(message.header()) == expected_pin());

    auto flags = minimal_pin();
    flags.u32(LONGPIN_A_PIN_FLAGS, ~std::uint32_t{LONGPIN_PIN_WRITE})
        .u32(LONGPIN_A_PIN_KINDS, 1U << 30U);
    const auto pin = read_pin(flags.header());
    REQUIRE(pin);
    CHECK_FALSE(pin->writable);
    CHECK(pin->lease);
    CHECK(names(pin->footprint.kinds) == std::vector<std::string_view>{"unknown"});
}

TEST_CASE("Padding between attributes is passed over") {
    auto message = netlink_message::of_command(LONGPIN_CMD_PIN_GET);
    message.bytes(LONGPIN_A_PIN_PAD, "")
        .u32(LONGPIN_A_PIN_CONTEXT, 3)
        .bytes(LONGPIN_A_PIN_PAD, "")
        .u64(LONGPIN_A_PIN_ADDR, 0x1122334455667788)
        .u32(LONGPIN_A_PIN_HANDLE, 7);
    CHECK(read_pin(message.header())->address == 0x1122334455667788);
}

TEST_CASE("A pin with an attribute of the wrong type is malformed") {
    for (const int number : {LONGPIN_A_PIN_CONTEXT, LONGPIN_A_PIN_ADDR, LONGPIN_A_PIN_COMM}) {
        CAPTURE(number);
        auto message = minimal_pin();
        message.bytes(number, number == LONGPIN_A_PIN_COMM ? "no zero behind it" : "abc");
        CHECK_FALSE(read_pin(message.header()));
    }
    auto file = minimal_pin();
    file.nest(LONGPIN_A_PIN_FILE,
              [](netlink_message& nest) { nest.bytes(LONGPIN_A_FILE_INODE, "abc"); });
    CHECK_FALSE(read_pin(file.header()));
}

TEST_CASE("A message that is too short for its header is malformed") {
    auto message = minimal_pin();
    message.header().nlmsg_len = NLMSG_HDRLEN + 2;
    CHECK_FALSE(read_pin(message.header()));
    CHECK_FALSE(read_context(message.header()));
    CHECK_FALSE(read_statistics(message.header()));
    CHECK_FALSE(is_event(message.header()));
}

TEST_CASE("A context is read with everything that the kernel says of it") {
    auto message = netlink_message::of_command(LONGPIN_CMD_CONTEXT_GET);
    message.u32(LONGPIN_A_CONTEXT_ID, 3)
        .u32(LONGPIN_A_CONTEXT_PID, 100)
        .text(LONGPIN_A_CONTEXT_COMM, "dbserver")
        .u32(LONGPIN_A_CONTEXT_UID, 1000)
        .u64(LONGPIN_A_CONTEXT_AGE, 42)
        .u64(LONGPIN_A_CONTEXT_PINS, 2)
        .u64(LONGPIN_A_CONTEXT_PAGES, 512);
    longpin::context_record expected{.id = 3,
                                     .pid = 100,
                                     .comm = "dbserver",
                                     .uid = 1000,
                                     .orphaned = false,
                                     .pins = 2,
                                     .pages = 512,
                                     .age = 42ns};
    CHECK(read_context(message.header()) == expected);
    message.flag(LONGPIN_A_CONTEXT_ORPHANED);
    expected.orphaned = true;
    CHECK(read_context(message.header()) == expected);
}

TEST_CASE("A context without an id is malformed") {
    auto message = netlink_message::of_command(LONGPIN_CMD_CONTEXT_GET);
    message.u32(LONGPIN_A_CONTEXT_PID, 100);
    CHECK_FALSE(read_context(message.header()));
}

TEST_CASE("The statistics are read, with the count of each reason") {
    auto message = netlink_message::of_command(LONGPIN_CMD_STATS_GET);
    message.u64(LONGPIN_A_STATS_CONTEXTS, 1)
        .u64(LONGPIN_A_STATS_PINS, 2)
        .u64(LONGPIN_A_STATS_PAGES, 3)
        .u64(LONGPIN_A_STATS_RUNS, 4)
        .u64(LONGPIN_A_STATS_BOOKKEEPING, 5)
        .u64(LONGPIN_A_STATS_PEAK_PAGES, 6)
        .u64(LONGPIN_A_STATS_PINS_MADE, 7)
        .u64(LONGPIN_A_STATS_PAGES_TAKEN, 8)
        .u64(LONGPIN_A_STATS_PINNING_TIME, 9)
        .u64(LONGPIN_A_STATS_DRY_RUNS, 10)
        .u64(LONGPIN_A_STATS_REVOCATIONS, 11)
        .u64(LONGPIN_A_STATS_PAGES_REVOKED, 12)
        .u64(LONGPIN_A_STATS_REPINS, 13);
    for (const std::uint32_t why : {std::uint32_t{LONGPIN_REASON_NONE}, // an errno says it all
                                    std::uint32_t{LONGPIN_REASON_FSDAX}, 77U}) {
        message.nest(LONGPIN_A_STATS_REFUSED, [why](netlink_message& count) {
            count.u32(LONGPIN_A_REFUSED_COUNT_REASON, why)
                .u64(LONGPIN_A_REFUSED_COUNT_COUNT, why + 1);
        });
    }
    const auto sums = read_statistics(message.header());
    REQUIRE(sums);
    CHECK(sums->contexts == 1);
    CHECK(sums->pins == 2);
    CHECK(sums->pages == 3);
    CHECK(sums->runs == 4);
    CHECK(sums->bookkeeping == 5);
    CHECK(sums->peak_pages == 6);
    CHECK(sums->pins_made == 7);
    CHECK(sums->pages_taken == 8);
    CHECK(sums->pinning_time == 9ns);
    CHECK(sums->dry_runs == 10);
    CHECK(sums->revocations == 11);
    CHECK(sums->pages_revoked == 12);
    CHECK(sums->repins == 13);
    CHECK(sums->refused == std::map<reason, std::uint64_t>{{reason::none, 1},
                                                           {reason::fsdax, 24},
                                                           {static_cast<reason>(77), 78}});
}

TEST_CASE("Statistics with a malformed count are malformed") {
    auto message = netlink_message::of_command(LONGPIN_CMD_STATS_GET);
    message.nest(LONGPIN_A_STATS_REFUSED,
                 [](netlink_message& count) { count.bytes(LONGPIN_A_REFUSED_COUNT_COUNT, "abc"); });
    message.nest(LONGPIN_A_STATS_REFUSED,
                 [](netlink_message& count) { count.u64(LONGPIN_A_REFUSED_COUNT_COUNT, 1); });
    CHECK_FALSE(read_statistics(message.header()));
}

TEST_CASE("The events of a pin carry the pin, the time and the cause") {
    auto pinned = complete_pin(LONGPIN_CMD_PINNED_NTF);
    pinned.u64(LONGPIN_A_PIN_TIME, 1'700'000'000'123'456'789);
    REQUIRE(is_event(pinned.header()));
    const auto made = read_event(pinned.header());
    REQUIRE(made);
    CHECK(made->time.time_since_epoch() == 1'700'000'000'123'456'789ns);
    REQUIRE(std::holds_alternative<longpin::pinned_event>(made->what));
    CHECK(std::get<longpin::pinned_event>(made->what).pin == expected_pin());

    auto unpinned = complete_pin(LONGPIN_CMD_UNPINNED_NTF);
    unpinned.u32(LONGPIN_A_PIN_CAUSE, LONGPIN_CAUSE_CLOSE);
    REQUIRE(is_event(unpinned.header()));
    const auto ended = read_event(unpinned.header());
    REQUIRE(ended);
    REQUIRE(std::holds_alternative<longpin::unpinned_event>(ended->what));
    CHECK(std::get<longpin::unpinned_event>(ended->what).pin == expected_pin());
    CHECK(std::get<longpin::unpinned_event>(ended->what).cause == longpin::cause::close);
}

TEST_CASE("The events of a lease say what was taken back and why, or that pages came again") {
    auto revoked = complete_pin(LONGPIN_CMD_REVOKED_NTF);
    revoked.u64(LONGPIN_A_PIN_TIME, 7)
        .u32(LONGPIN_A_PIN_CAUSE, LONGPIN_CAUSE_INVALIDATE)
        .u64(LONGPIN_A_PIN_CHANGED_OFFSET, 4096)
        .u64(LONGPIN_A_PIN_CHANGED_LENGTH, std::uint64_t{1} << 40U);
    REQUIRE(is_event(revoked.header()));
    const auto taken = read_event(revoked.header());
    REQUIRE(taken);
    CHECK(taken->time.time_since_epoch() == 7ns);
    REQUIRE(std::holds_alternative<longpin::revoked_event>(taken->what));
    const auto& what = std::get<longpin::revoked_event>(taken->what);
    CHECK(what.pin == expected_pin());
    CHECK(what.cause == longpin::cause::invalidate);
    CHECK(what.offset == 4096);
    CHECK(what.length == std::uint64_t{1} << 40U);

    const auto repinned = complete_pin(LONGPIN_CMD_REPINNED_NTF);
    REQUIRE(is_event(repinned.header()));
    const auto again = read_event(repinned.header());
    REQUIRE(again);
    REQUIRE(std::holds_alternative<longpin::repinned_event>(again->what));
    CHECK(std::get<longpin::repinned_event>(again->what).pin == expected_pin());
    CHECK_FALSE(read_event(netlink_message::of_command(LONGPIN_CMD_REVOKED_NTF).header()));
}

TEST_CASE("Every state of a pin has its name, and a module that says none holds all") {
    const auto states = netlink_constants("STATE");
    REQUIRE(states.size() == 3);
    for (const auto& [known_as, number] : states) {
        CHECK(longpin::name(static_cast<longpin::pin_state>(number)) == known_as);
    }
    CHECK(longpin::name(static_cast<longpin::pin_state>(77)) == "unknown");
    const auto pin = read_pin(minimal_pin().header());
    CHECK(pin->state == longpin::pin_state::held);
    CHECK_FALSE(pin->lease);
}

TEST_CASE("A refusal is an event with its request, the errno and the facts") {
    auto message = refused_request();
    message.nest(LONGPIN_A_PIN_REFUSAL, [](netlink_message& refusal) {
        refusal.u32(LONGPIN_A_REFUSAL_ERROR, ENOMEM)
            .u32(LONGPIN_A_REFUSAL_REASON, LONGPIN_REASON_MEMLOCK)
            .u64(LONGPIN_A_REFUSAL_BAD_ADDR, 1)
            .u64(LONGPIN_A_REFUSAL_LIMIT, 2)
            .u64(LONGPIN_A_REFUSAL_USED, 3)
            .u64(LONGPIN_A_REFUSAL_ASKED, 4);
    });
    REQUIRE(is_event(message.header()));
    const auto happened = read_event(message.header());
    REQUIRE(happened);
    CHECK(happened->time.time_since_epoch() == 5ns);
    REQUIRE(std::holds_alternative<longpin::refused_event>(happened->what));
    const auto& refused = std::get<longpin::refused_event>(happened->what);
    CHECK(refused.request ==
          longpin::pin_record{.context = 3, .pid = 100, .address = 4096, .length = 1, .cookie = 9});
    CHECK(refused.errno_value == ENOMEM);
    CHECK(refused.facts.why == reason::memlock);
    CHECK(refused.facts.bad_address == 1);
    CHECK(refused.facts.limit == 2);
    CHECK(refused.facts.used == 3);
    CHECK(refused.facts.asked == 4);
}

TEST_CASE("An event without what makes it one is malformed") {
    CHECK_FALSE(read_event(refused_request().header()));
    auto refused = refused_request();
    refused.nest(LONGPIN_A_PIN_REFUSAL,
                 [](netlink_message& refusal) { refusal.bytes(LONGPIN_A_REFUSAL_ERROR, "abc"); });
    CHECK_FALSE(read_event(refused.header()));
    CHECK_FALSE(read_event(netlink_message::of_command(LONGPIN_CMD_PINNED_NTF).header()));
}

TEST_CASE("A command that is no notification, or one of a newer module, is no event") {
    CHECK_FALSE(is_event(complete_pin(LONGPIN_CMD_PIN_GET).header()));
    CHECK_FALSE(is_event(complete_pin(LONGPIN_CMD_MAX + 1).header()));
}

TEST_CASE("Every cause has its name, and another number has none") {
    const auto causes = uapi_constants("CAUSE");
    REQUIRE(causes.size() >= 6);
    for (const auto& [known_as, number] : causes) {
        CHECK(longpin::name(static_cast<longpin::cause>(number)) == known_as);
    }
    CHECK(longpin::name(static_cast<longpin::cause>(77)) == "unknown");
}

TEST_CASE("An answer ends by an acknowledgement, an error or the end of a dump") {
    CHECK_FALSE(read_end(complete_pin().header()));
    const auto acknowledged =
        read_end(netlink_message::of_type(NLMSG_ERROR, NLM_F_CAPPED, failure(0, 100)).header());
    REQUIRE(acknowledged);
    CHECK(acknowledged->errno_value == 0);

    const auto refused =
        read_end(netlink_message::of_type(NLMSG_ERROR, NLM_F_CAPPED, failure(EPERM, 100)).header());
    REQUIRE(refused);
    CHECK(refused->errno_value == EPERM);
    CHECK(refused->explanation.empty());

    const auto listed = read_end(netlink_message::of_type(NLMSG_DONE, NLM_F_MULTI, 0).header());
    REQUIRE(listed);
    CHECK(listed->errno_value == 0);

    const auto broken_off =
        read_end(netlink_message::of_type(NLMSG_DONE, NLM_F_MULTI, -ENOMEM).header());
    REQUIRE(broken_off);
    CHECK(broken_off->errno_value == ENOMEM);
}

TEST_CASE("The end of a dump may carry nothing, and an error must carry an errno") {
    auto done = netlink_message::of_type(NLMSG_DONE, NLM_F_MULTI, 0);
    done.header().nlmsg_len = NLMSG_HDRLEN;
    CHECK(read_end(done.header())->errno_value == 0);
    auto error = netlink_message::of_type(NLMSG_ERROR, NLM_F_CAPPED, failure(EPERM, 100));
    error.header().nlmsg_len = NLMSG_HDRLEN + 2;
    CHECK(read_end(error.header())->errno_value == EPROTO);
}

TEST_CASE("The kernel's words are found behind an error, with its request or without") {
    struct with_request {
        nlmsgerr error;
        std::uint32_t attributes[2];
    };
    auto capped = netlink_message::of_type(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS,
                                           failure(EINVAL, NLMSG_HDRLEN + 8));
    auto whole = netlink_message::of_type(
        NLMSG_ERROR, NLM_F_ACK_TLVS,
        with_request{failure(EINVAL, NLMSG_HDRLEN + 8), {0xffffffff, 0xffffffff}});
    auto done = netlink_message::of_type(NLMSG_DONE, NLM_F_ACK_TLVS, -EINVAL);
    for (netlink_message* const message : {&capped, &whole, &done}) {
        message->u32(NLMSGERR_ATTR_OFFS, 20).text(NLMSGERR_ATTR_MSG, "no such attribute");
        const auto end = read_end(message->header());
        REQUIRE(end);
        CHECK(end->errno_value == EINVAL);
        CHECK(end->explanation == "no such attribute");
    }
}

TEST_CASE("Words are not looked for where there are none") {
    auto unannounced = netlink_message::of_type(NLMSG_ERROR, NLM_F_CAPPED, failure(EINVAL, 16));
    unannounced.text(NLMSGERR_ATTR_MSG, "not announced");
    CHECK(read_end(unannounced.header())->explanation.empty());
    auto beyond = netlink_message::of_type(NLMSG_ERROR, NLM_F_ACK_TLVS, failure(EINVAL, ~0U));
    beyond.text(NLMSGERR_ATTR_MSG, "behind a request that is longer than the message");
    CHECK(read_end(beyond.header())->explanation.empty());
}

TEST_CASE("All messages of a datagram are read, and what is cut off is not") {
    std::vector<std::byte> datagram;
    for (const auto& message : {complete_pin(), minimal_pin(), complete_pin()}) {
        datagram.insert(datagram.end(), message.bytes().begin(), message.bytes().end());
    }
    std::vector<std::optional<longpin::pin_record>> pins;
    const auto keep = [&](nlmsghdr& message) { pins.push_back(read_pin(message)); };
    for_each_message(datagram, keep);
    REQUIRE(pins.size() == 3);
    CHECK(pins[0] == expected_pin());
    CHECK(pins[1] == longpin::pin_record{.context = 3, .handle = 7});
    CHECK(pins[2] == expected_pin());
    pins.clear();
    for_each_message(std::span(datagram).first(datagram.size() - 1), keep);
    CHECK(pins.size() == 2);
    pins.clear();
    for_each_message({}, keep);
    CHECK(pins.empty());
}

TEST_CASE("A request has the attributes that are set") {
    netlink_request request(LONGPIN_CMD_PIN_GET, NLM_F_DUMP);
    request.put(LONGPIN_A_PIN_CONTEXT, 3U);
    request.put(LONGPIN_A_PIN_HANDLE, 7U);
    request.put(LONGPIN_A_PIN_UID, std::nullopt);
    request.put(LONGPIN_A_PIN_COMM, "text");
    nlmsghdr& header = request.header();
    CHECK(header.nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP));
    CHECK(genlmsg_hdr(&header)->cmd == LONGPIN_CMD_PIN_GET);
    CHECK(genlmsg_hdr(&header)->version == LONGPIN_FAMILY_VERSION);
    CHECK(read_pin(header) == longpin::pin_record{.context = 3, .handle = 7, .comm = "text"});
    CHECK(nlmsg_find_attr(&header, GENL_HDRLEN, LONGPIN_A_PIN_UID) == nullptr);
}

TEST_CASE("Every errno of the family is explained, with the kernel's words where they help") {
    for (const int errno_value :
         {ENOENT, ENODEV, EDQUOT, ERANGE, EINVAL, EOPNOTSUPP, EPROTO, ENOMEM, ENOBUFS}) {
        CAPTURE(errno_value);
        // What is wrong, and behind a semicolon what to do about it.
        CHECK_THAT(explain_netlink(errno_value, {}), Contains("; ") && !Contains("("));
    }
    CHECK_THAT(explain_netlink(ENOENT, {}), Contains("modprobe longpin"));
    CHECK_THAT(explain_netlink(ENODEV, {}), Contains("unloaded"));
    CHECK_THAT(explain_netlink(ERANGE, "integer out of range"),
               Contains("(integer out of range); "));
    CHECK_THAT(explain_netlink(EINVAL, "no such uid"),
               Contains("refuses the request: no such uid; "));
    CHECK(explain_netlink(EIO, {}) == "Input/output error");
    CHECK(explain_netlink(EIO, "disk full") == "Input/output error (disk full)");
}

TEST_CASE("Without the module the inventory and the events say how to load it") {
    if (std::filesystem::exists("/sys/module/longpin")) {
        WARN("the module is loaded here: what there is to see is that it is found");
        CHECK(longpin::inventory::try_open());
        CHECK(longpin::event_stream::try_open());
        return;
    }
    const auto inventory = longpin::inventory::try_open();
    REQUIRE_FALSE(inventory);
    CHECK(inventory.error().code().value() == ENOENT);
    CHECK_THAT(inventory.error().what(),
               Contains("cannot ask the module") && Contains("modprobe longpin"));
    const auto events = longpin::event_stream::try_open();
    REQUIRE_FALSE(events);
    CHECK(events.error().code().value() == ENOENT);
    CHECK_THROWS_AS(longpin::inventory(), longpin::error);
    CHECK_THROWS_AS(longpin::event_stream(), longpin::error);
}
