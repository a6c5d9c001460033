// SPDX-License-Identifier: MIT
#include "event_queue.hpp"

#include "records.hpp"

#include <utility>

namespace longpin::detail {

bool event_queue::add(nlmsghdr& message) {
    if (const auto number = number_of_event(message)) {
        if (next_number_ && *number != *next_number_) {
            waiting_.push_back({.time = std::chrono::system_clock::now(), .what = lost_events{}});
        }
        next_number_ = *number + 1;
    }
    if (!is_event(message)) {
        return true;
    }
    std::optional<event> happened = read_event(message);
    if (happened) {
        waiting_.push_back(std::move(*happened));
    }
    return happened.has_value();
}

void event_queue::overflowed() {
    drained(); // the one before is over, or it could not have overflowed again
    overflow_ = std::chrono::system_clock::now();
}

void event_queue::drained() {
    if (overflow_) {
        waiting_.push_back({.time = *overflow_, .what = lost_events{}});
        overflow_.reset();
        next_number_.reset(); // the gap is yet to come
    }
}

std::optional<event> event_queue::take() {
    if (waiting_.empty()) {
        return std::nullopt;
    }
    event next = std::move(waiting_.front());
    waiting_.pop_front();
    return next;
}

} // namespace longpin::detail
