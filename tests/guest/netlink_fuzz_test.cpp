// SPDX-License-Identifier: MIT
// Malformed requests: each is refused or answered, whatever it holds, and harms nothing. That the
// kernel didn't complain is seen to after the run.
//
// The seed is random, and printed.
#include "support/dice.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iomanip>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <random>
#include <sstream>

using namespace guest;

namespace {

using bytes = std::vector<std::byte>;

/// A request that is valid until it is changed.
class mutant {
public:
    mutant(dice& random, pin_id pin) {
        struct {
            std::uint8_t command;
            std::uint16_t flags;
            netlink_filters attributes;
        } const requests[] = {
            {LONGPIN_CMD_CONTEXT_GET, 0, {{LONGPIN_A_CONTEXT_ID, pin.context}}},
            {LONGPIN_CMD_CONTEXT_GET, NLM_F_DUMP, {}},
            {LONGPIN_CMD_PIN_GET,
             0,
             {{LONGPIN_A_PIN_CONTEXT, pin.context}, {LONGPIN_A_PIN_HANDLE, pin.handle}}},
            {LONGPIN_CMD_PIN_GET, NLM_F_DUMP, {}},
            {LONGPIN_CMD_PIN_GET,
             NLM_F_DUMP,
             {{LONGPIN_A_PIN_CONTEXT, pin.context},
              {LONGPIN_A_PIN_HANDLE, pin.handle},
              {LONGPIN_A_PIN_PID, 1},
              {LONGPIN_A_PIN_UID, 0},
              {LONGPIN_A_PIN_KINDS, LONGPIN_KIND_ANON}}},
            {LONGPIN_CMD_STATS_GET, 0, {}},
            {LONGPIN_CMD_SUBSCRIBE, 0, {{LONGPIN_A_PIN_PID, 1}, {LONGPIN_A_PIN_UID, 0}}},
        };
        const auto& chosen = requests[random.number(0, std::size(requests) - 1)];
        attributes_ = chosen.attributes;
        bytes_ = longpin_request(chosen.command, NLM_F_ACK | chosen.flags, attributes_).bytes();
    }

    [[nodiscard]] const bytes& message() const { return bytes_; }
    [[nodiscard]] std::size_t size() const { return bytes_.size(); }
    [[nodiscard]] const netlink_filters& attributes() const { return attributes_; }

    /// Where its attributes begin.
    static constexpr std::size_t headers = sizeof(nlmsghdr) + sizeof(genlmsghdr);

    template <typename Number>
    void set(std::size_t offset, Number value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof(value));
    }

    template <typename Number>
    [[nodiscard]] Number get(std::size_t offset) const {
        Number value{};
        std::memcpy(&value, bytes_.data() + offset, sizeof(value));
        return value;
    }

    void append(const bytes& more) {
        bytes_.insert(bytes_.end(), more.begin(), more.end());
        set(offsetof(nlmsghdr, nlmsg_len), static_cast<std::uint32_t>(size()));
    }

    /// An attribute that may lie about its length.
    void append_attribute(std::uint16_t type, std::uint16_t length, const bytes& content) {
        bytes_.resize(size() + sizeof(nlattr));
        set(size() - sizeof(nlattr), nlattr{length, type});
        append(content);
        append(bytes((0 - content.size()) % NLA_ALIGNTO));
    }

    void append_attribute(std::uint16_t type, const bytes& content) {
        append_attribute(type, static_cast<std::uint16_t>(sizeof(nlattr) + content.size()),
                         content);
    }

    /// Cuts it off, whatever its header says.
    void cut(std::size_t length) { bytes_.resize(length); }

    void flip(std::size_t bit) { bytes_[bit / 8] ^= std::byte{1} << bit % 8; }

private:
    netlink_filters attributes_;
    bytes bytes_;
};

enum class expected {
    answer,      ///< it is valid still
    explanation, ///< an error that says why
    error,       ///< an error, of which the kernel says no more
    end,         ///< any of these
    nothing,     ///< the kernel passes over what isn't a message
};

struct mutation {
    const char* name;
    expected outcome;
    void (*apply)(mutant& request, dice& random);
};

