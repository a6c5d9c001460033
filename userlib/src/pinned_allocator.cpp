// SPDX-License-Identifier: MIT
#include <longpin/pinned_allocator.hpp>

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

namespace longpin::detail {

pinned_memory::pinned_memory(const device& from, const buffer_options& options)
    : device_(from.file_), options_(options) {
    static_cast<void>(from.file()); // which must not be empty
}

void* pinned_memory::allocate(std::size_t count, std::size_t size) {
    if (count > std::numeric_limits<std::size_t>::max() / size) {
        throw std::bad_array_new_length();
    }
    // Containers may ask for nothing; a mapping has at least a byte.
    pinned_buffer buffer(device_, std::max<std::size_t>(count * size, 1), options_);
    void* const memory = buffer.bytes().data();
    const std::scoped_lock lock(mutex_);
    buffers_.emplace(memory, std::move(buffer));
    return memory;
}

void pinned_memory::deallocate(const void* memory) noexcept {
    std::unique_lock lock(mutex_);
    const auto ended = buffers_.extract(memory);
    lock.unlock(); // its memory is given back when others may go on
}

const longpin::pin& pinned_memory::pin_of(const void* memory) const {
    const std::scoped_lock lock(mutex_);
    return buffers_.at(memory).pin();
}

} // namespace longpin::detail
