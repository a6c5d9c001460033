// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"

#include "open_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/stat.h>

namespace {

fake_kernel* in_place = nullptr;
longpin::detail::ioctl_function real_ioctl = nullptr;

template <typename Struct>
Struct& as(void* argument) {
    return *static_cast<Struct*>(argument);
}

std::uint64_t pages_of(const longpin_pin& request) {
    const std::uint64_t first = request.addr / fake_kernel::page_size;
    const std::uint64_t last = (request.addr + request.length - 1) / fake_kernel::page_size;
    return last - first + 1;
}

template <typename Number>
Number* pointer(std::uint64_t address) {
    return reinterpret_cast<Number*>(address);
}

} // namespace

fake_kernel::fake_kernel() {
    in_place = this;
    real_ioctl = std::exchange(longpin::detail::ioctl_call, &fake_kernel::ioctl);
    info.out_page_size = page_size;
    info.out_pin_flags = LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN;
    info.out_memlock_limit = 8U << 20U;
    info.out_max_pages_limit = LONGPIN_UNLIMITED;
    info.out_max_user_pages_limit = LONGPIN_UNLIMITED;
    info.out_max_pins_limit = 100;
    std::strcpy(info.out_version, "1.2.3");
}

fake_kernel::~fake_kernel() {
    longpin::detail::ioctl_call = real_ioctl;
    in_place = nullptr;
}

longpin::device fake_kernel::open() {
    return longpin::device("/dev/null");
}

void fake_kernel::fail(unsigned long request, int errno_value, const longpin::refusal& facts) {
    failures_[request] = {errno_value, facts};
}

std::size_t fake_kernel::count(unsigned long request) const {
    return static_cast<std::size_t>(std::ranges::count(calls, request, &call::request));
}

int fake_kernel::ioctl(int descriptor, unsigned long request, void* argument) {
    // A closed file has no module behind it; and TSan sees that the descriptor is used.
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) {
        return -1;
    }
    const std::scoped_lock lock(in_place->mutex_);
    in_place->calls.push_back({descriptor, request, as<std::uint32_t>(argument)});
    errno = in_place->answer(request, argument);
    return errno == 0 ? 0 : -1;
}

int fake_kernel::answer(unsigned long request, void* argument) {
    if (request == LONGPIN_PIN) {
        last_pin = as<longpin_pin>(argument);
    }
    if (const failure& wanted = failures_[request]; wanted.errno_value != 0) {
        if (request == LONGPIN_PIN) {
            auto& pin = as<longpin_pin>(argument);
            pin.out_reason = static_cast<std::uint32_t>(wanted.facts.why);
            pin.out_bad_addr = wanted.facts.bad_address;
            pin.out_limit = wanted.facts.limit;
            pin.out_used = wanted.facts.used;
            pin.out_asked = wanted.facts.asked;
        }
        return wanted.errno_value;
    }
    switch (request) {
    case LONGPIN_INFO: {
        auto& out = as<longpin_info>(argument);
        const std::uint32_t size = out.size;
        out = info;
        out.size = size;
        return 0;
    }
    case LONGPIN_PIN: return pin(as<longpin_pin>(argument));
    case LONGPIN_UNPIN: return pins.erase(as<longpin_unpin>(argument).handle) == 1 ? 0 : ENOENT;
    case LONGPIN_QUERY: {
        auto& out = as<longpin_query>(argument);
        const auto found = pins.find(out.handle);
        if (found == pins.end()) {
            return ENOENT;
        }
        const longpin_pin& of = found->second.request;
        out.out_pin_flags = of.flags;
        out.out_addr = of.addr;
        out.out_length = of.length;
        out.out_cookie = of.cookie;
        out.out_pages = of.out_pages;
        out.out_runs = of.out_runs;
        out.out_bookkeeping = of.out_bookkeeping;
        out.out_kinds = of.out_kinds;
        return 0;
    }
    case LONGPIN_COPY: return copy(as<longpin_copy>(argument));
    case LONGPIN_EXTENTS: return extents(as<longpin_extents>(argument));
    default: return ENOTTY;
    }
}

int fake_kernel::pin(longpin_pin& request) {
    request.out_kinds = LONGPIN_KIND_ANON;
    request.out_pages = pages_of(request);
    request.out_runs = request.out_pages;
    request.out_bookkeeping = 16 * request.out_runs;
    if ((request.flags & LONGPIN_PIN_DRY_RUN) == 0) {
        request.out_handle = ++last_handle_;
        const auto* const start = pointer<const std::byte>(request.addr);
        pins[request.out_handle] = {request, {start, start + request.length}};
    }
    return 0;
}

int fake_kernel::copy(const longpin_copy& request) {
    const auto found = pins.find(request.handle);
    if (found == pins.end()) {
        return ENOENT;
    }
    auto& [pinned, content] = found->second;
    if (request.length == 0 || request.offset > content.size() ||
        request.length > content.size() - request.offset) {
        return EINVAL;
    }
    std::byte* const bytes = content.data() + request.offset;
    if ((request.flags & LONGPIN_COPY_WRITE) == 0) {
        std::copy_n(bytes, request.length, pointer<std::byte>(request.buffer));
        return 0;
    }
    if ((pinned.flags & LONGPIN_PIN_WRITE) == 0) {
        return EPERM;
    }
    std::copy_n(pointer<const std::byte>(request.buffer), request.length, bytes);
    return 0;
}

int fake_kernel::extents(longpin_extents& request) const {
    const auto found = pins.find(request.handle);
    if (found == pins.end()) {
        return ENOENT;
    }
    const longpin_pin& of = found->second.request;
    auto* const out = pointer<longpin_extent>(request.buffer);
    request.out_count = 0;
    request.out_next = request.offset;
    while (request.out_count < std::min(request.count, extents_in_an_answer) &&
           request.out_next < of.length) {
        const std::uint64_t address = of.addr + request.out_next;
        const auto length =
            std::min<std::uint64_t>(page_size - address % page_size, of.length - request.out_next);
        out[request.out_count++] = {request.out_next, length, 0};
        request.out_next += length;
    }
    return 0;
}
