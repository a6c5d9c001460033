// SPDX-License-Identifier: MIT
// Removing the module and loading it again.
#pragma once

#include <string>

namespace guest {

/// 0 or the errno.
int remove_module();

/// With parameters. 0, or what modprobe exited with.
int load_module(const std::string& arguments = "");

} // namespace guest
