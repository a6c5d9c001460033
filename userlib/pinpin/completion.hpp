// SPDX-License-Identifier: MIT
// What may stand where the user pressed Tab. The shell's script (completion.bash) asks for it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace pinpin {

/// The candidates for the last word of a command line, which it begins with as far as it is typed.
/// Or a word for what the shell knows better: ":file", ":command", ":user".
/// \param app    the commands and their options
/// \param words  those behind "pinpin"; the last one may be empty
std::vector<std::string> complete(const CLI::App& app, const std::vector<std::string>& words);

} // namespace pinpin
