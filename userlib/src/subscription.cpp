// SPDX-License-Identifier: MIT
#include "subscription.hpp"

#include <cerrno>
#include <utility>

#include <linux/genetlink.h>
#include <linux/longpin_netlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <sys/socket.h>

namespace longpin::detail {

namespace {

// Room for some thousand events. What the administrator allows (net.core.rmem_max) may be less.
constexpr int buffer_size = 8 << 20;

constexpr const char* subscribing = "subscribe to the module's events";
constexpr const char* reading = "read the module's events";

} // namespace

result<std::unique_ptr<subscription>> subscription::try_open(const event_filter& filter) {
    auto socket = netlink_socket::try_open(subscribing);
    if (!socket) {
        return socket.error();
    }
    const int descriptor = (*socket)->descriptor();
    if (::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_size, sizeof(buffer_size)) !=
        0) {
        ::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &buffer_size, sizeof(buffer_size));
    }
    // The controller tells when a family goes. The number of its group is its own.
    const int group = GENL_ID_CTRL;
    if (::setsockopt(descriptor, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
        return netlink_failure({.errno_value = errno}, subscribing);
    }
    auto made = std::make_unique<subscription>(std::move(*socket));
    if (const result<void> subscribed = made->subscribe(filter); !subscribed) {
        return subscribed.error();
    }
    return made;
}

subscription::subscription(std::unique_ptr<netlink_socket> socket) noexcept
    : socket_(std::move(socket)) {}

result<void> subscription::subscribe(const event_filter& filter) {
    netlink_request request(LONGPIN_CMD_SUBSCRIBE, NLM_F_ACK);
    request.put(LONGPIN_A_PIN_PID, filter.pid);
    request.put(LONGPIN_A_PIN_UID, filter.uid);
    if (const int failed = socket_->send(request, socket_->family())) {
        return netlink_failure({.errno_value = failed}, subscribing);
    }
    // The first events may come before the answer, and be lost for want of room even then. Only the
    // answer has an end.
    std::optional<answer_end> end;
    while (!end) {
        const received got = socket_->receive();
        if (got.errno_value == ENOBUFS) {
            queue_.overflowed();
            continue;
        }
        if (got.errno_value != 0) { // EAGAIN: the answer was among what was lost
            return netlink_failure(
                {.errno_value = got.errno_value == EAGAIN ? ENOBUFS : got.errno_value},
                subscribing);
        }
        for_each_message(got.datagram, [&](nlmsghdr& message) {
            if (auto ended = read_end(message)) {
                end = std::move(ended);
            } else {
                read(message);
            }
        });
    }
    if (end->errno_value != 0) {
        return netlink_failure(*end, subscribing);
    }
    return {};
}

result<std::optional<event>> subscription::take() {
    for (;;) {
        if (std::optional<event> next = queue_.take()) {
            return next;
        }
        if (failed_ != 0) {
            return netlink_failure({.errno_value = failed_}, reading);
        }
        const received got = socket_->receive();
        switch (got.errno_value) {
        case 0: for_each_message(got.datagram, [this](nlmsghdr& message) { read(message); }); break;
        case ENOBUFS: queue_.overflowed(); break;
        case EAGAIN: queue_.drained(); return queue_.take();
        default: return netlink_failure({.errno_value = got.errno_value}, reading);
        }
    }
}

void subscription::read(nlmsghdr& message) {
    if (message.nlmsg_type == socket_->family()) {
        if (!queue_.add(message)) {
            failed_ = EPROTO;
        }
    } else if (is_end_of_family(message)) {
        failed_ = ENODEV;
    }
}

bool subscription::is_end_of_family(nlmsghdr& message) const {
    if (message.nlmsg_type != GENL_ID_CTRL || genlmsg_valid_hdr(&message, 0) == 0 ||
        genlmsg_hdr(&message)->cmd != CTRL_CMD_DELFAMILY) {
        return false;
    }
    const nlattr* const id = nlmsg_find_attr(&message, GENL_HDRLEN, CTRL_ATTR_FAMILY_ID);
    return id != nullptr && nla_len(id) == sizeof(std::uint16_t) &&
           nla_get_u16(id) == socket_->family();
}

} // namespace longpin::detail
