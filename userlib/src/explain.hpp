// SPDX-License-Identifier: MIT
// Sentences for what the kernel says by numbers. Each tells what is wrong and what can
// be done about it. Pure functions: no system call is made here.
#pragma once

#include <longpin/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace longpin::detail {

/// Why a pin was refused, and what to do. \p user is the one that the pages would be
/// charged to. The answer is empty for reason::none, and only for that.
std::string explain(const refusal& facts, uid_t user);

/// What an errno without a reason means, for the ioctl \p request.
std::string explain(unsigned long request, int errno_value);

/// Why \p size bytes could not be mapped; \p hugetlb: of reserved huge pages.
std::string explain_map(int errno_value, std::size_t size, bool hugetlb);

/// What an errno of the generic netlink family means. \p from_kernel is what the kernel
/// said beside it, if anything.
std::string explain_netlink(int errno_value, std::string_view from_kernel);

/// Why the events of leases could not be read.
std::string explain_read(int errno_value);

/// Why the generation of a device could not be mapped.
std::string explain_generation(int errno_value);

/// Why \p path could not be opened.
std::string explain_open(const std::string& path, int errno_value);

} // namespace longpin::detail
