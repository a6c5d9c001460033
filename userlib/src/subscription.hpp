// SPDX-License-Identifier: MIT
#pragma once

#include "event_queue.hpp"
#include "netlink_socket.hpp"

#include <longpin/event_stream.hpp>

#include <memory>
#include <optional>

struct nlmsghdr;

namespace longpin::detail {

/// A socket to which the module sends events, and what came from it.
class subscription {
public:
    /// On a socket of its own, with room for many events.
    static result<std::unique_ptr<subscription>> try_open(const event_filter& filter);

    explicit subscription(std::unique_ptr<netlink_socket> socket) noexcept;

    /// Asks for the events that match.
    result<void> subscribe(const event_filter& filter);

    /// The next event that is there. Does not wait.
    result<std::optional<event>> take();

    [[nodiscard]] int descriptor() const noexcept { return socket_->descriptor(); }

private:
    void read(nlmsghdr& message);
    [[nodiscard]] bool is_end_of_family(nlmsghdr& message) const;

    std::unique_ptr<netlink_socket> socket_;
    event_queue queue_;
    int failed_ = 0; // the errno, from then on
};

} // namespace longpin::detail
