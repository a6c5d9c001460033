// SPDX-License-Identifier: MIT
#include "fake_kernel.hpp"

#include "open_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

fake_kernel* in_place = nullptr;
longpin::detail::system_calls real_calls{};

template <typename Struct>
Struct& as(void* argument) {
    return *static_cast<Struct*>(argument);
}

/// The pages of a pin that a range of addresses touches; none, if first is not below end.
struct page_range {
    std::uint64_t first;
    std::uint64_t end;
};

page_range pages_in(const longpin_pin& pin, std::uint64_t begin, std::uint64_t end) {
    const std::uint64_t from = std::max<std::uint64_t>(begin, pin.addr);
    const std::uint64_t to = std::min<std::uint64_t>(end, pin.addr + pin.length);
    const std::uint64_t base = pin.addr / fake_kernel::page_size;
    if (from / fake_kernel::page_size > (to - 1) / fake_kernel::page_size) {
        return {0, 0};
    }
    return {from / fake_kernel::page_size - base, (to - 1) / fake_kernel::page_size - base + 1};
}

std::uint64_t pages_of(const longpin_pin& request) {
    return pages_in(request, request.addr, request.addr + request.length).end;
}

/// Where a page of a pin begins, counted from the pin's address; not below 0.
std::uint64_t offset_of(const longpin_pin& pin, std::uint64_t page) {
    return page == 0 ? 0 : page * fake_kernel::page_size - pin.addr % fake_kernel::page_size;
}

/// A new file, or the end of the test.
int checked(int descriptor) {
    if (descriptor < 0) {
        throw std::runtime_error("fake_kernel: no descriptor");
    }
    return descriptor;
}

template <typename Answer>
void refuse(Answer& answer, const longpin::refusal& facts) {
    answer.out_reason = static_cast<std::uint32_t>(facts.why);
    answer.out_bad_addr = facts.bad_address;
    answer.out_limit = facts.limit;
    answer.out_used = facts.used;
    answer.out_asked = facts.asked;
}

template <typename Number>
Number* pointer(std::uint64_t address) {
    return reinterpret_cast<Number*>(address);
}

} // namespace

fake_kernel::fake_kernel() {
    in_place = this;
    real_calls = std::exchange(
        longpin::detail::module_calls,
        {.ioctl = &fake_kernel::ioctl, .read = &fake_kernel::read, .map = &fake_kernel::map});
    info.out_page_size = page_size;
    info.out_pin_flags =
        LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD;
    info.out_max_grace_ms = 1000;
    info.out_memlock_limit = 8U << 20U;
    info.out_max_pages_limit = LONGPIN_UNLIMITED;
    info.out_max_user_pages_limit = LONGPIN_UNLIMITED;
    info.out_max_pins_limit = 100;
    std::strcpy(info.out_version, "1.2.3");
}

fake_kernel::~fake_kernel() {
    longpin::detail::module_calls = real_calls;
    in_place = nullptr;
}

