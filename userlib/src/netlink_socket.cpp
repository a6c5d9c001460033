// SPDX-License-Identifier: MIT
#include "netlink_socket.hpp"

#include "explain.hpp"

#include <cerrno>
#include <ctime>
#include <new>
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

// The kernel puts no more than 32 KiB into one datagram of a dump, and as much as that only for a
// reader with room for it. An event or another answer is smaller.
constexpr std::size_t buffer_size = std::size_t{64} << 10U;

void must_fit(int failed) {
    if (failed != 0) {
        throw std::bad_alloc();
    }
}

// The kernel's words in the attributes behind the first \p length bytes of a message's contents.
std::string explanation_behind(nlmsghdr& message, std::size_t length) {
    if ((message.nlmsg_flags & NLM_F_ACK_TLVS) == 0 ||
        length > static_cast<std::size_t>(nlmsg_datalen(&message))) {
        return {};
    }
    const nlattr* const words =
        nlmsg_find_attr(&message, static_cast<int>(length), NLMSGERR_ATTR_MSG);
    if (words == nullptr) {
        return {};
    }
    const std::string_view text(static_cast<const char*>(nla_data(words)),
                                static_cast<std::size_t>(nla_len(words)));
    return std::string(text.substr(0, text.find('\0')));
}

} // namespace

void netlink_request::deleter::operator()(nl_msg* message) const noexcept {
    nlmsg_free(message);
}

netlink_request::netlink_request(std::uint8_t command, int flags) : message_(nlmsg_alloc()) {
    if (!message_ ||
        genlmsg_put(message_.get(), NL_AUTO_PORT, NL_AUTO_SEQ, 0, 0, NLM_F_REQUEST | flags, command,
                    LONGPIN_FAMILY_VERSION) == nullptr) {
        throw std::bad_alloc();
    }
}

void netlink_request::put(int attribute, std::optional<std::uint32_t> value) {
    if (value) {
        must_fit(nla_put_u32(message_.get(), attribute, *value));
    }
}

void netlink_request::put(int attribute, const std::string& value) {
    must_fit(nla_put_string(message_.get(), attribute, value.c_str()));
}

nlmsghdr& netlink_request::header() const noexcept {
    return *nlmsg_hdr(message_.get());
}

std::optional<answer_end> read_end(nlmsghdr& message) {
    if (message.nlmsg_type != NLMSG_ERROR && message.nlmsg_type != NLMSG_DONE) {
        return std::nullopt;
    }
    // Either has the negative errno first. Behind that of an NLMSG_ERROR is the request, or its
    // header alone.
    const void* const data = nlmsg_data(&message);
    const auto size = static_cast<std::size_t>(nlmsg_datalen(&message));
    std::size_t behind = sizeof(int);
    if (message.nlmsg_type == NLMSG_ERROR) {
        if (size < sizeof(nlmsgerr)) {
            return answer_end{.errno_value = EPROTO};
        }
        behind = sizeof(nlmsgerr);
        if ((message.nlmsg_flags & NLM_F_CAPPED) == 0) {
            behind = sizeof(int) + static_cast<const nlmsgerr*>(data)->msg.nlmsg_len;
        }
    } else if (size < behind) {
        return answer_end{}; // a dump that has nothing to say in the end
    }
    const int errno_value = -*static_cast<const int*>(data);
    return answer_end{.errno_value = errno_value,
                      .explanation =
                          errno_value == 0 ? std::string() : explanation_behind(message, behind)};
}

void for_each_message(std::span<std::byte> datagram, const std::function<void(nlmsghdr&)>& visit) {
    int left = static_cast<int>(datagram.size());
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes of the kernel
    auto* message = reinterpret_cast<nlmsghdr*>(datagram.data());
    for (; nlmsg_ok(message, left) != 0; message = nlmsg_next(message, &left)) {
        visit(*message);
    }
}

error netlink_failure(const answer_end& end, std::string_view attempted) {
    return {end.errno_value, std::string(attempted),
            explain_netlink(end.errno_value, end.explanation)};
}

error senseless_answer(std::string_view attempted) {
    return netlink_failure({.errno_value = EPROTO}, attempted);
}

result<std::unique_ptr<netlink_socket>> netlink_socket::try_open(std::string_view attempted) {
    std::unique_ptr<netlink_socket> made(new netlink_socket);
    if (const int failed = made->open()) {
        return netlink_failure({.errno_value = failed}, attempted);
    }
    if (const answer_end end = made->find_family(); end.errno_value != 0) {
        return netlink_failure(end, attempted);
    }
    return made;
}

