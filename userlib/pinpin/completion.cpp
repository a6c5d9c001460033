// SPDX-License-Identifier: MIT
#include "completion.hpp"

#include "pin_columns.hpp"

#include <longpin/inventory.hpp>
#include <longpin/memory_kind.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <string_view>

namespace pinpin {

namespace {

using candidates = std::vector<std::string>;

candidates kinds() {
    candidates result;
    for (const std::string_view name : longpin::names(static_cast<longpin::memory_kind>(~0U))) {
        if (name != "unknown") {
            result.emplace_back(name);
        }
    }
    return result;
}

candidates columns() {
    candidates result;
    std::ranges::transform(pin_columns(), std::back_inserter(result),
                           [](const pin_column& one) { return std::string(one.key); });
    return result;
}

/// One for each pin that the caller may see, if there is anybody to ask.
template <typename Name>
std::set<std::string> of_pins(const Name& name) {
    std::set<std::string> result;
    if (const auto inventory = longpin::inventory::try_open()) {
        // What came before a failure is better than nothing.
        static_cast<void>(inventory->try_for_each_pin(
            {}, [&](const longpin::pin_record& pin) { result.insert(name(pin)); }));
    }
    return result;
}

candidates as_list(const std::set<std::string>& names) {
    return {names.begin(), names.end()};
}

std::string pid_of(const longpin::pin_record& pin) {
    return std::to_string(pin.pid);
}

candidates pids() {
    return as_list(of_pins(pid_of));
}

candidates pins_and_pids() {
    std::set<std::string> result = of_pins([](const longpin::pin_record& pin) {
        return fmt::format("{}:{}", pin.context, pin.handle);
    });
    result.merge(of_pins(pid_of));
    return as_list(result);
}

candidates handles() {
    return as_list(
        of_pins([](const longpin::pin_record& pin) { return std::to_string(pin.handle); }));
}

candidates contexts() {
    candidates result;
    if (const auto inventory = longpin::inventory::try_open()) {
        if (const auto open = inventory->try_contexts()) {
            std::ranges::transform(*open, std::back_inserter(result),
                                   [](const auto& one) { return std::to_string(one.id); });
        }
    }
    return result;
}

candidates files() {
    return {":file"};
}

candidates users() {
    return {":user"};
}

candidates nothing() {
    return {};
}

/// What the words mean by which help names values.
struct value_type {
    std::string_view name;
    candidates (*values)();
    bool is_list = false;     ///< several, with commas between them
    bool may_be_down = false; ///< or with a '-' before it
};

constexpr std::array value_types{
    value_type{"FILE", files},
    value_type{"PATH", files},
    value_type{"USER", users},
    value_type{"KIND", kinds, true},
    value_type{"KEY", columns, false, true},
    value_type{"KEYS", columns, true},
    value_type{"PID", pids},
    value_type{"PIN_OR_PID", pins_and_pids},
    value_type{"HANDLE", handles},
    value_type{"ID", contexts},
    value_type{"SIZE", nothing},
    value_type{"SECONDS", nothing},
    value_type{"MS", nothing},
    value_type{"RANGE", nothing},
    value_type{"N", nothing},
};

/// What may be given to an option.
candidates values_of(const CLI::Option& option, std::string_view typed) {
    // Behind the type, help shows what is checked.
    std::string type = option.get_type_name();
    type.resize(std::min(type.find(':'), type.size()));
    if (option.get_positional() && (type.empty() || type == "TEXT")) {
        type = option.get_name(true);
    }
    const auto* const known = std::ranges::find(value_types, type, &value_type::name);
    if (known == value_types.end()) {
        throw std::logic_error(fmt::format("nothing is known of values called {}", type));
    }
    candidates result = known->values();
    if (known->may_be_down && typed.starts_with('-')) {
        for (std::string& one : result) {
            one.insert(0, "-");
        }
    }
    if (known->is_list) {
        const std::string before(typed.substr(0, typed.rfind(',') + 1));
        std::erase_if(result, [&](const std::string& one) {
            return (',' + before).find(',' + one + ',') != std::string::npos;
        });
        for (std::string& one : result) {
            one.insert(0, before);
        }
    }
    return result;
}

/// The options of a command, those in groups too.
std::vector<const CLI::Option*> options_of(const CLI::App& app) {
    std::vector<const CLI::Option*> result = app.get_options();
    for (const CLI::App* const group :
         app.get_subcommands([](const CLI::App* one) { return one->get_name().empty(); })) {
        std::ranges::copy_if(group->get_options(), std::back_inserter(result),
                             [&](const CLI::Option* one) { return one != group->get_help_ptr(); });
    }
    return result;
}

/// The option that a word names; null if it names none.
const CLI::Option* option_named(const std::vector<const CLI::Option*>& options,
                                std::string_view word) {
    if (!word.starts_with("--")) {
        return nullptr;
    }
    const std::string name(word.substr(2));
    const auto found = std::ranges::find_if(
        options, [&](const CLI::Option* one) { return one->check_lname(name); });
    return found == options.end() ? nullptr : *found;
}

bool takes_value(const CLI::Option* option) {
    return option != nullptr && option->get_items_expected_max() > 0;
}

candidates names_of(const std::vector<const CLI::Option*>& options) {
    candidates result;
    for (const CLI::Option* const one : options) {
        for (const std::string& name : one->get_lnames()) {
            result.push_back("--" + name);
        }
    }
    return result;
}

candidates for_command(const CLI::App& command, const std::vector<std::string>& words) {
    const std::string& typed = words.back();
    const std::vector<const CLI::Option*> options = options_of(command);

    if (const std::size_t equals = typed.find('='); equals != std::string::npos) {
        const CLI::Option* const option = option_named(options, typed.substr(0, equals));
        if (!takes_value(option)) {
            return {};
        }
        candidates result = values_of(*option, typed.substr(equals + 1));
        for (std::string& one : result) {
            one.insert(0, one.starts_with(':') ? "" : typed.substr(0, equals + 1));
        }
        return result;
    }

    // What stands before tells whether this is the value of an option, or how many positional
    // arguments there are already.
    const CLI::Option* open = nullptr;
    std::size_t arguments = 0;
    for (auto word = words.begin(); word + 1 != words.end(); ++word) {
        if (open != nullptr) {
            open = nullptr;
        } else if (word->starts_with('-')) {
            const CLI::Option* const option = option_named(options, *word);
            open = takes_value(option) ? option : nullptr;
        } else {
            ++arguments;
        }
    }
    if (open != nullptr) {
        return values_of(*open, typed);
    }
    if (!typed.starts_with('-')) {
        for (const CLI::Option* const one : options) {
            if (one->get_positional() && arguments-- == 0) {
                return values_of(*one, typed);
            }
        }
    }
    return names_of(options);
}

candidates all_candidates(const CLI::App& app, const std::vector<std::string>& words) {
    const auto dashes = std::find(words.begin(), words.end() - 1, "--");
    if (dashes != words.end() - 1) { // the program to be run
        return {dashes + 2 == words.end() ? ":command" : ":file"};
    }
    const auto named = [](const CLI::App* one) { return !one->get_name().empty(); };
    const std::vector<const CLI::App*> commands = app.get_subcommands(named);
    if (words.size() == 1) {
        candidates result;
        if (words.back().starts_with('-')) {
            return names_of(options_of(app));
        }
        std::ranges::transform(commands, std::back_inserter(result), &CLI::App::get_name);
        return result;
    }
    const auto command = std::ranges::find(commands, words.front(), &CLI::App::get_name);
    if (command == commands.end()) {
        return {};
    }
    return for_command(**command, {words.begin() + 1, words.end()});
}

} // namespace

std::vector<std::string> complete(const CLI::App& app, const std::vector<std::string>& words) {
    if (words.empty()) {
        return {};
    }
    candidates result = all_candidates(app, words);
    std::erase_if(result, [&](const std::string& one) {
        return !one.starts_with(':') && !one.starts_with(words.back());
    });
    return result;
}

} // namespace pinpin
