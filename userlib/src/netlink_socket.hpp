// SPDX-License-Identifier: MIT
// The one way to the module's generic netlink family.
//
// libnl builds and reads the messages. They are sent and received here, since its receive
// functions tell a full buffer (ENOBUFS) from a lack of memory no more, pass over the error at the
// end of a dump, copy every message, and call back through C, which no exception may cross.
#pragma once

#include "open_file.hpp"

#include <longpin/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct nl_msg;
struct nlmsghdr;

namespace longpin::detail {

/// A request that is being put together. Members throw std::bad_alloc.
class netlink_request {
public:
    /// \param flags  NLM_F_*, beside NLM_F_REQUEST
    explicit netlink_request(std::uint8_t command, int flags = 0);

    /// Adds an attribute; an empty one is left out.
    void put(int attribute, std::optional<std::uint32_t> value);
    void put(int attribute, const std::string& value);

    [[nodiscard]] nlmsghdr& header() const noexcept;

private:
    struct deleter {
        void operator()(nl_msg* message) const noexcept;
    };
    std::unique_ptr<nl_msg, deleter> message_;
};

/// How an answer ended.
struct answer_end {
    int errno_value = 0;     ///< 0: well
    std::string explanation; ///< the kernel's own words for the errno; may be empty
};

/// What a message says of the end of the answer that it belongs to; empty if it is a
/// part of the answer.
std::optional<answer_end> read_end(nlmsghdr& message);

/// Calls \p visit with each message in a datagram.
void for_each_message(std::span<std::byte> datagram, const std::function<void(nlmsghdr&)>& visit);

/// What came of an attempt to receive.
struct received {
    int errno_value = 0;           ///< 0: a datagram came; EAGAIN: there is none now
    std::span<std::byte> datagram; ///< good until the next attempt
};

/// A generic netlink socket that knows the number of the module's family.
class netlink_socket {
public:
    /// Given each message of an answer. Returns whether it makes sense.
    using visitor = std::function<bool(nlmsghdr&)>;

    /// Opens a socket and finds the family. \p attempted stands in the error.
    static result<std::unique_ptr<netlink_socket>> try_open(std::string_view attempted);

    /// Takes over a socket that was opened elsewhere. Only the unit tests do so, to be the
    /// kernel at its other end. The number \p sequence is that of the request before the first.
    netlink_socket(int descriptor, std::uint16_t family, std::uint32_t sequence);

    [[nodiscard]] int descriptor() const noexcept { return file_->descriptor(); }
    [[nodiscard]] std::uint16_t family() const noexcept { return family_; }

    /// Sends \p request to the family, and visits the messages of the whole answer. That
    /// the family has no such thing (ENOENT) is an answer without messages. What the
    /// visitor throws passes through; the next call isn't disturbed by what was left over then.
    result<void> call(const netlink_request& request, std::string_view attempted,
                      const visitor& visit);

    /// Sends \p request, and leaves the answer to be received. Returns 0 or the errno.
    int send(const netlink_request& request, std::uint16_t family);

    /// Takes a datagram that has come from the kernel. Does not wait.
    received receive();

private:
    netlink_socket();

    int open();
    answer_end find_family();
    answer_end exchange(const netlink_request& request, std::uint16_t family, const visitor& visit);

    std::optional<open_file> file_;
    std::uint16_t family_ = 0;
    std::uint32_t sequence_;
    bool answer_pending_ = false; // a part of an answer may be under way
    std::vector<std::byte> buffer_;
};

/// The failure of something that was asked of the family.
error netlink_failure(const answer_end& end, std::string_view attempted);

/// The same, for an answer that can't be read.
error senseless_answer(std::string_view attempted);

} // namespace longpin::detail
