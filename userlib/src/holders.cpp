// SPDX-License-Identifier: MIT
#include "holders.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

namespace longpin {

namespace {

namespace fs = std::filesystem;

std::optional<std::uint32_t> to_number(std::string_view text) {
    std::uint32_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, failure] = std::from_chars(text.data(), end, number);
    return failure == std::errc{} && rest == end ? std::optional(number) : std::nullopt;
}

/// Calls \p visit with each entry of a directory whose name is a number. What can't be read is
/// as if it were empty: processes end meanwhile, and others may not be looked into.
template <typename Visitor>
void for_each_number(const fs::path& directory, Visitor visit) {
    std::error_code failure;
    for (fs::directory_iterator entry(directory, failure), end; !failure && entry != end;
         entry.increment(failure)) {
        if (const auto number = to_number(entry->path().filename().native())) {
            visit(*number, entry->path());
        }
    }
}

/// Whether a descriptor is of a character device. The device of longpin may have any
/// path, in a container say, so its name is no help; and fdinfo alone would mean to open, read and
/// close a file for each descriptor of the system, where this is one call. Nothing is asked of
/// the file system behind it, which may hang.
bool is_character_device(const fs::path& descriptor) {
    struct statx found {};
    return ::statx(AT_FDCWD, descriptor.c_str(), AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE,
                   &found) == 0 &&
           S_ISCHR(found.stx_mode);
}

std::optional<std::uint32_t> context_of(const fs::path& fdinfo) {
    static constexpr std::string_view key = "longpin-context:\t";
    std::ifstream lines(fdinfo);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(key)) {
            return to_number(std::string_view(line).substr(key.size()));
        }
    }
    return std::nullopt;
}

/// The contexts that a process has open, and the lowest descriptor of each.
std::map<std::uint32_t, int> open_contexts(const fs::path& process) {
    std::map<std::uint32_t, int> found;
    for_each_number(process / "fd", [&](std::uint32_t number, const fs::path& path) {
        if (!is_character_device(path)) {
            return;
        }
        if (const auto context = context_of(process / "fdinfo" / path.filename())) {
            const auto descriptor = static_cast<int>(number);
            const auto [known, added] = found.emplace(*context, descriptor);
            known->second = std::min(known->second, descriptor);
        }
    });
    return found;
}

} // namespace

std::vector<holder> detail::find_holders(const fs::path& proc,
                                         std::optional<std::uint32_t> context) {
    std::vector<holder> holders;
    for_each_number(proc, [&](std::uint32_t pid, const fs::path& process) {
        for (const auto& [open, descriptor] : open_contexts(process)) {
            std::string comm;
            if ((context && open != *context) ||
                !std::getline(std::ifstream(process / "comm"), comm)) {
                continue; // another context, or the process has gone
            }
            holders.push_back({.pid = static_cast<pid_t>(pid),
                               .comm = std::move(comm),
                               .descriptor = descriptor,
                               .context = open});
        }
    });
    std::ranges::sort(holders, {},
                      [](const holder& one) { return std::pair(one.context, one.pid); });
    return holders;
}

std::vector<holder> find_holders(std::optional<std::uint32_t> context) {
    return detail::find_holders("/proc", context);
}

} // namespace longpin
