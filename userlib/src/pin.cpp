// SPDX-License-Identifier: MIT
#include <longpin/pin.hpp>

#include "open_file.hpp"

#include <longpin/error.hpp>
#include <longpin/size.hpp>

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include <linux/longpin.h>

namespace longpin {

namespace {

// Moves bytes between a buffer and the held pages.
void copy(const detail::open_file& file, std::uint32_t handle, std::uint32_t flags,
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
        throw detail::failure(LONGPIN_COPY, failed,
                              fmt::format("{} {} at offset {} of pin {}",
                                          flags == LONGPIN_COPY_WRITE ? "write" : "read",
                                          format_size(buffer.size()), offset, handle));
    }
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
        throw std::logic_error("longpin::pin: used while it holds nothing");
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
    longpin_query request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    if (const int failed = file().call(LONGPIN_QUERY, &request)) {
        throw detail::failure(LONGPIN_QUERY, failed, fmt::format("query pin {}", info_.handle));
    }
    return {.handle = request.handle,
            .address = request.out_addr,
            .length = request.out_length,
            .cookie = request.out_cookie,
            .writable = (request.out_pin_flags & LONGPIN_PIN_WRITE) != 0,
            .footprint{.kinds = static_cast<memory_kind>(request.out_kinds),
                       .pages = request.out_pages,
                       .runs = request.out_runs,
                       .bookkeeping = request.out_bookkeeping}};
}

void pin::read(std::uint64_t offset, std::span<std::byte> buffer) const {
    copy(file(), info_.handle, 0, offset, buffer);
}

void pin::write(std::uint64_t offset, std::span<const std::byte> buffer) const {
    copy(file(), info_.handle, LONGPIN_COPY_WRITE, offset, buffer);
}

std::vector<extent> pin::extents() const {
    std::array<longpin_extent, 256> page{};
    std::vector<extent> result;
    longpin_extents request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    request.count = page.size();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the kernel wants a number
    request.buffer = reinterpret_cast<std::uintptr_t>(page.data());

    while (request.offset < length()) {
        const auto attempted = [&] {
            return fmt::format("list the extents of pin {} from offset {}", info_.handle,
                               request.offset);
        };
        if (const int failed = file().call(LONGPIN_EXTENTS, &request)) {
            throw detail::failure(LONGPIN_EXTENTS, failed, attempted());
        }
        if (request.out_next <= request.offset || request.out_count > page.size()) {
            throw error(EPROTO, attempted(), "the module's answer makes no sense; report this");
        }
        for (const longpin_extent& one : std::span(page).first(request.out_count)) {
            result.push_back({one.offset, one.length, one.phys});
        }
        request.offset = request.out_next;
    }
    return result;
}

void pin::unpin() {
    longpin_unpin request{};
    request.size = sizeof(request);
    request.handle = info_.handle;
    if (const int failed = file().call(LONGPIN_UNPIN, &request)) {
        throw detail::failure(LONGPIN_UNPIN, failed, fmt::format("unpin pin {}", info_.handle));
    }
    file_.reset();
}

void pin::reset() noexcept {
    if (file_) {
        longpin_unpin request{};
        request.size = sizeof(request);
        request.handle = info_.handle;
        file_->call(LONGPIN_UNPIN, &request);
        file_.reset();
    }
}

std::uint32_t pin::detach() {
    static_cast<void>(file());
    file_.reset();
    return info_.handle;
}

} // namespace longpin
