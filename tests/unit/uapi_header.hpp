// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <fstream>
#include <map>
#include <regex>
#include <string>

/// The constants LONGPIN_<group>_<NAME> of the kernel's header as it stands, by their
/// lower-case names. So a constant that is added there is seen by the tests.
inline std::map<std::string, std::uint32_t> uapi_constants(const std::string& group,
                                                           const char* path) {
    const std::regex define(R"(#define\s+LONGPIN_)" + group +
                            R"(_(\w+)\s+(?:(\d+)\b|\(1U << (\d+)\)).*)");
    std::map<std::string, std::uint32_t> constants;
    std::ifstream header(path);
    std::smatch match;
    for (std::string line; std::getline(header, line);) {
        if (std::regex_match(line, match, define)) {
            std::string name = match[1];
            std::ranges::transform(name, name.begin(), [](unsigned char letter) {
                return static_cast<char>(std::tolower(letter));
            });
            constants[name] = match[2].matched ? static_cast<std::uint32_t>(std::stoul(match[2]))
                                               : 1U << std::stoul(match[3]);
        }
    }
    return constants;
}

inline std::map<std::string, std::uint32_t> uapi_constants(const std::string& group) {
    return uapi_constants(group, LONGPIN_UAPI_HEADER);
}

/// The same of the netlink header.
inline std::map<std::string, std::uint32_t> netlink_constants(const std::string& group) {
    return uapi_constants(group, LONGPIN_NETLINK_HEADER);
}