const mutation mutations[] = {
    {"none", expected::answer, [](mutant&, dice&) {}},
    {"any version", expected::answer,
     [](mutant& request, dice& random) {
         request.set(sizeof(nlmsghdr) + offsetof(genlmsghdr, version),
                     random.number<std::uint8_t>(0, 255));
     }},
    {"attributes twice", expected::answer,
     [](mutant& request, dice&) {
         request.append({request.message().begin() + mutant::headers, request.message().end()});
     }},
    {"an attribute 5000 times", expected::answer,
     [](mutant& request, dice&) {
         if (request.attributes().empty()) {
             return;
         }
         const auto first = request.message().begin() + mutant::headers;
         const bytes one(first, first + 8);
         bytes many;
         for (int i = 0; i < 5000; i++) {
             many.insert(many.end(), one.begin(), one.end());
         }
         request.append(many);
     }},
    {"no request", expected::answer,
     [](mutant& request, dice&) {
         request.set<std::uint16_t>(offsetof(nlmsghdr, nlmsg_flags), NLM_F_ACK);
     }},
    {"netlink's own message types", expected::answer,
     [](mutant& request, dice& random) {
         request.set(offsetof(nlmsghdr, nlmsg_type), random.number<std::uint16_t>(0, 15));
     }},
    {"an unknown attribute", expected::explanation,
     [](mutant& request, dice& random) {
         request.append_attribute(random.number<std::uint16_t>(LONGPIN_A_PIN_KINDS + 1, 0x3fff),
                                  random.some(4));
     }},
    {"attribute 0", expected::explanation,
     [](mutant& request, dice& random) { request.append_attribute(0, random.some(4)); }},
    {"a number of a wrong length", expected::explanation,
     [](mutant& request, dice& random) {
         const std::size_t length = random.number(0, 200);
         request.append_attribute(random.number<std::uint16_t>(0, LONGPIN_A_PIN_MAX),
                                  random.some(length == 4 ? 5 : length));
     }},
    {"a nest where a number belongs", expected::explanation,
     [](mutant& request, dice& random) {
         const auto type = random.number<std::uint16_t>(0, LONGPIN_A_PIN_MAX);
         request.append_attribute(type | NLA_F_NESTED,
                                  random.some(std::size_t{4} * random.number(0, 50)));
     }},
    {"an attribute that is longer than the message", expected::explanation,
     [](mutant& request, dice& random) {
         request.append_attribute(random.number<std::uint16_t>(1, LONGPIN_A_PIN_MAX),
                                  random.number<std::uint16_t>(9, 0xffff), random.some(4));
     }},
    {"an attribute that is shorter than its header", expected::explanation,
     [](mutant& request, dice& random) {
         request.append_attribute(random.number<std::uint16_t>(1, LONGPIN_A_PIN_MAX),
                                  random.number<std::uint16_t>(0, 3), random.some(4));
     }},
    {"a piece of an attribute", expected::explanation,
     [](mutant& request, dice& random) { request.append(random.some(random.number(1, 3))); }},
    {"a reserved field that is not zero", expected::explanation,
     [](mutant& request, dice& random) {
         request.set(sizeof(nlmsghdr) + offsetof(genlmsghdr, reserved),
                     random.number<std::uint16_t>(1, 0xffff));
     }},
    {"flags that mean nothing", expected::explanation,
     [](mutant& request, dice& random) {
         const auto flags = request.get<std::uint16_t>(offsetof(nlmsghdr, nlmsg_flags));
         request.set(offsetof(nlmsghdr, nlmsg_flags),
                     static_cast<std::uint16_t>(flags | 0x10 << random.number(6, 11)));
     }},
    {"an unknown command", expected::error,
     [](mutant& request, dice& random) {
         request.set(sizeof(nlmsghdr) + offsetof(genlmsghdr, cmd),
                     random.number<std::uint8_t>(LONGPIN_CMD_MAX + 1, 255));
     }},
    {"an unknown family", expected::error,
     [](mutant& request, dice& random) {
         request.set(offsetof(nlmsghdr, nlmsg_type),
                     random.number<std::uint16_t>(GENL_MAX_ID + 1, 0xffff));
     }},
    {"a piece of the generic header", expected::error,
     [](mutant& request, dice& random) {
         request.set(offsetof(nlmsghdr, nlmsg_len),
                     random.number(sizeof(nlmsghdr), mutant::headers - 1));
     }},
    {"a piece of the header", expected::nothing,
     [](mutant& request, dice& random) { request.cut(random.number(1, sizeof(nlmsghdr) - 1)); }},
    {"a length shorter than the header", expected::nothing,
     [](mutant& request, dice& random) {
         request.set(offsetof(nlmsghdr, nlmsg_len), random.number(0, sizeof(nlmsghdr) - 1));
     }},
    {"a length longer than the message", expected::nothing,
     [](mutant& request, dice& random) {
         const auto size = static_cast<std::uint32_t>(request.size());
         request.set(offsetof(nlmsghdr, nlmsg_len), random.number(size + 1, ~0U));
     }},
    {"random attributes", expected::end,
     [](mutant& request, dice& random) {
         for (std::uint32_t count = random.number(1, 40); count > 0; count--) {
             const auto type = random.number<std::uint16_t>(0, LONGPIN_A_PIN_MAX + 2);
             request.append_attribute(
                 type, random.some(random.number(0, 9) == 0 ? random.number(0, 300) : 4));
         }
     }},
    {"random bytes behind the headers", expected::end,
     [](mutant& request, dice& random) {
         request.cut(mutant::headers);
         request.append(random.some(random.number(1, 2000)));
     }},
    {"a few bits wrong in the generic header and the attributes", expected::end,
     [](mutant& request, dice& random) {
         const auto bits = static_cast<std::uint32_t>(8 * request.size() - 1);
         for (std::uint32_t count = random.number(1, 8); count > 0; count--) {
             request.flip(random.number(8 * sizeof(nlmsghdr), bits));
         }
     }},
};

