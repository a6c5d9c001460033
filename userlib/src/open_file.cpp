// SPDX-License-Identifier: MIT
#include "open_file.hpp"

#include "explain.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace longpin::detail {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): see the header
ioctl_function ioctl_call = [](int descriptor, unsigned long request, void* argument) {
    return ::ioctl(descriptor, request, argument); // NOLINT(cppcoreguidelines-pro-type-vararg)
};

open_file::open_file(const char* path) noexcept
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    : descriptor_(::open(path, O_RDWR | O_CLOEXEC)) {}

open_file::~open_file() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

int open_file::call(unsigned long request, void* argument) const noexcept {
    return ioctl_call(descriptor_, request, argument) == 0 ? 0 : errno;
}

error failure(unsigned long request, int errno_value, std::string attempted, const refusal& facts) {
    const std::string explanation =
        facts.why == reason::none ? explain(request, errno_value) : explain(facts, ::getuid());
    return {errno_value, std::move(attempted), explanation, facts};
}

} // namespace longpin::detail
