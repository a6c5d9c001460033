// SPDX-License-Identifier: MIT
// Removing the module and loading it again.
#pragma once

#include <string>

namespace guest {

/// 0 or the errno.
int remove_module();

/// With parameters. 0, or what modprobe exited with.
int load_module(const std::string& arguments = "");

/// Its parameters in sysfs: a folder.
inline constexpr const char* module_parameters = "/sys/module/longpin/parameters/";

/// A parameter's value for as long as the object lives. Throws if it can't be set.
class module_parameter {
public:
    module_parameter(const std::string& name, const std::string& value);
    module_parameter(const module_parameter&) = delete;
    module_parameter& operator=(const module_parameter&) = delete;
    module_parameter(module_parameter&&) = delete;
    module_parameter& operator=(module_parameter&&) = delete;
    ~module_parameter();

private:
    std::string path_, before_;
};

} // namespace guest
