// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>
#include <longpin/export.hpp>
#include <longpin/pin.hpp>
#include <longpin/pinned_buffer.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <type_traits>

namespace longpin {

namespace detail {

/// The buffers that an allocator and its copies gave out.
class LONGPIN_EXPORT pinned_memory {
public:
    pinned_memory(const device& from, const buffer_options& options);

    [[nodiscard]] void* allocate(std::size_t count, std::size_t size);
    void deallocate(const void* memory) noexcept;
    [[nodiscard]] const longpin::pin& pin_of(const void* memory) const;

private:
    device device_;
    buffer_options options_;
    mutable std::mutex mutex_; // of buffers_
    std::map<const void*, pinned_buffer> buffers_;
};

} // namespace detail

/// Gives containers pinned memory:
///
///     longpin::pinned_allocator<float> allocator(device);
///     std::vector<float, longpin::pinned_allocator<float>> samples(1U << 20U, allocator);
///     const longpin::pin& pin = allocator.pin_of(samples.data());
///
/// Each allocation is a pinned_buffer of its own: a few system calls, at least a page,
/// and an entry in a table. So it is for a few large allocations, vectors above all, and
/// not for lists and maps. A vector that grows holds, and is charged for, the old memory
/// and the new for a moment: reserve() first.
///
/// Copies share the table and are equal; it keeps the device's context open. What one
/// allocated any of its copies may deallocate.
///
/// Thread safety: all members but assignment may be called by several threads at once,
/// of one allocator and of its copies.
template <typename T>
class pinned_allocator {
public:
    /// What it is asked for.
    using value_type = T;
    /// Memory goes to another container together with what can free it.
    using propagate_on_container_move_assignment = std::true_type;
    /// Likewise.
    using propagate_on_container_swap = std::true_type;

    /// \param from     makes the pins; may be gone before the allocator
    /// \param options  of every buffer
    explicit pinned_allocator(const device& from, const buffer_options& options = {})
        : memory_(std::make_shared<detail::pinned_memory>(from, options)) {}

    /// A copy, for elements of another type.
    template <typename Other>
    // NOLINTNEXTLINE(google-explicit-constructor): containers convert
    pinned_allocator(const pinned_allocator<Other>& other) noexcept : memory_(other.memory_) {}

    /// Memory for \p count elements.
    /// \throws std::bad_array_new_length  there are no so many bytes
    /// \throws error  as pinned_buffer
    [[nodiscard]] T* allocate(std::size_t count) {
        static_assert(alignof(T) <= 4096, "memory is aligned to small pages");
        return static_cast<T*>(memory_->allocate(count, sizeof(T)));
    }

    /// Ends the pin of memory that allocate() gave, and unmaps it.
    void deallocate(T* memory, std::size_t /*count*/) noexcept { memory_->deallocate(memory); }

    /// The pin of an allocation; lasts as long as that.
    /// \param memory  its beginning: what data() of a vector gives
    /// \throws std::out_of_range  it is not of this allocator
    [[nodiscard]] const longpin::pin& pin_of(const T* memory) const {
        return memory_->pin_of(memory);
    }

    /// Whether one can free what the other gave.
    template <typename Other>
    bool operator==(const pinned_allocator<Other>& other) const noexcept {
        return memory_ == other.memory_;
    }

private:
    template <typename Other>
    friend class pinned_allocator;

    std::shared_ptr<detail::pinned_memory> memory_;
};

} // namespace longpin
