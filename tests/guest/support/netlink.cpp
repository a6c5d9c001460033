// SPDX-License-Identifier: MIT
#include "netlink.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace guest {

namespace {

/// The structure that some bytes start with.
template <typename T>
T head(std::span<const std::byte> bytes) {
    if (bytes.size() < sizeof(T)) {
        throw std::runtime_error("a netlink message is cut off");
    }
    T value{};
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

template <typename T>
T number(std::span<const std::byte> bytes) {
    if (bytes.size() != sizeof(T)) {
        throw std::runtime_error("a netlink attribute is of another length");
    }
    return head<T>(bytes);
}

template <typename T>
void append(std::vector<std::byte>& bytes, const T& value) {
    const auto added = std::as_bytes(std::span(&value, 1));
    bytes.insert(bytes.end(), added.begin(), added.end());
}

constexpr std::size_t aligned(std::size_t length) {
    return (length + NLA_ALIGNTO - 1) / NLA_ALIGNTO * NLA_ALIGNTO;
}

/// Cuts the next piece off, and its padding with it.
std::span<const std::byte> cut(std::span<const std::byte>& bytes, std::size_t length) {
    if (length > bytes.size()) {
        throw std::runtime_error("a netlink message is cut off");
    }
    const auto piece = bytes.first(length);
    bytes = bytes.subspan(std::min(aligned(length), bytes.size()));
    return piece;
}

/// Shows each attribute, as its type and its content.
template <typename Visit>
void walk(std::span<const std::byte> bytes, const Visit& visit) {
    while (!bytes.empty()) {
        const auto header = head<nlattr>(bytes);
        const auto attribute = cut(bytes, std::max<std::size_t>(header.nla_len, sizeof(nlattr)));
        visit(header.nla_type & NLA_TYPE_MASK, attribute.subspan(sizeof(nlattr)));
    }
}

/// Fills in what the extended acknowledgement in \p tail says of \p request.
void read_extack(const netlink_attributes& tail, std::span<const std::byte> request,
                 netlink_answer& answer) {
    if (tail.has(NLMSGERR_ATTR_MSG)) {
        answer.message = tail.string(NLMSGERR_ATTR_MSG);
    }
    if (tail.has(NLMSGERR_ATTR_OFFS)) {
        const std::size_t offset = tail.u32(NLMSGERR_ATTR_OFFS);
        const auto there = request.subspan(std::min(offset, request.size()));
        answer.attribute = head<nlattr>(there).nla_type & NLA_TYPE_MASK;
    }
    if (tail.has(NLMSGERR_ATTR_MISS_TYPE)) {
        answer.missing = tail.u32(NLMSGERR_ATTR_MISS_TYPE);
    }
}

} // namespace

bool netlink_attributes::has(int type) const {
    return types().contains(type);
}

std::set<int> netlink_attributes::types() const {
    std::set<int> found;
    walk(bytes_, [&](int type, auto) { found.insert(type); });
    return found;
}

std::vector<std::pair<int, netlink_attributes>> netlink_attributes::each() const {
    std::vector<std::pair<int, netlink_attributes>> found;
    walk(bytes_, [&](int type, auto content) {
        found.emplace_back(type, netlink_attributes(owner_, content));
    });
    return found;
}

std::span<const std::byte> netlink_attributes::only(int type) const {
    std::optional<std::span<const std::byte>> found;
    int count = 0;
    walk(bytes_, [&](int each_type, auto content) {
        if (each_type == type) {
            found = content;
            count++;
        }
    });
    if (count != 1) {
        throw std::runtime_error(std::to_string(count) + " netlink attributes of type " +
                                 std::to_string(type));
    }
    return *found;
}

std::uint16_t netlink_attributes::u16(int type) const {
    return number<std::uint16_t>(only(type));
}

std::uint32_t netlink_attributes::u32(int type) const {
    return number<std::uint32_t>(only(type));
}

std::uint64_t netlink_attributes::u64(int type) const {
    return number<std::uint64_t>(only(type));
}

std::string netlink_attributes::string(int type) const {
    const auto content = only(type);
    if (content.empty() || content.back() != std::byte{0}) {
        throw std::runtime_error("a netlink string has no end");
    }
    return reinterpret_cast<const char*>(content.data());
}

netlink_attributes netlink_attributes::nest(int type) const {
    return {owner_, only(type)};
}

netlink_request::netlink_request(std::uint16_t type, std::uint8_t command, std::uint16_t flags) {
    append(bytes_, nlmsghdr{sizeof(nlmsghdr) + sizeof(genlmsghdr), type,
                            static_cast<std::uint16_t>(flags | NLM_F_REQUEST), 0, 0});
    append(bytes_, genlmsghdr{command, LONGPIN_FAMILY_VERSION, 0});
}

netlink_request& netlink_request::add(std::uint16_t attribute, std::span<const std::byte> content) {
    append(bytes_, nlattr{static_cast<std::uint16_t>(sizeof(nlattr) + content.size()), attribute});
    bytes_.insert(bytes_.end(), content.begin(), content.end());
    bytes_.resize(aligned(bytes_.size()));
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &length, sizeof(length)); // nlmsg_len is first
    return *this;
}

netlink_request& netlink_request::add(std::uint16_t attribute, std::uint32_t value) {
    return add(attribute, std::as_bytes(std::span(&value, 1)));
}

netlink_request& netlink_request::add(std::uint16_t attribute, const std::string& value) {
    return add(attribute, std::as_bytes(std::span(value.c_str(), value.size() + 1)));
}

