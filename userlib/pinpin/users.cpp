// SPDX-License-Identifier: MIT
#include "users.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string_view>
#include <vector>

#include <linux/capability.h>
#include <pwd.h>
#include <unistd.h>

namespace pinpin {

namespace {

// The number that the kernel gives to the first user namespace, in every boot.
constexpr std::string_view initial_user_namespace = "user:[4026531837]";

// Calls one of getpwuid_r() and getpwnam_r(), with as much memory as it needs. Null: there is no
// such user.
template <typename Call, typename Use>
void look_up(const Call& call, const Use& use) {
    static constexpr std::size_t most = std::size_t{1} << 20U;
    passwd entry{};
    passwd* found = nullptr;
    for (std::vector<char> buffer(1024); buffer.size() <= most; buffer.resize(buffer.size() * 2)) {
        if (call(&entry, buffer.data(), buffer.size(), &found) != ERANGE) {
            use(found);
            return;
        }
    }
}

} // namespace

const std::string& user_names::of(uid_t uid) {
    const auto [entry, is_new] = known_.try_emplace(uid);
    std::string& name = entry->second;
    if (is_new) {
        name = std::to_string(uid);
        look_up([&](auto... buffer) { return ::getpwuid_r(uid, buffer...); },
                [&](const passwd* found) {
                    if (found != nullptr) {
                        name = found->pw_name;
                    }
                });
    }
    return name;
}

bool lexical_cast(const std::string& text, user_argument& value) {
    bool known = false;
    look_up([&](auto... buffer) { return ::getpwnam_r(text.c_str(), buffer...); },
            [&](const passwd* found) {
                if (found != nullptr) {
                    value.uid = found->pw_uid;
                    known = true;
                }
            });
    if (known) {
        return true;
    }
    const char* const end = text.data() + text.size(); // NOLINT(*-pointer-arithmetic)
    const auto [rest, failure] = std::from_chars(text.data(), end, value.uid);
    return failure == std::errc{} && rest == end &&
           value.uid != std::numeric_limits<uid_t>::max(); // which stands for no user
}

bool sees_all_users() {
    std::array<char, 64> name{};
    const ssize_t length = ::readlink("/proc/self/ns/user", name.data(), name.size());
    if (length < 0 ||
        std::string_view(name.data(), static_cast<std::size_t>(length)) != initial_user_namespace) {
        return false;
    }
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::uint64_t capabilities = 0;
        if (word == "CapEff:" && status >> std::hex >> capabilities) {
            return (capabilities >> CAP_SYS_ADMIN & 1U) != 0;
        }
        status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    return false;
}

} // namespace pinpin
