// SPDX-License-Identifier: MIT
// Compiled with -fno-exceptions and -fno-rtti, as are programs that forbid them.
#include "no_exceptions.hpp"

#include <longpin/longpin.hpp>

#include <array>
#include <utility>

namespace {

int errno_of(const longpin::error& failure) {
    return failure.code().value();
}

} // namespace

int use_without_exceptions(const std::string& path, std::span<std::byte> memory) {
    const longpin::result<longpin::device> device = longpin::device::try_open(path);
    if (!device) {
        return errno_of(device.error());
    }
    if (const auto info = device->try_info(); !info) {
        return errno_of(info.error());
    }
    if (const auto cost = device->try_check_writable(memory); !cost) {
        return errno_of(cost.error());
    }
    longpin::result<longpin::pin> tried = device->try_pin_writable(memory);
    if (!tried) {
        return errno_of(tried.error());
    }
    longpin::pin pin = std::move(*tried);
    if (const auto written = pin.try_write(0, memory); !written) {
        return errno_of(written.error());
    }
    if (const auto read = pin.try_read(0, memory); !read) {
        return errno_of(read.error());
    }
    if (const auto info = device->try_next_event(std::chrono::milliseconds(0)); !info) {
        return errno_of(info.error());
    }
    if (const auto generation = longpin::generation::try_make(*device); !generation) {
        return errno_of(generation.error());
    }
    if (const auto info = pin.try_query(); !info) {
        return errno_of(info.error());
    }
    std::array<longpin::extent, 4> extents;
    for (std::uint64_t offset = 0; offset < pin.length();) {
        const auto listed = pin.try_extents(offset, extents);
        if (!listed) {
            return errno_of(listed.error());
        }
        offset = listed->next;
    }
    if (const auto unpinned = pin.try_unpin(); !unpinned) {
        return errno_of(unpinned.error());
    }
    if (const auto pieces = longpin::try_pin_parallel_writable(*device, memory); !pieces) {
        return errno_of(pieces.error());
    }
    const auto buffer = longpin::pinned_buffer::try_make(*device, memory.size());
    if (!buffer) {
        return errno_of(buffer.error());
    }
    longpin::result<longpin::device> own = longpin::device::try_open(path);
    if (!own) {
        return errno_of(own.error());
    }
    const auto cache = longpin::registration_cache::try_make(std::move(*own));
    if (!cache) {
        return errno_of(cache.error());
    }
    const auto registered = cache->try_get_writable(buffer->bytes());
    return registered && registered->valid() ? 0 : errno_of(registered.error());
}