struct outcome {
    bool ended = false; ///< by an error, an acknowledgement or the end of a dump
    netlink_answer answer;
};

/// Sends bytes over a socket of their own, and takes what comes: the kernel has answered when
/// send() returns, and goes on with a dump each time that a part of it is read.
outcome exchange(const bytes& message) {
    netlink_socket socket;
    socket.send(message);
    outcome result;
    pollfd ready{socket.descriptor(), POLLIN, 0};
    while (!result.ended && ::poll(&ready, 1, 0) == 1) {
        result.ended = socket.receive(result.answer);
    }
    return result;
}

bool as_expected(const outcome& came, expected wanted) {
    const bool refused = came.ended && came.answer.err > 0;
    switch (wanted) {
    case expected::answer: return came.ended && came.answer.err == 0;
    case expected::explanation: return refused && !came.answer.message.empty();
    case expected::error: return refused;
    case expected::end: return came.ended;
    case expected::nothing: return !came.ended && came.answer.messages.empty();
    }
    return false;
}

std::string hex(const bytes& message) {
    std::ostringstream text;
    text << std::hex << std::setfill('0');
    for (const std::byte one : message) {
        text << std::setw(2) << std::to_integer<int>(one);
    }
    return text.str().substr(0, 400);
}

} // namespace

TEST_CASE("netlink fuzz: malformed requests are refused with a reason, and harm nothing") {
    const unsigned chosen = fuzz_seed();
    std::printf("LONGPIN_FUZZ_SEED=%u\n", chosen);
    std::fflush(stdout);
    dice random(chosen);
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    std::vector<pin_id> pins(50); // more than one datagram has room for
    for (pin_id& pin : pins) {
        pin = {context_of(device), device.must_pin(memory.data(), page)};
    }
    const std::string used = read_line("/sys/module/longpin/refcnt");

    for (int round = 0; round < 150; round++) {
        for (const mutation& how : mutations) {
            mutant request(random, pins[0]);
            how.apply(request, random);
            const outcome came = exchange(request.message());
            if (!as_expected(came, how.outcome)) {
                FAIL_CHECK("LONGPIN_FUZZ_SEED="
                           << chosen << ", " << how.name << ": " << hex(request.message())
                           << (came.ended ? " ended" : " did not end") << " with errno "
                           << came.answer.err << " and \"" << came.answer.message << '"');
            }
        }
        // What is right is answered as ever.
        REQUIRE(ids_of(netlink_socket().dump(LONGPIN_CMD_PIN_GET)) == pins);
        REQUIRE(netlink_socket()
                    .get(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, pins[7].context},
                                               {LONGPIN_A_PIN_HANDLE, pins[7].handle}})
                    .only()
                    .u32(LONGPIN_A_PIN_HANDLE) == pins[7].handle);
    }
    CHECK(read_line("/sys/module/longpin/refcnt") == used);
}
