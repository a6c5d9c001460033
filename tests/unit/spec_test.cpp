// SPDX-License-Identifier: MIT
// The netlink family's spec, and the headers that repeat it. That the module does what the spec
// says is tested in the guest.
#include "../support/netlink_spec.hpp"
#include "uapi_header.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <map>
#include <regex>
#include <set>

namespace {

using netlink_spec::constant_name;
using constants = std::map<std::string, std::string>;

const netlink_spec::family& spec() {
    static const netlink_spec::family loaded = netlink_spec::load(LONGPIN_NETLINK_SPEC);
    return loaded;
}

std::string quoted(const std::string& text) {
    return '"' + text + '"';
}

/// Every constant that a header with this spec has.
constants constants_of_spec() {
    constants all{{constant_name(spec().name_constant), quoted(spec().name)},
                  {constant_name(spec().version_constant), std::to_string(spec().version)}};
    const auto add = [&](const std::string& prefix, const std::string& name, unsigned number) {
        all[constant_name(prefix, name)] = std::to_string(number);
    };
    for (const auto& operation : spec().operations) {
        add(spec().operation_prefix, operation.name, operation.number);
    }
    add(spec().operation_prefix, "max", spec().operations.back().number);
    for (const auto& set : spec().sets) {
        for (const auto& attribute : set.attributes) {
            add(set.prefix, attribute.name, attribute.number);
        }
        add(set.prefix, "max", set.attributes.back().number);
    }
    for (const auto& definition : spec().definitions) {
        if (definition.header.empty()) {
            for (const auto& entry : definition.entries) {
                add(definition.prefix, entry.name, entry.value);
            }
        }
    }
    return all;
}

/// Every constant of the header, as its text.
constants constants_of_header() {
    static const std::regex define(R"(#define\s+(\w+)\s+(.*\S)\s*)");
    constants all;
    std::ifstream header(LONGPIN_NETLINK_HEADER);
    std::smatch match;
    for (std::string line; std::getline(header, line);) {
        if (std::regex_match(line, match, define)) {
            all[match[1]] = match[2];
        }
    }
    return all;
}

} // namespace

TEST_CASE("spec: the netlink header has the constants of the spec and no others") {
    CHECK(constants_of_header() == constants_of_spec());
}

TEST_CASE("spec: kinds, flags, reasons and causes are those of the ioctl header") {
    std::set<std::string> compared;
    for (const auto& definition : spec().definitions) {
        if (definition.header != "linux/longpin.h") {
            CHECK(definition.header.empty());
            continue;
        }
        // "longpin-kind-" is the group KIND.
        std::string group = constant_name(definition.prefix);
        group = group.substr(sizeof("LONGPIN_") - 1, group.size() - sizeof("LONGPIN_"));
        std::map<std::string, std::uint32_t> said;
        for (const auto& entry : definition.entries) {
            std::string name = entry.name;
            std::ranges::replace(name, '-', '_');
            said[name] = entry.value;
        }
        INFO(group);
        CHECK(said == uapi_constants(group));
        compared.insert(group);
    }
    CHECK(compared == std::set<std::string>{"CAUSE", "KIND", "PIN", "REASON"});
}

TEST_CASE("spec: everything has a doc") {
    for (const auto& definition : spec().definitions) {
        INFO(definition.name);
        CHECK_FALSE(definition.doc.empty());
        for (const auto& entry : definition.entries) {
            INFO(entry.name);
            CHECK_FALSE(entry.doc.empty());
        }
    }
    for (const auto& set : spec().sets) {
        INFO(set.name);
        CHECK_FALSE(set.doc.empty());
        for (const auto& attribute : set.attributes) {
            INFO(attribute.name);
            CHECK(attribute.doc.empty() == (attribute.type == "pad"));
        }
    }
    for (const auto& operation : spec().operations) {
        INFO(operation.name);
        CHECK_FALSE(operation.doc.empty());
    }
}

TEST_CASE("spec: commands name attributes of their set, and nests name sets") {
    for (const auto& operation : spec().operations) {
        INFO(operation.name);
        const auto& set = spec().set(operation.set);
        std::vector<std::string> named = operation.request();
        for (const auto& replies : {operation.single, operation.dump}) {
            if (replies) {
                CHECK(replies->reply.empty() == operation.name.ends_with("subscribe"));
                named.insert(named.end(), replies->reply.begin(), replies->reply.end());
            }
        }
        if (operation.event) {
            named.insert(named.end(), operation.event->begin(), operation.event->end());
        }
        for (const std::string& name : named) {
            CHECK_NOTHROW(set.at(name));
        }
        // A command asks or is an event.
        CHECK(operation.event.has_value() != (operation.single || operation.dump));
    }
    for (const auto& set : spec().sets) {
        for (const auto& attribute : set.attributes) {
            INFO(set.name << ' ' << attribute.name);
            CHECK((attribute.type == "nest") == !attribute.nested.empty());
            if (!attribute.nested.empty()) {
                CHECK_NOTHROW(spec().set(attribute.nested));
            }
        }
    }
}
