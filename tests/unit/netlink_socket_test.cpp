// SPDX-License-Identifier: MIT
// Requests and subscriptions, with the test in the place of the kernel: what a real one
// would send is put into the socket before the library asks for it.
#include "netlink_message.hpp"
#include "netlink_socket.hpp"
#include "records.hpp"
#include "subscription.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <linux/genetlink.h>
#include <sys/socket.h>
#include <unistd.h>

using Catch::Matchers::Contains;
using namespace longpin::detail;

namespace {

/// The number of the first request.
constexpr std::uint32_t first = 3;

/// The kernel's end of a socket.
class other_end {
public:
    other_end() {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0) {
            throw std::runtime_error("socketpair");
        }
        end_ = ends[0];
        socket_ = std::make_unique<netlink_socket>(ends[1], netlink_message::family, first - 1);
    }
    other_end(const other_end&) = delete;
    other_end& operator=(const other_end&) = delete;
    other_end(other_end&&) = delete;
    other_end& operator=(other_end&&) = delete;
    ~other_end() { ::close(end_); }

    /// The library's end.
    [[nodiscard]] netlink_socket& socket() const { return *socket_; }
    std::unique_ptr<netlink_socket> take_socket() { return std::move(socket_); }

    /// Sends messages in one datagram.
    void say(std::initializer_list<const netlink_message*> messages) const {
        std::vector<std::byte> datagram;
        for (const netlink_message* const message : messages) {
            const auto bytes = message->bytes();
            datagram.insert(datagram.end(), bytes.begin(), bytes.end());
        }
        send(datagram);
    }
    void say(const netlink_message& message) const { say({&message}); }

    void send(std::span<const std::byte> datagram) const {
        if (::send(end_, datagram.data(), datagram.size(), MSG_DONTWAIT) < 0) {
            throw std::runtime_error("send");
        }
    }

    /// The next request that came.
    [[nodiscard]] nlmsghdr next_request() const {
        nlmsghdr header{};
        if (::recv(end_, &header, sizeof(header), MSG_DONTWAIT) < 0) {
            throw std::runtime_error("no request came");
        }
        return header;
    }

private:
    int end_ = -1;
    std::unique_ptr<netlink_socket> socket_;
};

netlink_message pin(std::uint32_t handle, std::uint32_t sequence,
                    std::uint8_t command = LONGPIN_CMD_PIN_GET) {
    auto message = netlink_message::of_command(command);
    message.numbered(sequence).u32(LONGPIN_A_PIN_CONTEXT, 1).u32(LONGPIN_A_PIN_HANDLE, handle);
    return message;
}

netlink_message event(std::uint32_t number) {
    netlink_message made = pin(number, 0, LONGPIN_CMD_PINNED_NTF);
    made.u32(LONGPIN_A_PIN_SEQUENCE, number);
    return made;
}

netlink_message acknowledgement(std::uint32_t sequence, int errno_value = 0) {
    nlmsgerr contents{};
    contents.error = -errno_value;
    auto message = netlink_message::of_type(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, contents);
    message.numbered(sequence);
    if (errno_value != 0) {
        message.text(NLMSGERR_ATTR_MSG, "the kernel's words");
    }
    return message;
}

netlink_message done(std::uint32_t sequence, int errno_value = 0) {
    auto message = netlink_message::of_type(NLMSG_DONE, NLM_F_MULTI, -errno_value);
    return std::move(message.numbered(sequence));
}

/// What the controller says of a family.
netlink_message family_message(std::uint8_t command, std::uint16_t number) {
    auto message = netlink_message::of_command(command, GENL_ID_CTRL);
    return std::move(message.u16(CTRL_ATTR_FAMILY_ID, number));
}

/// Lists pins. Their handles, then the errno: "1 2", "1 error 12".
std::string list(netlink_socket& socket) {
    std::string all;
    const auto listed = socket.call(netlink_request(LONGPIN_CMD_PIN_GET, NLM_F_DUMP),
                                    "list the pins", [&all](nlmsghdr& message) {
                                        const auto got = read_pin(message);
                                        if (got) {
                                            all += std::to_string(got->handle) + " ";
                                        }
                                        return got.has_value();
                                    });
    return all + (listed ? "end" : "error " + std::to_string(listed.error().code().value()));
}

