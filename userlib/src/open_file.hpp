// SPDX-License-Identifier: MIT
// The file descriptor of a context, and the one way to the kernel.
#pragma once

#include <longpin/error.hpp>

#include <cstddef>
#include <mutex>
#include <string>

#include <sys/types.h>

namespace longpin::detail {

/// Owns a file descriptor: closes it at the end. The device and its pins share one.
class open_file {
public:
    /// Takes a file descriptor over.
    explicit open_file(int descriptor) noexcept : descriptor_(descriptor) {}

    /// Opens a file, closed on exec. If that fails, the descriptor is negative and errno
    /// tells why.
    explicit open_file(const char* path) noexcept;

    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;
    open_file(open_file&&) = delete;
    open_file& operator=(open_file&&) = delete;
    ~open_file();

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

    /// Makes an ioctl. Returns 0 or the errno.
    int call(unsigned long request, void* argument) const noexcept;

    /// Locked by a thread that looks whether there is something to be read, and reads it: so that
    /// no other takes it in between.
    [[nodiscard]] std::mutex& reading() const noexcept { return reading_; }

private:
    int descriptor_;
    mutable std::mutex reading_;
};

/// The failure of an ioctl, explained: by the kernel's reason if it gave one, else by
/// the errno.
error failure(unsigned long request, int errno_value, std::string attempted,
              const refusal& facts = {});

/// What the kernel said beside the errno, in the answer of a call that takes pages.
template <typename Answer>
refusal refusal_of(const Answer& answer) {
    return {.why = static_cast<reason>(answer.out_reason),
            .bad_address = answer.out_bad_addr,
            .limit = answer.out_limit,
            .used = answer.out_used,
            .asked = answer.out_asked};
}

/// The system calls on the open file that go to the module. Only the unit tests put others here,
/// since a host without the module has no device to talk to.
struct system_calls {
    int (*ioctl)(int descriptor, unsigned long request, void* argument);
    ssize_t (*read)(int descriptor, void* buffer, std::size_t size);

    /// mmap() of the first page, for reading.
    void* (*map)(int descriptor, std::size_t size);
};
extern system_calls module_calls; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

} // namespace longpin::detail
