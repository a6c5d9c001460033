// SPDX-License-Identifier: MIT
#include <longpin/event_stream.hpp>

#include "subscription.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include <poll.h>

namespace longpin {

using std::chrono::milliseconds;

event_stream::event_stream(const event_filter& filter) : event_stream(try_open(filter).value()) {}

result<event_stream> event_stream::try_open(const event_filter& filter) {
    auto subscription = detail::subscription::try_open(filter);
    if (!subscription) {
        return subscription.error();
    }
    return event_stream(std::move(*subscription));
}

event_stream::event_stream(std::unique_ptr<detail::subscription> subscription) noexcept
    : subscription_(std::move(subscription)) {}

event_stream::event_stream(event_stream&& other) noexcept = default;
event_stream& event_stream::operator=(event_stream&& other) noexcept = default;
event_stream::~event_stream() = default;

detail::subscription& event_stream::subscription() const {
    if (!subscription_) {
        detail::misused("longpin::event_stream: used after it was moved from");
    }
    return *subscription_;
}

std::optional<event> event_stream::next(std::optional<milliseconds> timeout) {
    return try_next(timeout).value();
}

result<std::optional<event>> event_stream::try_next(std::optional<milliseconds> timeout) {
    using std::chrono::steady_clock;
    detail::subscription& from = subscription();
    const auto start = steady_clock::now();
    for (;;) {
        result<std::optional<event>> taken = from.take();
        if (!taken || *taken) {
            return taken;
        }
        int wait = -1;
        if (timeout) {
            const auto passed = std::chrono::floor<milliseconds>(steady_clock::now() - start);
            if (passed >= *timeout) {
                return std::optional<event>();
            }
            wait = static_cast<int>(std::min<milliseconds::rep>((*timeout - passed).count(),
                                                                std::numeric_limits<int>::max()));
        }
        pollfd readable{.fd = from.descriptor(), .events = POLLIN};
        if (::poll(&readable, 1, wait) < 0) {
            if (errno == EINTR) {
                return std::optional<event>();
            }
            return detail::netlink_failure({.errno_value = errno}, "wait for the module's events");
        }
    }
}

int event_stream::native_handle() const {
    return subscription().descriptor();
}

} // namespace longpin
