// SPDX-License-Identifier: MIT
// The netlink family as uapi/netlink/longpin.yaml describes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace netlink_spec {

struct attribute {
    std::string name;
    std::string doc;
    std::string type; ///< "u32", "nest", ...
    std::uint16_t number = 0;
    std::uint64_t minimum = 0;
    std::string flags;      ///< of flags: their definition
    std::uint64_t mask = 0; ///< of flags: all that there are
    std::string nested;     ///< of a nest: the set that its attributes are of
};

struct attribute_set {
    std::string name;
    std::string prefix; ///< of the constants in the header
    std::string doc;
    std::vector<attribute> attributes;

    /// Throws if there is none of that name.
    [[nodiscard]] const attribute& at(const std::string& wanted) const;
};

struct constant {
    std::string name;
    std::string doc;
    std::uint32_t value = 0;
};

/// An enum, or the bits of flags.
struct definition {
    std::string name;
    std::string prefix;
    std::string header; ///< that has the constants; empty: the family's own
    std::string doc;
    std::vector<constant> entries;
};

/// The names of attributes that go each way.
struct exchange {
    std::vector<std::string> request;
    std::vector<std::string> reply;
};

struct operation {
    std::string name;
    std::string doc;
    std::string set;
    std::uint8_t number = 0;
    std::optional<exchange> single; ///< what the file calls "do"
    std::optional<exchange> dump;
    std::optional<std::vector<std::string>> event;

    /// What a request may have in it, of either sort.
    [[nodiscard]] std::vector<std::string> request() const;
};

struct family {
    std::string name;
    std::string name_constant;
    std::uint32_t version = 0;
    std::string version_constant;
    std::string operation_prefix;
    std::vector<definition> definitions;
    std::vector<attribute_set> sets;
    std::vector<operation> operations;

    /// Throws if there is none of that name.
    [[nodiscard]] const attribute_set& set(const std::string& wanted) const;
};

/// Reads the file. Throws if it can't be read, or lacks what it must have.
family load(const std::string& path);

/// The name of a constant as headers write it.
std::string constant_name(const std::string& prefix, const std::string& name = {});

} // namespace netlink_spec
