// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>

/// Makes each try_ call of the library once, in code without exceptions.
/// \returns the errno of the first that failed; 0 if none did
int use_without_exceptions(const std::string& path, std::span<std::byte> memory);