fake_kernel::context::context(int own)
    : readable(checked(own)), memory(checked(::memfd_create("longpin-status", MFD_CLOEXEC))) {
    if (::ftruncate(memory, page_size) != 0) {
        throw std::runtime_error("fake_kernel: no memory for the status");
    }
    status = static_cast<longpin_status*>(
        ::mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
}

fake_kernel::context::~context() {
    ::munmap(status, page_size);
    ::close(memory);
    ::close(readable);
}

void fake_kernel::context::put(longpin_event event, std::size_t limit) {
    if (events.size() >= limit) {
        if (events.empty() || events.back().type != LONGPIN_EVENT_OVERFLOW) {
            event = {};
            event.type = LONGPIN_EVENT_OVERFLOW;
            events.push_back(event);
        }
        ++events.back().lost;
    } else {
        events.push_back(event);
    }
    ::eventfd_write(readable, 1);
}

longpin::device fake_kernel::open() {
    const std::scoped_lock lock(in_place->mutex_);
    const int descriptor = checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    std::erase_if(in_place->pins, [&](auto& pin) { return pin.second.descriptor == descriptor; });
    in_place->contexts_.erase(descriptor);
    in_place->contexts_.try_emplace(descriptor, ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    return longpin::device::adopt(descriptor);
}

// A file that it did not open itself is always readable.
fake_kernel::context& fake_kernel::context_of(int descriptor) {
    const auto found = contexts_.find(descriptor);
    return found != contexts_.end()
               ? found->second
               : contexts_.try_emplace(descriptor, ::eventfd(0, EFD_NONBLOCK)).first->second;
}

std::uint64_t fake_kernel::held::revoked_pages() const {
    return static_cast<std::uint64_t>(std::ranges::count(revoked, true));
}

void fake_kernel::revoke(std::span<const std::byte> range, std::uint32_t cause) {
    const std::scoped_lock lock(mutex_);
    const auto begin = reinterpret_cast<std::uintptr_t>(range.data()) / page_size * page_size;
    const auto end =
        (reinterpret_cast<std::uintptr_t>(range.data()) + range.size() + page_size - 1) /
        page_size * page_size;
    for (auto& [handle, pin] : pins) {
        const longpin_pin& of = pin.request;
        if ((of.flags & LONGPIN_PIN_LEASE) == 0 || of.addr >= end || begin >= of.addr + of.length) {
            continue;
        }
        const page_range pages = pages_in(of, begin, end);
        bool any = false;
        for (std::uint64_t page = pages.first; page < pages.end; ++page) {
            any = any || !pin.revoked[page];
            pin.revoked[page] = true;
        }
        if (!any) {
            continue;
        }
        const auto from = offset_of(of, pages.first);
        longpin_event event{};
        event.type = LONGPIN_EVENT_REVOKED;
        event.handle = handle;
        event.cause = cause;
        event.cookie = of.cookie;
        event.offset = from;
        event.length = std::min<std::uint64_t>(offset_of(of, pages.end), of.length) - from;
        event.time = 1;
        context& owner = context_of(pin.descriptor);
        owner.put(event, event_limit);
        if ((of.flags & LONGPIN_PIN_EVENTFD) != 0) {
            ::eventfd_write(of.eventfd, 1);
        }
        __atomic_add_fetch(&owner.status->generation, 1, __ATOMIC_RELEASE);
    }
}

void fake_kernel::tell(int descriptor, const longpin_event& event) {
    const std::scoped_lock lock(mutex_);
    context_of(descriptor).put(event, event_limit);
}

void fake_kernel::tell(const longpin_event& event) {
    const std::scoped_lock lock(mutex_);
    context_of(pins.at(event.handle).descriptor).put(event, event_limit);
}

ssize_t fake_kernel::read(int descriptor, void* buffer, std::size_t size) {
    const std::scoped_lock lock(in_place->mutex_);
    if (size < in_place->event_size) {
        errno = EINVAL;
        return -1;
    }
    context& of = in_place->context_of(descriptor);
    if (of.events.empty()) { // a real one would wait
        errno = EAGAIN;
        return -1;
    }
    auto* out = static_cast<std::byte*>(buffer);
    for (; size >= in_place->event_size && !of.events.empty(); size -= in_place->event_size) {
        longpin_event event = of.events.front();
        of.events.pop_front();
        event.size = static_cast<std::uint32_t>(in_place->event_size);
        std::memset(out, 0xff, in_place->event_size);
        std::memcpy(out, &event, std::min(sizeof(event), in_place->event_size));
        out += in_place->event_size;
    }
    if (of.events.empty()) {
        eventfd_t count = 0;
        ::eventfd_read(of.readable, &count);
    }
    return out - static_cast<std::byte*>(buffer);
}

void* fake_kernel::map(int descriptor, std::size_t size) {
    const std::scoped_lock lock(in_place->mutex_);
    if (size != page_size || (in_place->info.out_pin_flags & LONGPIN_PIN_LEASE) == 0) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    void* const page =
        ::mmap(nullptr, size, PROT_READ, MAP_SHARED, in_place->context_of(descriptor).memory, 0);
    ::madvise(page, size, MADV_DONTFORK);
    return page;
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
    if (request == LONGPIN_REPIN && in_place->before_repin) {
        in_place->before_repin(as<longpin_repin>(argument));
    }
    int failed = 0;
    {
        const std::scoped_lock lock(in_place->mutex_);
        in_place->calls.push_back({descriptor, request, as<std::uint32_t>(argument)});
        failed = in_place->answer(descriptor, request, argument);
    }
    if (request == LONGPIN_PIN && in_place->while_pinning) {
        in_place->while_pinning(as<longpin_pin>(argument));
    }
    errno = failed;
    return failed == 0 ? 0 : -1;
}

int fake_kernel::answer(int descriptor, unsigned long request, void* argument) {
    if (request == LONGPIN_PIN) {
        last_pin = as<longpin_pin>(argument);
    }
    if (const failure& wanted = failures_[request]; wanted.errno_value != 0) {
        if (request == LONGPIN_PIN) {
            refuse(as<longpin_pin>(argument), wanted.facts);
        } else if (request == LONGPIN_REPIN) {
            refuse(as<longpin_repin>(argument), wanted.facts);
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
    case LONGPIN_PIN: return pin(descriptor, as<longpin_pin>(argument));
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
        out.out_revoked_pages = found->second.revoked_pages();
        out.out_grace_ms = of.grace_ms;
        out.out_pages = of.out_pages - out.out_revoked_pages;
        out.out_runs = of.out_runs;
        out.out_bookkeeping = of.out_bookkeeping;
        out.out_kinds = of.out_kinds;
        return 0;
    }
    case LONGPIN_COPY: return copy(as<longpin_copy>(argument));
    case LONGPIN_EXTENTS: return extents(as<longpin_extents>(argument));
    case LONGPIN_REPIN: return repin(as<longpin_repin>(argument));
    case LONGPIN_LET_GO: return let_go(as<longpin_let_go>(argument));
    default: return ENOTTY;
    }
}

int fake_kernel::pin(int descriptor, longpin_pin& request) {
    const auto no = [&](longpin::reason why, std::uint64_t limit, int errno_value) {
        refuse(request, {.why = why, .limit = limit});
        return errno_value;
    };
    if (request.length == 0) {
        return no(longpin::reason::zero_length, 0, EINVAL);
    }
    if ((request.flags & LONGPIN_PIN_LEASE) == 0) {
        if (request.grace_ms != 0 || (request.flags & LONGPIN_PIN_EVENTFD) != 0) {
            return no(longpin::reason::lease_only, 0, EINVAL);
        }
    } else if ((info.out_pin_flags & LONGPIN_PIN_LEASE) == 0) {
        return no(longpin::reason::lease_kernel, 0, EOPNOTSUPP);
    } else if (request.grace_ms > info.out_max_grace_ms) {
        return no(longpin::reason::grace, info.out_max_grace_ms, EINVAL);
    }
    const auto hole = holes.lower_bound(request.addr);
    if (hole != holes.end() && *hole - request.addr < request.length) {
        refuse(request, {.why = longpin::reason::hole, .bad_address = *hole});
        return EFAULT;
    }
    if (has_limits) {
        std::uint64_t used = 0;
        for (const auto& [handle, pin] : pins) {
            used += pin.request.out_pages * page_size;
        }
        if (used + pages_of(request) * page_size > info.out_memlock_limit) {
            return no(longpin::reason::memlock, info.out_memlock_limit, ENOMEM);
        }
        if (pins.size() >= info.out_max_pins_limit) {
            return no(longpin::reason::max_pins, info.out_max_pins_limit, ENOMEM);
        }
    }
    request.out_kinds = LONGPIN_KIND_ANON;
    request.out_pages = pages_of(request);
    request.out_runs = request.out_pages;
    request.out_bookkeeping = 16 * request.out_runs;
    if ((request.flags & LONGPIN_PIN_DRY_RUN) == 0) {
        request.out_handle = ++last_handle_;
        const auto* const start = pointer<const std::byte>(request.addr);
        pins[request.out_handle] = {request,
                                    {start, start + request.length},
                                    std::vector<bool>(request.out_pages),
                                    descriptor};
    }
    return 0;
}

int fake_kernel::copy(const longpin_copy& request) {
    const auto found = pins.find(request.handle);
    if (found == pins.end()) {
        return ENOENT;
    }
    auto& [pinned, content, revoked, descriptor] = found->second;
    if (request.length == 0 || request.offset > content.size() ||
        request.length > content.size() - request.offset) {
        return EINVAL;
    }
    const page_range pages = pages_in(pinned, pinned.addr + request.offset,
                                      pinned.addr + request.offset + request.length);
    for (std::uint64_t page = pages.first; page < pages.end; ++page) {
        if (revoked[page]) {
            return ESTALE;
        }
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
        const auto page = pages_in(of, of.addr + request.out_next, of.addr + of.length).first;
        if (found->second.revoked[page]) {
            request.out_next = std::min<std::uint64_t>(offset_of(of, page + 1), of.length);
            continue;
        }
        const std::uint64_t address = of.addr + request.out_next;
        const auto length =
            std::min<std::uint64_t>(page_size - address % page_size, of.length - request.out_next);
        out[request.out_count++] = {request.out_next, length, 0};
        request.out_next += length;
    }
    return 0;
}

int fake_kernel::repin(longpin_repin& request) {
    const auto found = pins.find(request.handle);
    if (found == pins.end()) {
        return ENOENT;
    }
    held& pin = found->second;
    const longpin_pin& of = pin.request;
    if ((of.flags & LONGPIN_PIN_LEASE) == 0) {
        return EOPNOTSUPP;
    }
    if (request.offset > of.length || request.length > of.length - request.offset) {
        return EINVAL;
    }
    const auto length = request.length == 0 ? of.length - request.offset : request.length;
    const page_range pages =
        pages_in(of, of.addr + request.offset, of.addr + request.offset + length);
    for (std::uint64_t page = pages.first; page < pages.end; ++page) {
        if (pin.revoked[page]) {
            ++request.out_repinned;
            const auto from = offset_of(of, page);
            const auto to = std::min<std::uint64_t>(offset_of(of, page + 1), of.length);
            std::copy_n(pointer<const std::byte>(of.addr + from), to - from,
                        std::next(pin.bytes.begin(), static_cast<std::ptrdiff_t>(from)));
            pin.revoked[page] = false;
        }
    }
    request.out_pages = of.out_pages - pin.revoked_pages();
    return 0;
}

int fake_kernel::let_go(longpin_let_go& request) {
    const auto found = pins.find(request.handle);
    if (found == pins.end()) {
        return ENOENT;
    }
    held& pin = found->second;
    const longpin_pin& of = pin.request;
    if (request.length == 0 || request.offset > of.length ||
        request.length > of.length - request.offset) {
        return EINVAL;
    }
    if ((of.flags & LONGPIN_PIN_LEASE) == 0) {
        return EOPNOTSUPP;
    }
    const page_range pages =
        pages_in(of, of.addr + request.offset, of.addr + request.offset + request.length);
    for (std::uint64_t page = pages.first; page < pages.end; ++page) {
        request.out_pages += pin.revoked[page] ? 0U : 1U;
        pin.revoked[page] = true;
    }
    return 0;
}