const netlink_attributes& netlink_answer::only() const& {
    if (messages.size() != 1) {
        throw std::runtime_error("not one message but " + std::to_string(messages.size()) +
                                 ", errno " + std::to_string(err) + ": " + message);
    }
    return messages.front().attributes;
}

netlink_attributes netlink_answer::only() && {
    return std::as_const(*this).only();
}

netlink_socket::netlink_socket()
    : file_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC)) {
    must(descriptor() >= 0, "netlink socket");
    const sockaddr_nl address{AF_NETLINK, 0, 0, 0};
    must(::bind(descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
         "bind");
    const int on = 1;
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK}) {
        must(::setsockopt(descriptor(), SOL_NETLINK, option, &on, sizeof(on)) == 0, "setsockopt");
    }
}

void netlink_socket::send(std::span<const std::byte> message) {
    sent_.assign(message.begin(), message.end());
    must(::send(descriptor(), message.data(), message.size(), 0) ==
             static_cast<ssize_t>(message.size()),
         "netlink send");
}

bool netlink_socket::receive(netlink_answer& answer) {
    pollfd ready{descriptor(), POLLIN, 0};
    if (::poll(&ready, 1, 20000) != 1) {
        throw std::runtime_error("no answer over netlink");
    }
    const auto datagram = std::make_shared<std::vector<std::byte>>(room_);
    const ssize_t got = ::recv(descriptor(), datagram->data(), datagram->size(), MSG_TRUNC);
    must(got >= 0, "netlink recv");
    if (static_cast<std::size_t>(got) > datagram->size()) {
        throw std::runtime_error("a netlink datagram of " + std::to_string(got) + " bytes");
    }
    datagram->resize(static_cast<std::size_t>(got));
    bool last = false;
    for (std::span<const std::byte> rest = *datagram; !rest.empty();) {
        const auto header = head<nlmsghdr>(rest);
        const auto payload = cut(rest, std::max<std::size_t>(header.nlmsg_len, sizeof(nlmsghdr)))
                                 .subspan(sizeof(nlmsghdr));
        if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
            last = true;
            answer.err = -head<int>(payload);
            if (header.nlmsg_flags & NLM_F_ACK_TLVS) {
                // An error repeats the header of the request, the end of a dump doesn't.
                const std::size_t tail =
                    header.nlmsg_type == NLMSG_ERROR ? sizeof(nlmsgerr) : sizeof(int);
                read_extack({datagram, payload.subspan(tail)}, sent_, answer);
            }
        } else {
            const auto generic = head<genlmsghdr>(payload);
            const netlink_message message{
                header.nlmsg_type,
                generic.cmd,
                generic.version,
                header.nlmsg_flags,
                header.nlmsg_seq,
                header.nlmsg_pid,
                netlink_attributes(datagram, payload.subspan(sizeof(genlmsghdr)))};
            if (message.type != GENL_ID_CTRL && message.command >= LONGPIN_CMD_PINNED_NTF) {
                events_.push_back(message);
            } else {
                answer.messages.push_back(message);
            }
        }
    }
    return last;
}

netlink_answer netlink_socket::ask(const netlink_request& request) {
    send(request.bytes());
    netlink_answer answer;
    while (!receive(answer)) {
    }
    return answer;
}

netlink_answer netlink_socket::get(std::uint8_t command, const netlink_filters& attributes) {
    return ask(longpin_request(command, NLM_F_ACK, attributes));
}

netlink_answer netlink_socket::dump(std::uint8_t command, const netlink_filters& attributes) {
    return ask(longpin_request(command, NLM_F_DUMP, attributes));
}

std::optional<netlink_message> netlink_socket::event(int milliseconds) {
    pollfd ready{descriptor(), POLLIN, 0};
    if (events_.empty() && ::poll(&ready, 1, milliseconds) == 1) {
        netlink_answer none;
        receive(none);
    }
    if (events_.empty()) {
        return {};
    }
    netlink_message first = events_.front();
    events_.pop_front();
    return first;
}

void netlink_socket::set_buffer(int bytes) const {
    must(::setsockopt(descriptor(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0,
         "SO_RCVBUFFORCE");
}

netlink_request longpin_request(std::uint8_t command, std::uint16_t flags,
                                const netlink_filters& attributes) {
    netlink_request request(longpin_family(), command, flags);
    for (const auto& [type, value] : attributes) {
        request.add(type, value);
    }
    return request;
}

netlink_answer find_family(const std::string& name) {
    return netlink_socket().ask(netlink_request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK)
                                    .add(CTRL_ATTR_FAMILY_NAME, name));
}

std::uint16_t longpin_family() {
    return find_family(LONGPIN_FAMILY_NAME).only().u16(CTRL_ATTR_FAMILY_ID);
}

pin_id id_of(const netlink_message& message) {
    return {message.attributes.u32(LONGPIN_A_PIN_CONTEXT),
            message.attributes.u32(LONGPIN_A_PIN_HANDLE)};
}

std::vector<pin_id> ids_of(const netlink_answer& answer) {
    std::vector<pin_id> ids;
    for (const netlink_message& message : answer.messages) {
        ids.push_back(id_of(message));
    }
    return ids;
}

std::uint32_t context_of(const raw_device& device) {
    return static_cast<std::uint32_t>(fdinfo("self", device.descriptor(), "longpin-context"));
}

std::uint64_t fdinfo(const std::string& process, int descriptor, const std::string& key) {
    const std::string path = "/proc/" + process + "/fdinfo/" + std::to_string(descriptor);
    std::ifstream lines(path);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(key + ":\t")) {
            return std::stoull(line.substr(key.size() + 2));
        }
    }
    throw std::runtime_error(path + " has no " + key);
}

} // namespace guest
