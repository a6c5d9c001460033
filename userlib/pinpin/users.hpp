// SPDX-License-Identifier: MIT
// Users by name and number, and what the caller's own user may see.
#pragma once

#include <map>
#include <string>

#include <sys/types.h>

namespace pinpin {

/// The names of users. Each is looked up once, however many pins it has.
class user_names {
public:
    /// The user's name; its number, if it has none.
    const std::string& of(uid_t uid);

private:
    std::map<uid_t, std::string> known_;
};

/// A user on the command line: a name or a number.
struct user_argument {
    uid_t uid = 0;
};

/// What turns the text of an option into its value, for CLI11.
bool lexical_cast(const std::string& text, user_argument& value);

/// Whether the module shows the caller what all users hold: with CAP_SYS_ADMIN, and not in a user
/// namespace of its own.
bool sees_all_users();

} // namespace pinpin