/// Everything that a subscription has: "1 2 lost", and the errno if there is an error.
std::string take_all(subscription& events) {
    std::string all;
    for (;;) {
        const auto next = events.take();
        if (!next) {
            return all + "error " + std::to_string(next.error().code().value());
        }
        if (!*next) {
            return all + "end";
        }
        const auto* const pinned = std::get_if<longpin::pinned_event>(&(*next)->what);
        all += (pinned != nullptr ? std::to_string(pinned->pin.handle) : "lost") + " ";
    }
}

} // namespace

TEST_CASE("A request carries the family, its number and its flags") {
    const other_end kernel;
    kernel.say(done(first));
    CHECK(list(kernel.socket()) == "end");
    const nlmsghdr request = kernel.next_request();
    CHECK(request.nlmsg_type == netlink_message::family);
    CHECK(request.nlmsg_flags == (NLM_F_REQUEST | NLM_F_DUMP));
    CHECK(request.nlmsg_seq == first);
    CHECK(request.nlmsg_pid == 0);
    kernel.say(done(first + 1));
    CHECK(list(kernel.socket()) == "end");
    CHECK(kernel.next_request().nlmsg_seq == first + 1);
}

TEST_CASE("An answer is read to its end, over many datagrams") {
    const other_end kernel;
    const auto one = pin(1, first);
    const auto two = pin(2, first);
    kernel.say({&one, &two});
    kernel.say(pin(3, first));
    const auto four = pin(4, first);
    const auto end = done(first);
    const auto beyond = pin(5, first);
    kernel.say({&four, &end, &beyond});
    CHECK(list(kernel.socket()) == "1 2 3 4 end");
}

TEST_CASE("Messages that are no part of the answer are passed over") {
    const other_end kernel;
    kernel.say(pin(1, first - 1)); // of the request before
    kernel.say(acknowledgement(first - 1, EPERM));
    kernel.say(event(1));
    kernel.say(pin(2, first));
    kernel.say(acknowledgement(first));
    CHECK(list(kernel.socket()) == "2 end");
}

TEST_CASE("An error ends an answer, at its beginning or after a part of it") {
    const other_end kernel;
    kernel.say(acknowledgement(first, EINVAL));
    CHECK(list(kernel.socket()) == "error 22");
    kernel.say(pin(1, first + 1));
    kernel.say(done(first + 1, ENOMEM));
    CHECK(list(kernel.socket()) == "1 error 12");
    kernel.say(done(first + 2));
    CHECK(list(kernel.socket()) == "end"); // on the same socket
}

TEST_CASE("An error says what was attempted, and has the kernel's words") {
    const other_end kernel;
    kernel.say(acknowledgement(first, EINVAL));
    const auto asked = kernel.socket().call(netlink_request(LONGPIN_CMD_STATS_GET, NLM_F_ACK),
                                            "read the statistics", [](nlmsghdr&) { return true; });
    REQUIRE_FALSE(asked);
    CHECK_THAT(asked.error().what(),
               Contains("cannot read the statistics: ") && Contains("the kernel's words"));
}

TEST_CASE("What has not come when the kernel has answered will not come") {
    const other_end kernel;
    kernel.say(pin(1, first));
    CHECK(list(kernel.socket()) == "1 error " + std::to_string(ENOBUFS));
}

TEST_CASE("An answer that can't be read is an error in the end, and the rest is read") {
    const other_end kernel;
    kernel.say(pin(1, first));
    kernel.say(pin(0, first));
    kernel.say(pin(3, first));
    kernel.say(done(first));
    CHECK(list(kernel.socket()) == "1 3 error " + std::to_string(EPROTO));
    kernel.say(done(first + 1));
    CHECK(list(kernel.socket()) == "end");
}

TEST_CASE("That there is no such thing is an answer, if the family is still the same") {
    const other_end kernel;
    kernel.say(acknowledgement(first, ENOENT));
    kernel.say(family_message(CTRL_CMD_NEWFAMILY, netlink_message::family).numbered(first + 1));
    kernel.say(acknowledgement(first + 1));
    CHECK(list(kernel.socket()) == "end");
    static_cast<void>(kernel.next_request());
    CHECK(kernel.next_request().nlmsg_type == GENL_ID_CTRL);
}

