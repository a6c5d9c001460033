// SPDX-License-Identifier: MIT
#include "memory_use.hpp"

#include <algorithm>
#include <tuple>

namespace pinpin {

namespace {

field bytes_or_unknown(const char* key, const char* label, std::optional<std::uint64_t> bytes) {
    return bytes ? field{key, label, *bytes, unit::bytes}
                 : field{key, label, json(), unit::bytes, "?"};
}

} // namespace

std::optional<std::uint64_t> memory_use::other() const {
    if (!longpin) {
        return std::nullopt;
    }
    // A process may have pinned less by now than longpin holds for it: VmPin stays behind when it
    // executes another program.
    return process.vm_pin - std::min(process.vm_pin, *longpin);
}

void longpin_use::add(const longpin::pin_record& pin, std::uint64_t page_size) {
    const std::uint64_t bytes = pin.footprint.pages * page_size;
    if (pin.orphaned) {
        ++orphaned_pins;
        orphaned_size += bytes;
    } else {
        by_process[pin.pid] += bytes;
    }
}

std::vector<memory_use> compare(std::vector<process_status> processes, const longpin_use& use,
                                std::optional<uid_t> seen_user, bool all) {
    std::vector<memory_use> result;
    for (process_status& process : processes) {
        const auto found = use.by_process.find(process.pid);
        const std::uint64_t own = found == use.by_process.end() ? 0 : found->second;
        const bool has_any = process.vm_pin > 0 || process.vm_lck > 0 || own > 0;
        if (!process.has_memory || !(all || has_any)) {
            continue;
        }
        const bool is_seen = !seen_user || *seen_user == process.uid || own > 0;
        result.push_back({std::move(process), is_seen ? std::optional(own) : std::nullopt});
    }
    std::ranges::stable_sort(result, std::ranges::greater(), [](const memory_use& one) {
        return std::tuple(one.process.vm_pin, one.process.vm_lck);
    });
    return result;
}

record memory_fields(const memory_use& one, user_names& users) {
    return {{"pid", "PID", one.process.pid},
            {"uid", "UID", one.process.uid},
            {"user", "USER", users.of(one.process.uid)},
            {"comm", "COMM", one.process.comm},
            {"vm_pin", "VmPin", one.process.vm_pin, unit::bytes},
            {"vm_lck", "VmLck", one.process.vm_lck, unit::bytes},
            bytes_or_unknown("longpin", "LONGPIN", one.longpin),
            bytes_or_unknown("other", "OTHER", one.other())};
}

} // namespace pinpin
