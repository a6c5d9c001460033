// SPDX-License-Identifier: MIT
#include <longpin/device.hpp>

#include "explain.hpp"
#include "lease_events.hpp"
#include "open_file.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include <linux/longpin.h>

namespace longpin {

using std::chrono::milliseconds;

namespace {

usage make_usage(std::uint64_t used, std::uint64_t limit) {
    return {.used = used,
            .limit = limit == LONGPIN_UNLIMITED ? std::nullopt : std::optional(limit)};
}

longpin_pin make_request(std::span<const std::byte> range, const pin_options& options,
                         std::uint32_t flags) {
    longpin_pin request{};
    request.size = sizeof(request);
    request.flags = flags | (options.lease ? LONGPIN_PIN_LEASE : 0U);
    request.cookie = options.cookie;
    request.grace_ms = static_cast<std::uint32_t>(std::clamp<milliseconds::rep>(
        options.grace.count(), 0, std::numeric_limits<std::uint32_t>::max()));
    if (options.eventfd != -1) {
        request.flags |= LONGPIN_PIN_EVENTFD;
        request.eventfd = options.eventfd;
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the kernel wants a number
    request.addr = reinterpret_cast<std::uintptr_t>(range.data());
    request.length = range.size();
    return request;
}

footprint footprint_of(const longpin_pin& answer) {
    return {.kinds = static_cast<memory_kind>(answer.out_kinds),
            .pages = answer.out_pages,
            .runs = answer.out_runs,
            .bookkeeping = answer.out_bookkeeping};
}

error refused(const longpin_pin& answer, int errno_value) {
    return detail::failure(LONGPIN_PIN, errno_value,
                           fmt::format("pin {} at {:#x}", format_size(answer.length), answer.addr),
                           detail::refusal_of(answer));
}

result<footprint> dry_run(const detail::open_file& file, std::span<const std::byte> range,
                          const pin_options& options, std::uint32_t flags) {
    longpin_pin request = make_request(range, options, flags | LONGPIN_PIN_DRY_RUN);
    if (const int failed = file.call(LONGPIN_PIN, &request)) {
        return refused(request, failed);
    }
    return footprint_of(request);
}

// A refusal is an answer; other errors are none.
check_result answer(const result<footprint>& tried) {
    if (tried) {
        return *tried;
    }
    if (tried.error().reason() == reason::none) {
        detail::raise(tried.error());
    }
    return tried.error();
}

} // namespace

device::device(const std::string& path) : device(try_open(path).value()) {}

result<device> device::try_open(const std::string& path) {
    auto file = std::make_shared<const detail::open_file>(path.c_str());
    if (file->descriptor() < 0) {
        const int failed = errno;
        return error(failed, "open " + path, detail::explain_open(path, failed));
    }
    return device(std::move(file));
}

device::device(std::shared_ptr<const detail::open_file> file) noexcept : file_(std::move(file)) {}

device device::adopt(int descriptor) {
    return device(std::make_shared<const detail::open_file>(descriptor));
}

const detail::open_file& device::file() const {
    if (!file_) {
        detail::misused("longpin::device: used after it was moved from");
    }
    return *file_;
}

int device::native_handle() const {
    return file().descriptor();
}

device_info device::info() const {
    return try_info().value();
}

result<device_info> device::try_info() const {
    longpin_info request{};
    request.size = sizeof(request);
    if (const int failed = file().call(LONGPIN_INFO, &request)) {
        return detail::failure(LONGPIN_INFO, failed, "ask the module what it offers");
    }
    const std::span version(request.out_version);
    return device_info{
        .version{version.begin(), std::ranges::find(version, '\0')},
        .page_size = request.out_page_size,
        .pin_flags = request.out_pin_flags,
        .memlock = make_usage(request.out_memlock_used, request.out_memlock_limit),
        .pinned = make_usage(request.out_max_pages_used, request.out_max_pages_limit),
        .pins = make_usage(request.out_max_pins_used, request.out_max_pins_limit),
        .user_pinned =
            make_usage(request.out_max_user_pages_used, request.out_max_user_pages_limit),
        .leases = (request.out_pin_flags & LONGPIN_PIN_LEASE) != 0,
        .max_grace = milliseconds(request.out_max_grace_ms)};
}

result<longpin::pin> device::take(std::span<const std::byte> range, const pin_options& options,
                                  std::uint32_t flags) const {
    longpin_pin request = make_request(range, options, flags);
    if (const int failed = file().call(LONGPIN_PIN, &request)) {
        return refused(request, failed);
    }
    return longpin::pin(file_, {.handle = request.out_handle,
                                .address = request.addr,
                                .length = request.length,
                                .cookie = request.cookie,
                                .writable = (flags & LONGPIN_PIN_WRITE) != 0,
                                .footprint = footprint_of(request),
                                .lease = options.lease,
                                .grace = milliseconds(request.grace_ms)});
}

longpin::pin device::pin(std::span<const std::byte> range, const pin_options& options) const {
    return try_pin(range, options).value();
}

result<longpin::pin> device::try_pin(std::span<const std::byte> range,
                                     const pin_options& options) const {
    return take(range, options, 0);
}

longpin::pin device::pin_writable(std::span<std::byte> range, const pin_options& options) const {
    return try_pin_writable(range, options).value();
}

result<longpin::pin> device::try_pin_writable(std::span<std::byte> range,
                                              const pin_options& options) const {
    return take(range, options, LONGPIN_PIN_WRITE);
}

check_result device::check(std::span<const std::byte> range, const pin_options& options) const {
    return answer(try_check(range, options));
}

result<footprint> device::try_check(std::span<const std::byte> range,
                                    const pin_options& options) const {
    return dry_run(file(), range, options, 0);
}

check_result device::check_writable(std::span<std::byte> range, const pin_options& options) const {
    return answer(try_check_writable(range, options));
}

result<footprint> device::try_check_writable(std::span<std::byte> range,
                                             const pin_options& options) const {
    return dry_run(file(), range, options, LONGPIN_PIN_WRITE);
}

std::optional<lease_event> device::next_event(std::optional<milliseconds> timeout) const {
    return try_next_event(timeout).value();
}

result<std::optional<lease_event>>
device::try_next_event(std::optional<milliseconds> timeout) const {
    lease_event event;
    const auto read = try_read_events(std::span(&event, 1), timeout);
    if (!read) {
        return read.error();
    }
    return read->empty() ? std::nullopt : std::optional(event);
}

std::span<lease_event> device::read_events(std::span<lease_event> buffer,
                                           std::optional<milliseconds> timeout) const {
    return try_read_events(buffer, timeout).value();
}

result<std::span<lease_event>> device::try_read_events(std::span<lease_event> buffer,
                                                       std::optional<milliseconds> timeout) const {
    if (const int failed = detail::read_lease_events(file(), buffer, timeout)) {
        return error(failed, "read the events of leases", detail::explain_read(failed));
    }
    return buffer;
}

} // namespace longpin
