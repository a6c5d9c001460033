// SPDX-License-Identifier: MIT
#include "userfaultfd.hpp"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace guest {

file open_userfaultfd() {
    file opened(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    must(opened.get() >= 0, "userfaultfd");
    uffdio_api api{UFFD_API, 0, 0};
    must(::ioctl(opened.get(), UFFDIO_API, &api) == 0, "UFFDIO_API");
    return opened;
}

void watch(const file& events, const mapping& memory, std::uint64_t mode) {
    uffdio_register area{
        {reinterpret_cast<std::uintptr_t>(memory.data()), memory.length()}, mode, 0};
    must(::ioctl(events.get(), UFFDIO_REGISTER, &area) == 0, "UFFDIO_REGISTER");
}

} // namespace guest
