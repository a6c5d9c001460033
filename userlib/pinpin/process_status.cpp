// SPDX-License-Identifier: MIT
#include "process_status.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <istream>
#include <sstream>

namespace pinpin {

process_status parse_status(std::istream& text) {
    static constexpr std::uint64_t kibibyte = 1024;
    process_status result;
    for (std::string line; std::getline(text, line);) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos) {
            continue;
        }
        const std::string key = line.substr(0, colon);
        std::istringstream value(line.substr(colon + 1));
        std::uint64_t kibibytes = 0;
        if (key == "Name") {
            value.ignore(); // the tab; a name may begin with spaces
            std::getline(value, result.comm);
        } else if (key == "Pid") {
            value >> result.pid;
        } else if (key == "Uid") {
            value >> result.uid;
        } else if (key == "VmPin" && value >> kibibytes) {
            result.has_memory = true;
            result.vm_pin = kibibytes * kibibyte;
        } else if (key == "VmLck" && value >> kibibytes) {
            result.vm_lck = kibibytes * kibibyte;
        }
    }
    return result;
}

std::optional<process_status> read_process(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    process_status result = parse_status(file);
    return result.pid == pid ? std::optional(std::move(result)) : std::nullopt;
}

std::vector<process_status> read_processes() {
    std::vector<process_status> result;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        const char* const end = name.data() + name.size(); // NOLINT(*-pointer-arithmetic)
        pid_t pid = 0;
        const auto [rest, failure] = std::from_chars(name.data(), end, pid);
        if (failure != std::errc{} || rest != end) {
            continue;
        }
        if (auto process = read_process(pid)) {
            result.push_back(std::move(*process));
        }
    }
    std::ranges::sort(result, {}, &process_status::pid);
    return result;
}

} // namespace pinpin
