// SPDX-License-Identifier: MIT
#include "module.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace guest {

int remove_module() {
    return ::syscall(SYS_delete_module, "longpin", O_NONBLOCK) == 0 ? 0 : errno;
}

int load_module(const std::string& arguments) {
    return std::system(("/usr/sbin/modprobe longpin " + arguments).c_str());
}

} // namespace guest
