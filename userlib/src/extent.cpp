// SPDX-License-Identifier: MIT
#include <longpin/extent.hpp>

#include "list_extents.hpp"
#include "open_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include <linux/longpin.h>

namespace longpin {

// The kernel writes its structures right into ours.
static_assert(sizeof(extent) == sizeof(longpin_extent));
static_assert(offsetof(extent, offset) == offsetof(longpin_extent, offset));
static_assert(offsetof(extent, length) == offsetof(longpin_extent, length));
static_assert(offsetof(extent, physical_address) == offsetof(longpin_extent, phys));

result<extent_page> detail::list_extents(const open_file& file, std::uint32_t handle,
                                         std::uint64_t length, std::uint64_t offset,
                                         std::span<extent> buffer) {
    const auto attempted = [&] {
        return fmt::format("list the extents of pin {} from offset {}", handle, offset);
    };
    longpin_extents request{};
    request.size = sizeof(request);
    request.handle = handle;
    request.count = static_cast<std::uint32_t>(
        std::min<std::size_t>(buffer.size(), std::numeric_limits<std::uint32_t>::max()));
    request.offset = offset;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the kernel wants a number
    request.buffer = reinterpret_cast<std::uintptr_t>(buffer.data());
    if (const int failed = file.call(LONGPIN_EXTENTS, &request)) {
        return failure(LONGPIN_EXTENTS, failed, attempted());
    }
    // What was taken back at the end of a lease has no extent.
    const bool stuck =
        request.out_next <= offset || (request.out_count == 0 && request.out_next < length);
    if ((stuck && offset < length && !buffer.empty()) || request.out_count > buffer.size()) {
        return error(EPROTO, attempted(), "the module's answer makes no sense; report this");
    }
    return extent_page{.extents = buffer.first(request.out_count), .next = request.out_next};
}

extent_range::extent_range(std::shared_ptr<const detail::open_file> file, std::uint32_t handle,
                           std::uint64_t length) noexcept
    : file_(std::move(file)), handle_(handle), length_(length) {}

void extent_range::fetch(std::uint64_t offset) {
    const extent_page page =
        detail::list_extents(*file_, handle_, length_, offset, buffer_).value();
    count_ = page.extents.size();
    current_ = 0;
    next_ = page.next;
}

extent_range::iterator extent_range::begin() {
    fetch(0);
    return iterator(*this);
}

const extent& extent_range::iterator::operator*() const noexcept {
    return range_->buffer_[range_->current_];
}

extent_range::iterator& extent_range::iterator::operator++() {
    if (++range_->current_ == range_->count_ && range_->next_ < range_->length_) {
        range_->fetch(range_->next_);
    }
    return *this;
}

bool extent_range::iterator::operator==(std::default_sentinel_t /*end*/) const noexcept {
    return range_->current_ == range_->count_;
}

} // namespace longpin
