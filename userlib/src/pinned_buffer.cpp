// SPDX-License-Identifier: MIT
#include <longpin/pinned_buffer.hpp>

#include "explain.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include <linux/mman.h>
#include <sys/mman.h>

namespace longpin {

namespace {

// How pages of a kind are mapped.
struct page_kind {
    std::size_t size; // bytes, which a mapping is a multiple of; 1: the kernel rounds
    int flags;        // for mmap()
};

page_kind kind_of(huge_pages huge) noexcept {
    switch (huge) {
    case huge_pages::none: break;
    case huge_pages::transparent: return {std::size_t{2} << 20U, 0};
    case huge_pages::hugetlb_2m: return {std::size_t{2} << 20U, MAP_HUGETLB | MAP_HUGE_2MB};
    case huge_pages::hugetlb_1g: return {std::size_t{1} << 30U, MAP_HUGETLB | MAP_HUGE_1GB};
    }
    return {1, 0};
}

} // namespace

void pinned_buffer::unmapper::operator()(void* address) const noexcept {
    ::munmap(address, length);
}

pinned_buffer::pinned_buffer(mapping memory, std::span<std::byte> bytes, longpin::pin pin) noexcept
    : memory_(std::move(memory)), bytes_(bytes), pin_(std::move(pin)) {}

pinned_buffer::pinned_buffer(const device& from, std::size_t size, const buffer_options& options)
    : pinned_buffer(try_make(from, size, options).value()) {}

result<pinned_buffer> pinned_buffer::try_make(const device& from, std::size_t size,
                                              const buffer_options& options) {
    const page_kind pages = kind_of(options.huge);
    const bool hugetlb = (pages.flags & MAP_HUGETLB) != 0;
    const auto failure = [&](int errno_value) {
        return error(errno_value,
                     fmt::format("map {} of {}memory", format_size(size),
                                 hugetlb ? format_size(pages.size) + " huge page " : ""),
                     detail::explain_map(errno_value, size, hugetlb));
    };
    if (size > PTRDIFF_MAX) { // so that nothing below overflows
        return failure(ENOMEM);
    }
    const std::size_t length = (size + pages.size - 1) / pages.size * pages.size;

    // Transparent huge pages need an aligned range: there is one in a mapping that is
    // larger by a page. What is left over is never touched.
    const bool transparent = options.huge == huge_pages::transparent;
    const std::size_t room = length + (transparent && size != 0 ? pages.size : 0);
    void* const address = ::mmap(nullptr, room, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | pages.flags, -1, 0);
    if (address == MAP_FAILED) { // NOLINT: a macro of the system
        return failure(errno);
    }
    mapping memory(address, {room});
    void* start = address;
    if (transparent) {
        std::size_t left = room;
        std::align(pages.size, length, start, left);
        ::madvise(address, room, MADV_HUGEPAGE); // a kernel without them gives small ones
    }

    const std::span bytes(static_cast<std::byte*>(start), size);
    const pin_options how{.cookie = options.cookie};
    result<longpin::pin> pin =
        options.writable ? from.try_pin_writable(bytes, how) : from.try_pin(bytes, how);
    if (!pin) {
        return pin.error();
    }
    return pinned_buffer(std::move(memory), bytes, std::move(*pin));
}

pinned_buffer& pinned_buffer::operator=(pinned_buffer&& other) noexcept {
    pin_ = std::move(other.pin_);
    memory_ = std::move(other.memory_);
    bytes_ = other.bytes_;
    return *this;
}

std::span<std::byte> pinned_buffer::bytes() const noexcept {
    return memory_ ? bytes_ : std::span<std::byte>();
}

} // namespace longpin
