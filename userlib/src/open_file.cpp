// SPDX-License-Identifier: MIT
#include "open_file.hpp"

#include "explain.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace longpin::detail {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): see the header
system_calls module_calls = {
    .ioctl =
        [](int descriptor, unsigned long request, void* argument) {
            // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
            return ::ioctl(descriptor, request, argument);
        },
    .read = ::read,
    .map =
        [](int descriptor, std::size_t size) {
            return ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
        },
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
    return module_calls.ioctl(descriptor_, request, argument) == 0 ? 0 : errno;
}

error failure(unsigned long request, int errno_value, std::string attempted, const refusal& facts) {
    const std::string explanation =
        facts.why == reason::none ? explain(request, errno_value) : explain(facts, ::getuid());
    return {errno_value, std::move(attempted), explanation, facts};
}

} // namespace longpin::detail
