// SPDX-License-Identifier: MIT
#include "figures.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace bench {

const pin_figure& figures::of(const std::string& memory, const std::string& size,
                              const std::string& by) const {
    const auto found = std::ranges::find_if(pins, [&](const pin_figure& pin) {
        return pin.memory == memory && pin.size == size && pin.by == by;
    });
    if (found == pins.end()) {
        throw std::runtime_error("no figure of " + memory + ", " + size + ", " + by);
    }
    return *found;
}

std::map<std::string, std::optional<double>> figures::by_name() const {
    std::map<std::string, std::optional<double>> all;
    for (const pin_figure& pin : pins) {
        const std::string name = pin.memory + ", " + pin.size + ", " + pin.by;
        const bool known = pin.refused.empty();
        all[name + ", pin"] = known ? std::optional(pin.pin) : std::nullopt;
        all[name + ", unpin"] = known ? std::optional(pin.unpin) : std::nullopt;
    }
    for (const other_figure& other : others) {
        all[other.what] = other.value;
    }
    return all;
}

figures read_figures(const std::filesystem::path& path) {
    std::ifstream stream(path);
    if (!stream) {
        throw std::runtime_error("can't read " + path.string());
    }
    return nlohmann::json::parse(stream).get<figures>();
}

} // namespace bench
