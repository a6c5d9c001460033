// SPDX-License-Identifier: MIT
// The ioctls as they are: most guest tests speak to the kernel without the library between.
#pragma once

#include <linux/longpin.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace guest {

/// Owns a file descriptor.
class file {
public:
    file() = default;
    explicit file(int descriptor) : descriptor_(descriptor) {}
    file(const file&) = delete;
    file& operator=(const file&) = delete;
    file(file&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
    file& operator=(file&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~file() { close(); }

    [[nodiscard]] int get() const { return descriptor_; }
    void close();

private:
    int descriptor_ = -1;
};

/// Throws what errno says, unless the call went well.
void must(bool good, const char* call);

/// open(2); throws if it fails, since what is opened is part of the guest.
file open_file(const std::string& path, int flags);

/// An open context.
class raw_device {
public:
    raw_device();
    explicit raw_device(file descriptor) : file_(std::move(descriptor)) {}

    [[nodiscard]] int descriptor() const { return file_.get(); }
    void close() { file_.close(); }

    /// ioctl(2): 0 or the errno.
    int call(unsigned long command, void* arguments) const;

    /// LONGPIN_PIN; the answer's out_handle and the rest are in \p answer.
    int pin(const void* address, std::uint64_t length, std::uint32_t flags,
            longpin_pin& answer) const;
    int pin(const void* address, std::uint64_t length, std::uint32_t flags = 0) const;

    /// LONGPIN_PIN that has to succeed; returns the handle.
    std::uint32_t must_pin(const void* address, std::uint64_t length,
                           std::uint32_t flags = 0) const;

    [[nodiscard]] int unpin(std::uint32_t handle) const;
    int query(std::uint32_t handle, longpin_query& answer) const;
    int read(std::uint32_t handle, std::uint64_t offset, void* buffer, std::uint64_t length) const;
    int write(std::uint32_t handle, std::uint64_t offset, const void* buffer,
              std::uint64_t length) const;
    [[nodiscard]] longpin_info info() const;

    int repin(std::uint32_t handle, longpin_repin& answer, std::uint64_t offset = 0,
              std::uint64_t length = 0) const;
    [[nodiscard]] int let_go(std::uint32_t handle, std::uint64_t offset,
                             std::uint64_t length) const;

    /// The events that are there now, in as many read()s as it takes.
    [[nodiscard]] std::vector<longpin_event> events() const;

    /// Waits for events, for that long at most; then as events().
    [[nodiscard]] std::vector<longpin_event> events_within(int milliseconds) const;

    /// All extents, fetched \p at_once elements a call.
    [[nodiscard]] std::vector<longpin_extent> extents(std::uint32_t handle,
                                                      std::uint32_t at_once = 64) const;

private:
    file file_;
};

/// A request with its size set and all else zero.
template <typename T>
T request() {
    T arguments{};
    arguments.size = sizeof(T);
    return arguments;
}

} // namespace guest
