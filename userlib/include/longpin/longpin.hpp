// SPDX-License-Identifier: MIT
/// \file
/// All of liblongpin: memory held in place through /dev/longpin.
///
/// A device is opened, and makes pins; a pin holds the pages of a range of the
/// process's memory until it is destroyed, whatever is unmapped meanwhile:
///
///     longpin::device device;
///     longpin::pin held = device.pin(std::as_bytes(std::span(buffer)));
#pragma once

#include <longpin/device.hpp>
#include <longpin/error.hpp>
#include <longpin/extent.hpp>
#include <longpin/memory_kind.hpp>
#include <longpin/pin.hpp>
#include <longpin/size.hpp>
#include <longpin/version.hpp>
