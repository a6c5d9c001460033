// SPDX-License-Identifier: MIT
// What there is to tell of an event.
#pragma once

#include "output.hpp"
#include "pin_columns.hpp"

#include <longpin/event_stream.hpp>

#include <string>

namespace pinpin {

/// An event with all its facts: what JSON shows.
record event_fields(const longpin::event& event, pin_view& view);

/// The heads of event_line().
std::string event_heads();

/// An event in one line for people, made from its fields.
std::string event_line(const record& fields);

} // namespace pinpin
