// SPDX-License-Identifier: MIT
// What pinpin doctor concludes: a function of the facts alone.
#pragma once

#include "doctor_facts.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pinpin {

enum class severity {
    ok,
    note,    ///< worth knowing; nothing is broken
    problem, ///< something that longpin is for won't work
};

std::string_view name(severity how_bad) noexcept;

struct finding {
    std::string check; ///< what was looked at: "module", "dax0.0", "/mnt/pmem"
    severity state = severity::ok;
    std::string sentence;
    std::optional<std::string> mend = {}; ///< the command that changes it
};

/// At least one finding for each thing that is looked at.
std::vector<finding> examine(const facts& seen);

} // namespace pinpin
