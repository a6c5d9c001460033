// SPDX-License-Identifier: MIT
#include "lease_events.hpp"

#include "open_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>

#include <linux/longpin.h>
#include <poll.h>

namespace longpin {

std::string_view name(lease_event_type type) noexcept {
    switch (type) {
    case lease_event_type::revoking: return "revoking";
    case lease_event_type::revoked: return "revoked";
    case lease_event_type::overflow: return "overflow";
    }
    return "unknown";
}

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t room = 4096; // bytes of records that are read at once

// Bytes of a record as first published: no module gives a shorter one.
constexpr std::size_t least_record = offsetof(longpin_event, time) + sizeof(longpin_event::time);

// Waits until the file can be read. Returns 1 if it can, 0 if not, -1 with errno.
int wait_for_events(const detail::open_file& file, int timeout) noexcept {
    pollfd readable{.fd = file.descriptor(), .events = POLLIN};
    return ::poll(&readable, 1, timeout);
}

lease_event event_of(const longpin_event& record) noexcept {
    return {.type = static_cast<lease_event_type>(record.type),
            .handle = record.handle,
            .cause = static_cast<cause>(record.cause),
            .cookie = record.cookie,
            .offset = record.offset,
            .length = record.length,
            .lost = record.lost,
            .time = std::chrono::nanoseconds(record.time)};
}

// Takes the records apart, each by its own size: what a newer module says at its end is left out,
// and what an older one doesn't say there is 0. Returns 0 or EPROTO.
int take_apart(std::span<const std::byte> bytes, std::span<lease_event>& buffer) noexcept {
    std::size_t count = 0;
    while (!bytes.empty()) {
        longpin_event record{};
        if (bytes.size() < least_record || count == buffer.size()) {
            return EPROTO;
        }
        std::memcpy(&record.size, bytes.data(), sizeof(record.size));
        if (record.size < least_record || record.size > bytes.size()) {
            return EPROTO;
        }
        std::memcpy(&record, bytes.data(), std::min<std::size_t>(record.size, sizeof(record)));
        buffer[count++] = event_of(record);
        bytes = bytes.subspan(record.size);
    }
    buffer = buffer.first(count);
    return count == 0 ? EPROTO : 0;
}

// Reads without waiting if no other process reads. Leaves \p buffer empty if there is nothing.
int read_what_is_there(const detail::open_file& file, std::span<lease_event>& buffer) noexcept {
    const std::scoped_lock lock(file.reading());
    // A newer module may have longer records, and says EINVAL to a buffer that is shorter than one.
    // Room for too many would lose those that do not fit into ours.
    std::array<std::byte, room> bytes; // NOLINT(cppcoreguidelines-pro-type-member-init): filled
    for (std::size_t record = least_record;;) {
        const int ready = wait_for_events(file, 0);
        if (ready < 0 && errno != EINTR) {
            return errno;
        }
        if (ready <= 0) {
            buffer = {};
            return 0;
        }
        const std::size_t count = std::min(buffer.size(), bytes.size() / record);
        const ssize_t got =
            detail::module_calls.read(file.descriptor(), bytes.data(), count * record);
        if (got >= 0) {
            return take_apart(std::span(bytes).first(static_cast<std::size_t>(got)), buffer);
        }
        if (errno == EAGAIN) { // another process took it
            buffer = {};
            return 0;
        }
        if (errno == EINVAL && record < bytes.size()) {
            // In twice of what one did not fit into there are not two.
            record = std::min(2 * record, bytes.size());
        } else if (errno != EINTR) {
            return errno;
        }
    }
}

} // namespace

int detail::read_lease_events(const open_file& file, std::span<lease_event>& buffer,
                              std::optional<milliseconds> timeout) noexcept {
    if (buffer.empty()) {
        return EINVAL;
    }
    const auto start = steady_clock::now();
    for (;;) {
        std::span<lease_event> filled = buffer;
        if (const int failed = read_what_is_there(file, filled)) {
            return failed;
        }
        int wait = -1;
        if (timeout) {
            const auto passed = std::chrono::floor<milliseconds>(steady_clock::now() - start);
            wait = static_cast<int>(std::clamp<milliseconds::rep>((*timeout - passed).count(), 0,
                                                                  std::numeric_limits<int>::max()));
        }
        if (!filled.empty() || wait == 0) {
            buffer = filled;
            return 0;
        }
        if (wait_for_events(file, wait) < 0) {
            buffer = {};
            return errno == EINTR ? 0 : errno;
        }
    }
}

} // namespace longpin
