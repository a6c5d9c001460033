// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace pinpin {

/// Gives a file a new text, or makes it, mode 0644. Whoever reads it at any time, after a crash
/// too, finds the old text or the new one, whole. Its directory must be writable. \throws
/// std::system_error  it could not be done: the file is as it was, and nothing is left
void replace_file(const std::string& path, std::string_view text);

} // namespace pinpin
