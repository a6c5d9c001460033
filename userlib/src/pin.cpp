// SPDX-License-Identifier: MIT
#include <longpin/pin.hpp>

#include "list_extents.hpp"
#include "open_file.hpp"

#include <longpin/error.hpp>
#include <longpin/size.hpp>

#include <fmt/format.h>

#include <utility>

#include <linux/longpin.h>

namespace longpin {

namespace {

// Moves bytes between a buffer and the held pages.
result<void> copy(const detail::open_file& file, std::uint32_t handle, std::uint32_t flags,
                  std::uint64_t offset, std::span<const std::byte> buffer) {
    longpin_copy request{};
    request.size = sizeof(request);
    request.flags = flags;
    request.handle = handle;
    request.offset = offset;
    request.length = buffer.size();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the kernel wants a number
    request.buffer = reinterpret_cast<std::uintptr_t>(buffer.data());
    if (const int failed = file.call(LONGPIN_COPY, &request)) {
        return detail::failure(LONGPIN_COPY, failed,
                               fmt::format("{} {} at offset {} of pin {}",
                                           flags == LONGPIN_COPY_WRITE ? "write" : "read",
                                           format_size(buffer.size()), offset, handle));
    }
    return {};
}

} // namespace

pin::pin(std::shared_ptr<const detail::open_file> file, const pin_info& info) noexcept
    : file_(std::move(file)), info_(info) {}

pin::pin(pin&& other) noexcept = default;

pin& pin::operator=(pin&& other) noexcept {
    if (this != &other) {
        reset();
        file_ = std::move(other.file_);
        info_ = other.info_;
    }
    return *this;
}

pin::~pin() {
    reset();
}

pin::operator bool() const noexcept {
    return file_ != nullptr;
}

const detail::open_file& pin::file() const {
    if (!file_) {
        detail::misused("longpin::pin: used while it holds nothing");
    }
    return *file_;
}

std::uint32_t pin::handle() const {
    static_cast<void>(file());
    return info_.handle;
}

std::uint64_t pin::address() const {
    static_cast<void>(file());
    return info_.address;
}

std::uint64_t pin::length() const {
    static_cast<void>(file());
    return info_.length;
}

const longpin::footprint& pin::footprint() const {
    static_cast<void>(file());
    return info_.footprint;
}

pin_info pin::query() const {
    return try_query().value();
}

result<pin_info> pin::try_query() const {
    longpin_query request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    if (const int failed = file().call(LONGPIN_QUERY, &request)) {
        return detail::failure(LONGPIN_QUERY, failed, fmt::format("query pin {}", info_.handle));
    }
    return pin_info{.handle = request.handle,
                    .address = request.out_addr,
                    .length = request.out_length,
                    .cookie = request.out_cookie,
                    .writable = (request.out_pin_flags & LONGPIN_PIN_WRITE) != 0,
                    .footprint{.kinds = static_cast<memory_kind>(request.out_kinds),
                               .pages = request.out_pages,
                               .runs = request.out_runs,
                               .bookkeeping = request.out_bookkeeping},
                    .lease = (request.out_pin_flags & LONGPIN_PIN_LEASE) != 0,
                    .grace = std::chrono::milliseconds(request.out_grace_ms),
                    .revoked_pages = request.out_revoked_pages};
}

void pin::read(std::uint64_t offset, std::span<std::byte> buffer) const {
    try_read(offset, buffer).value();
}

result<void> pin::try_read(std::uint64_t offset, std::span<std::byte> buffer) const {
    return copy(file(), info_.handle, 0, offset, buffer);
}

void pin::write(std::uint64_t offset, std::span<const std::byte> buffer) const {
    try_write(offset, buffer).value();
}

result<void> pin::try_write(std::uint64_t offset, std::span<const std::byte> buffer) const {
    return copy(file(), info_.handle, LONGPIN_COPY_WRITE, offset, buffer);
}

extent_range pin::extents() const {
    static_cast<void>(file());
    return {file_, info_.handle, info_.length};
}

result<extent_page> pin::try_extents(std::uint64_t offset, std::span<extent> buffer) const {
    return detail::list_extents(file(), info_.handle, info_.length, offset, buffer);
}

std::uint64_t pin::repin(std::uint64_t offset, std::uint64_t length) const {
    return try_repin(offset, length).value();
}

result<std::uint64_t> pin::try_repin(std::uint64_t offset, std::uint64_t length) const {
    longpin_repin request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    request.offset = offset;
    request.length = length;
    if (const int failed = file().call(LONGPIN_REPIN, &request)) {
        return detail::failure(LONGPIN_REPIN, failed, fmt::format("repin pin {}", info_.handle),
                               detail::refusal_of(request));
    }
    return request.out_repinned;
}

std::uint64_t pin::let_go(std::uint64_t offset, std::uint64_t length) const {
    return try_let_go(offset, length).value();
}

result<std::uint64_t> pin::try_let_go(std::uint64_t offset, std::uint64_t length) const {
    longpin_let_go request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    request.offset = offset;
    request.length = length;
    if (const int failed = file().call(LONGPIN_LET_GO, &request)) {
        return detail::failure(LONGPIN_LET_GO, failed,
                               fmt::format("let go of {} at offset {} of pin {}",
                                           format_size(length), offset, info_.handle));
    }
    return request.out_pages;
}

void pin::unpin() {
    try_unpin().value();
}

result<void> pin::try_unpin() {
    static_cast<void>(file());
    if (const int failed = end()) {
        return detail::failure(LONGPIN_UNPIN, failed, fmt::format("unpin pin {}", info_.handle));
    }
    file_.reset();
    return {};
}

void pin::reset() noexcept {
    if (file_) {
        end();
        file_.reset();
    }
}

// Asks the kernel to end the pin, which is not empty. Returns 0 or the errno.
int pin::end() noexcept {
    longpin_unpin request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    return file_->call(LONGPIN_UNPIN, &request);
}

std::uint32_t pin::detach() {
    static_cast<void>(file());
    file_.reset();
    return info_.handle;
}

} // namespace longpin
