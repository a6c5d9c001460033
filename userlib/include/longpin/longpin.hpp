// SPDX-License-Identifier: MIT
/// \file
/// All of liblongpin: memory held in place through /dev/longpin.
///
/// A device is opened, and makes pins; a pin holds the pages of a range of the
/// process's memory until it is destroyed, whatever is unmapped meanwhile:
///
///     longpin::device device;
///     longpin::pin held = device.pin(std::as_bytes(std::span(buffer)));
///
/// Memory of the program's own is mapped and pinned at once:
///
///     longpin::pinned_buffer buffer(device, 1U << 20U);
///
/// Failures are exceptions, longpin::error; the members whose names begin with try_
/// return them instead, for programs without exceptions.
#pragma once

#include <longpin/cause.hpp>
#include <longpin/device.hpp>
#include <longpin/error.hpp>
#include <longpin/event_stream.hpp>
#include <longpin/extent.hpp>
#include <longpin/generation.hpp>
#include <longpin/inventory.hpp>
#include <longpin/lease_event.hpp>
#include <longpin/memory_kind.hpp>
#include <longpin/parallel.hpp>
#include <longpin/pin.hpp>
#include <longpin/pinned_allocator.hpp>
#include <longpin/pinned_buffer.hpp>
#include <longpin/registration_cache.hpp>
#include <longpin/result.hpp>
#include <longpin/size.hpp>
#include <longpin/version.hpp>
