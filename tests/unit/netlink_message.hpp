// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>

#include <linux/longpin_netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

/// A message in memory, put together as the kernel does it.
class netlink_message {
public:
    /// The number that the family longpin has here.
    static constexpr std::uint16_t family = 30;

    /// One of a generic netlink family, of that command.
    static netlink_message of_command(std::uint8_t command, std::uint16_t of_family = family) {
        netlink_message made;
        made.must(genlmsg_put(made.message_.get(), 0, 0, of_family, 0, 0, command,
                              LONGPIN_FAMILY_VERSION) != nullptr);
        return made;
    }

    /// One of netlink itself, with what stands before its attributes.
    template <typename Contents>
    static netlink_message of_type(int type, int flags, Contents contents) {
        netlink_message made;
        made.must(nlmsg_put(made.message_.get(), 0, 0, type, 0, flags) != nullptr);
        made.must(nlmsg_append(made.message_.get(), &contents, sizeof(contents), NLMSG_ALIGNTO) ==
                  0);
        return made;
    }

    /// Gives it that sequence number.
    netlink_message& numbered(std::uint32_t sequence) {
        header().nlmsg_seq = sequence;
        return *this;
    }

    netlink_message& u16(int attribute, std::uint16_t value) {
        return must(nla_put_u16(message_.get(), attribute, value) == 0);
    }

    netlink_message& u32(int attribute, std::uint32_t value) {
        return must(nla_put_u32(message_.get(), attribute, value) == 0);
    }

    netlink_message& u64(int attribute, std::uint64_t value) {
        return must(nla_put_u64(message_.get(), attribute, value) == 0);
    }

    netlink_message& text(int attribute, const char* value) {
        return must(nla_put_string(message_.get(), attribute, value) == 0);
    }

    netlink_message& flag(int attribute) {
        return must(nla_put_flag(message_.get(), attribute) == 0);
    }

    /// An attribute of those bytes, whatever they mean.
    netlink_message& bytes(int attribute, std::string_view value) {
        return must(
            nla_put(message_.get(), attribute, static_cast<int>(value.size()), value.data()) == 0);
    }

    netlink_message& nest(int attribute, const std::function<void(netlink_message&)>& fill) {
        nlattr* const start = nla_nest_start(message_.get(), attribute);
        must(start != nullptr);
        fill(*this);
        return must(nla_nest_end_keep_empty(message_.get(), start) == 0);
    }

    [[nodiscard]] nlmsghdr& header() const { return *nlmsg_hdr(message_.get()); }

    /// As it stands in a datagram.
    [[nodiscard]] std::span<const std::byte> bytes() const {
        return {reinterpret_cast<const std::byte*>(&header()), NLMSG_ALIGN(header().nlmsg_len)};
    }

private:
    netlink_message() : message_(nlmsg_alloc(), nlmsg_free) {}

    netlink_message& must(bool done) {
        if (!done) {
            throw std::runtime_error("libnl could not put a message together");
        }
        return *this;
    }

    std::unique_ptr<nl_msg, void (*)(nl_msg*)> message_;
};