TEST_CASE("A family that came back with another number is asked again") {
    const other_end kernel;
    kernel.say(acknowledgement(first, ENOENT));
    kernel.say(family_message(CTRL_CMD_NEWFAMILY, 31).numbered(first + 1));
    kernel.say(acknowledgement(first + 1));
    kernel.say(pin(1, first + 2));
    kernel.say(done(first + 2));
    CHECK(list(kernel.socket()) == "1 end");
    static_cast<void>(kernel.next_request());
    static_cast<void>(kernel.next_request());
    CHECK(kernel.next_request().nlmsg_type == 31);
    CHECK(kernel.socket().family() == 31);
}

TEST_CASE("A family that is gone is an error") {
    const other_end kernel;
    kernel.say(acknowledgement(first, ENOENT));
    kernel.say(acknowledgement(first + 1, ENOENT));
    CHECK(list(kernel.socket()) == "error " + std::to_string(ENOENT));
}

TEST_CASE("A subscription keeps the events that come before it is acknowledged") {
    other_end kernel;
    const auto one = event(1);
    const auto two = event(2);
    const auto answer = acknowledgement(first);
    const auto three = event(3);
    kernel.say(one);
    kernel.say({&two, &answer, &three});
    kernel.say(event(4));
    subscription events(kernel.take_socket());
    REQUIRE(events.subscribe({}));
    CHECK(take_all(events) == "1 2 3 4 end");
    kernel.say(event(5));
    CHECK(take_all(events) == "5 end");
}

TEST_CASE("An event whose number is that of the request is an event") {
    other_end kernel;
    for (std::uint32_t number = 1; number <= first; number++) {
        kernel.say(event(number));
    }
    kernel.say(acknowledgement(first));
    subscription events(kernel.take_socket());
    REQUIRE(events.subscribe({}));
    CHECK(take_all(events) == "1 2 3 end");
}

TEST_CASE("A subscription that is refused is an error") {
    other_end kernel;
    kernel.say(acknowledgement(first, EDQUOT));
    subscription events(kernel.take_socket());
    const auto subscribed = events.subscribe({});
    REQUIRE_FALSE(subscribed);
    CHECK(subscribed.error().code().value() == EDQUOT);
    CHECK_THAT(subscribed.error().what(), Contains("cannot subscribe to the module's events: "));
}

TEST_CASE("A subscription whose acknowledgement is lost is an error") {
    other_end kernel;
    kernel.say(event(1));
    subscription events(kernel.take_socket());
    CHECK(events.subscribe({}).error().code().value() == ENOBUFS);
}

TEST_CASE("Events that were left out are told to be lost") {
    other_end kernel;
    kernel.say(acknowledgement(first));
    subscription events(kernel.take_socket());
    REQUIRE(events.subscribe({}));
    kernel.say(event(1));
    kernel.say(event(3));
    CHECK(take_all(events) == "1 lost 3 end");
}

TEST_CASE("A datagram that is too long is an error, and the next one is read") {
    other_end kernel;
    kernel.say(acknowledgement(first));
    subscription events(kernel.take_socket());
    REQUIRE(events.subscribe({}));
    kernel.send(std::vector<std::byte>(100'000));
    kernel.say(event(2));
    CHECK(take_all(events) == "error " + std::to_string(EMSGSIZE));
    CHECK(take_all(events) == "lost 2 end");
}

TEST_CASE("An event that makes no sense is an error behind the events before it") {
    other_end kernel;
    kernel.say(acknowledgement(first));
    subscription events(kernel.take_socket());
    REQUIRE(events.subscribe({}));
    kernel.say(event(1));
    kernel.say(netlink_message::of_command(LONGPIN_CMD_PINNED_NTF).numbered(2));
    CHECK(take_all(events) == "1 error " + std::to_string(EPROTO));
}

TEST_CASE("The end of the family ends a subscription, the end of another does not") {
    other_end kernel;
    kernel.say(acknowledgement(first));
    subscription events(kernel.take_socket());
    REQUIRE(events.subscribe({}));
    kernel.say(family_message(CTRL_CMD_DELFAMILY, netlink_message::family + 1));
    kernel.say(family_message(CTRL_CMD_NEWFAMILY, netlink_message::family));
    kernel.say(event(1));
    CHECK(take_all(events) == "1 end");
    kernel.say(event(2));
    kernel.say(family_message(CTRL_CMD_DELFAMILY, netlink_message::family));
    CHECK(take_all(events) == "2 error " + std::to_string(ENODEV));
    CHECK(take_all(events) == "error " + std::to_string(ENODEV));
}
