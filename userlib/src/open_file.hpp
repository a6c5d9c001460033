// SPDX-License-Identifier: MIT
// The file descriptor of a context, and the one way to the kernel.
#pragma once

#include <longpin/error.hpp>

#include <string>

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

private:
    int descriptor_;
};

/// The failure of an ioctl, explained: by the kernel's reason if it gave one, else by
/// the errno.
error failure(unsigned long request, int errno_value, std::string attempted,
              const refusal& facts = {});

/// The ioctl() that every call goes through. Only the unit tests put another one here,
/// since a host without the module has no device to talk to.
using ioctl_function = int (*)(int descriptor, unsigned long request, void* argument);
extern ioctl_function ioctl_call; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

} // namespace longpin::detail
