// SPDX-License-Identifier: MIT
#include "netlink_spec.hpp"

#include <algorithm>
#include <cctype>
#include <set>
#include <stdexcept>

#include <yaml-cpp/yaml.h>

namespace netlink_spec {

namespace {

std::string text(const YAML::Node& node, const char* key) {
    return node[key] ? node[key].as<std::string>() : std::string();
}

std::string required(const YAML::Node& node, const char* key) {
    if (!node[key]) {
        throw std::runtime_error("a part of the spec has no " + std::string(key));
    }
    return node[key].as<std::string>();
}

/// Numbers count up from the last one where the file gives none.
template <typename Number>
Number next_number(const YAML::Node& node, Number& last) {
    last = node["value"] ? node["value"].as<Number>() : static_cast<Number>(last + 1);
    return last;
}

std::vector<std::string> names(const YAML::Node& node) {
    return node && node["attributes"] ? node["attributes"].as<std::vector<std::string>>()
                                      : std::vector<std::string>();
}

std::optional<exchange> exchange_of(const YAML::Node& node) {
    if (!node) {
        return {};
    }
    return exchange{names(node["request"]), names(node["reply"])};
}

definition definition_of(const YAML::Node& node) {
    definition made{required(node, "name"),
                    required(node, "name-prefix"),
                    text(node, "header"),
                    text(node, "doc"),
                    {}};
    const bool flags = required(node, "type") == "flags";
    std::uint32_t last = ~0U;
    for (const YAML::Node& entry : node["entries"]) {
        const std::uint32_t value = next_number(entry, last);
        made.entries.push_back(
            {required(entry, "name"), text(entry, "doc"), flags ? 1U << value : value});
    }
    return made;
}

attribute_set set_of(const YAML::Node& node) {
    attribute_set made{
        required(node, "name"), required(node, "name-prefix"), text(node, "doc"), {}};
    std::uint16_t last = 0;
    for (const YAML::Node& entry : node["attributes"]) {
        attribute one{required(entry, "name"), text(entry, "doc"), required(entry, "type")};
        one.number = next_number(entry, last);
        one.nested = text(entry, "nested-attributes");
        if (entry["enum-as-flags"]) {
            one.flags = text(entry, "enum");
        }
        if (entry["checks"] && entry["checks"]["min"]) {
            one.minimum = entry["checks"]["min"].as<std::uint64_t>();
        }
        made.attributes.push_back(one);
    }
    return made;
}

operation operation_of(const YAML::Node& node, std::uint32_t& last) {
    operation made{required(node, "name"), text(node, "doc"), required(node, "attribute-set")};
    made.number = static_cast<std::uint8_t>(next_number(node, last));
    made.single = exchange_of(node["do"]);
    made.dump = exchange_of(node["dump"]);
    if (node["event"]) {
        made.event = names(node["event"]);
    }
    return made;
}

template <typename Named>
const Named& named(const std::vector<Named>& all, const std::string& wanted) {
    const auto found = std::ranges::find(all, wanted, &Named::name);
    if (found == all.end()) {
        throw std::runtime_error("the spec has no " + wanted);
    }
    return *found;
}

} // namespace

const attribute& attribute_set::at(const std::string& wanted) const {
    return named(attributes, wanted);
}

const attribute_set& family::set(const std::string& wanted) const {
    return named(sets, wanted);
}

std::vector<std::string> operation::request() const {
    std::set<std::string> either;
    for (const auto& one : {single, dump}) {
        if (one) {
            either.insert(one->request.begin(), one->request.end());
        }
    }
    return {either.begin(), either.end()};
}

family load(const std::string& path) {
    const YAML::Node root = YAML::LoadFile(path);
    family made;
    made.name = required(root, "name");
    made.name_constant = required(root, "c-family-name");
    made.version = root["version"] ? root["version"].as<std::uint32_t>() : 1;
    made.version_constant = required(root, "c-version-name");
    for (const YAML::Node& node : root["definitions"]) {
        made.definitions.push_back(definition_of(node));
    }
    for (const YAML::Node& node : root["attribute-sets"]) {
        made.sets.push_back(set_of(node));
        for (attribute& one : made.sets.back().attributes) {
            if (!one.flags.empty()) {
                for (const constant& entry : named(made.definitions, one.flags).entries) {
                    one.mask |= entry.value;
                }
            }
        }
    }
    made.operation_prefix = required(root["operations"], "name-prefix");
    std::uint32_t last = 0;
    for (const YAML::Node& node : root["operations"]["list"]) {
        made.operations.push_back(operation_of(node, last));
    }
    return made;
}

std::string constant_name(const std::string& prefix, const std::string& name) {
    std::string made = prefix + name;
    std::ranges::transform(made, made.begin(), [](unsigned char letter) {
        return letter == '-' ? '_' : static_cast<char>(std::toupper(letter));
    });
    return made;
}

} // namespace netlink_spec
