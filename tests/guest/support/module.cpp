// SPDX-License-Identifier: MIT
#include "module.hpp"

#include "system_state.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace guest {

int remove_module() {
    return ::syscall(SYS_delete_module, "longpin", O_NONBLOCK) == 0 ? 0 : errno;
}

int load_module(const std::string& arguments) {
    return std::system(("/usr/sbin/modprobe longpin " + arguments).c_str());
}

module_parameter::module_parameter(const std::string& name, const std::string& value)
    : path_(module_parameters + name), before_(read_line(path_)) {
    if (const int err = write_line(path_, value)) {
        throw std::system_error(err, std::generic_category(), path_);
    }
}

module_parameter::~module_parameter() {
    write_line(path_, before_);
}

} // namespace guest
