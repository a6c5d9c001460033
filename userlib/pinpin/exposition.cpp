// SPDX-License-Identifier: MIT
#include "exposition.hpp"

#include <fmt/format.h>

#include <string_view>

namespace pinpin {

namespace {

std::string escaped(std::string_view text) {
    std::string result;
    for (const char letter : printable(text)) {
        if (letter == '\\' || letter == '"') {
            result += '\\';
        }
        result += letter;
    }
    return result;
}

std::string sample_name(const metric_family& family) {
    return family.type == metric_family::kind::counter ? family.name + "_total" : family.name;
}

} // namespace

std::string to_text(std::span<const metric_family> families, text_format format) {
    const bool open = format == text_format::openmetrics;
    std::string result;
    for (const metric_family& family : families) {
        const bool counts = family.type == metric_family::kind::counter;
        const std::string sample = sample_name(family);
        const std::string& name = open ? family.name : sample;
        result += fmt::format("# TYPE {} {}\n", name, counts ? "counter" : "gauge");
        if (open && !family.unit.empty()) {
            result += fmt::format("# UNIT {} {}\n", name, family.unit);
        }
        result += fmt::format("# HELP {} {}\n", name, family.help);
        for (const metric& one : family.metrics) {
            std::string labels;
            for (const auto& [label, value] : one.labels) {
                labels +=
                    fmt::format("{}{}=\"{}\"", labels.empty() ? "" : ",", label, escaped(value));
            }
            result += labels.empty() ? sample : fmt::format("{}{{{}}}", sample, labels);
            result += ' ' + one.value.dump() + '\n';
        }
    }
    return open ? result + "# EOF\n" : result;
}

json to_json(std::span<const metric_family> families) {
    json result = json::object();
    for (const metric_family& family : families) {
        json& member = result[sample_name(family)];
        for (const metric& one : family.metrics) {
            if (one.labels.empty()) {
                member = one.value;
                continue;
            }
            json object = json::object();
            for (const auto& [label, value] : one.labels) {
                object[label] = value;
            }
            object["value"] = one.value;
            member.push_back(std::move(object));
        }
    }
    return result;
}

} // namespace pinpin
