// SPDX-License-Identifier: MIT
// Messages of the family as records. Pure functions: they read what was received.
//
// Attributes that are not known are passed over, and so are those that are missing, but for
// those without which a record is none. The answer is empty for a message that is malformed.
#pragma once

#include <longpin/event_stream.hpp>
#include <longpin/inventory.hpp>

#include <cstdint>
#include <optional>

struct nlmsghdr;

namespace longpin::detail {

/// A pin, as LONGPIN_CMD_PIN_GET answers.
std::optional<pin_record> read_pin(nlmsghdr& message);

/// A context, as LONGPIN_CMD_CONTEXT_GET answers.
std::optional<context_record> read_context(nlmsghdr& message);

/// The statistics, as LONGPIN_CMD_STATS_GET answers.
std::optional<longpin::statistics> read_statistics(nlmsghdr& message);

/// Whether a message of the family is an event that this version of the library knows.
bool is_event(nlmsghdr& message);

/// The number of an event in its subscription. Empty for what is none, and has no number.
std::optional<std::uint32_t> number_of_event(nlmsghdr& message);

/// An event, if the message is_event().
std::optional<event> read_event(nlmsghdr& message);

} // namespace longpin::detail