// Begins where libnl does, and far from 0, which is in the header of events.
netlink_socket::netlink_socket()
    : sequence_(static_cast<std::uint32_t>(std::time(nullptr))), buffer_(buffer_size) {}

netlink_socket::netlink_socket(int descriptor, std::uint16_t family, std::uint32_t sequence)
    : file_(std::in_place, descriptor), family_(family), sequence_(sequence), buffer_(buffer_size) {
}

// Opens a new socket, and closes the one before. Returns 0 or the errno.
int netlink_socket::open() {
    file_.emplace(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
    if (file_->descriptor() < 0) {
        return errno;
    }
    // Errors come with an explanation, and without the request. Where that is not known, not.
    const int on = 1;
    ::setsockopt(file_->descriptor(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    ::setsockopt(file_->descriptor(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    answer_pending_ = false;
    return 0;
}

// Learns the number of the family, which is another one each time that the module is loaded.
answer_end netlink_socket::find_family() {
    netlink_request request(CTRL_CMD_GETFAMILY, NLM_F_ACK);
    request.put(CTRL_ATTR_FAMILY_NAME, std::string(LONGPIN_FAMILY_NAME));
    return exchange(request, GENL_ID_CTRL, [this](nlmsghdr& message) {
        const nlattr* const id = nlmsg_find_attr(&message, GENL_HDRLEN, CTRL_ATTR_FAMILY_ID);
        if (id == nullptr || nla_len(id) != sizeof(std::uint16_t)) {
            return false;
        }
        family_ = nla_get_u16(id);
        return true;
    });
}

result<void> netlink_socket::call(const netlink_request& request, std::string_view attempted,
                                  const visitor& visit) {
    for (;;) {
        const answer_end end = exchange(request, family_, visit);
        if (end.errno_value == 0) {
            return {};
        }
        if (end.errno_value != ENOENT) {
            return netlink_failure(end, attempted);
        }
        // Either the family has no such thing, or the module was unloaded, and perhaps loaded
        // again with another number.
        const std::uint16_t asked = family_;
        if (const answer_end found = find_family(); found.errno_value != 0) {
            return netlink_failure(found, attempted);
        }
        if (family_ == asked) {
            return {};
        }
    }
}

answer_end netlink_socket::exchange(const netlink_request& request, std::uint16_t family,
                                    const visitor& visit) {
    if (answer_pending_) { // the kernel would refuse a second dump, and send the rest of the first
        if (const int failed = open()) {
            return {.errno_value = failed};
        }
    }
    if (const int failed = send(request, family)) {
        return {.errno_value = failed};
    }
    answer_pending_ = true;
    std::optional<answer_end> end;
    bool sensible = true;
    while (!end) {
        const received got = receive();
        if (got.errno_value != 0) {
            // The kernel answers while it takes the request, and goes on with a dump while the
            // part before is received. So what is not there now will never be.
            return {.errno_value = got.errno_value == EAGAIN ? ENOBUFS : got.errno_value};
        }
        for_each_message(got.datagram, [&](nlmsghdr& message) {
            if (message.nlmsg_seq != sequence_ || end) {
                return;
            }
            end = read_end(message);
            if (!end) {
                sensible = visit(message) && sensible;
            }
        });
    }
    answer_pending_ = false;
    return sensible || end->errno_value != 0 ? *end : answer_end{.errno_value = EPROTO};
}

int netlink_socket::send(const netlink_request& request, std::uint16_t family) {
    nlmsghdr& header = request.header();
    header.nlmsg_type = family;
    header.nlmsg_seq = ++sequence_;
    // To nobody by name, which is the kernel.
    return ::send(file_->descriptor(), &header, header.nlmsg_len, 0) < 0 ? errno : 0;
}

received netlink_socket::receive() {
    for (;;) {
        sockaddr_nl sender{};
        iovec room{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
        msghdr message{};
        message.msg_name = &sender;
        message.msg_namelen = sizeof(sender);
        message.msg_iov = &room;
        message.msg_iovlen = 1;
        const ssize_t size = ::recvmsg(file_->descriptor(), &message, MSG_DONTWAIT);
        if (size < 0) {
            if (errno == EINTR) {
                continue;
            }
            return {.errno_value = errno};
        }
        if (sender.nl_pid != 0) {
            continue; // any process may send to the socket, and only the kernel is believed
        }
        if ((message.msg_flags & MSG_TRUNC) != 0) {
            return {.errno_value = EMSGSIZE};
        }
        return {.datagram = std::span(buffer_).first(static_cast<std::size_t>(size))};
    }
}

} // namespace longpin::detail
