// SPDX-License-Identifier: MIT
#include "cli.hpp"
#include "command.hpp"
#include "output.hpp"
#include "screen.hpp"
#include "top_model.hpp"

#include <longpin/inventory.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>

#include <unistd.h>

namespace pinpin {

namespace {

using std::chrono::steady_clock;

pin_snapshot look(const longpin::inventory& inventory) {
    auto sums = inventory.try_statistics();
    pin_snapshot result{.pins = inventory.pins()};
    if (sums || sums.error().code() != std::errc::operation_not_permitted) { // as in a container
        result.sums = std::move(sums).value();
    }
    return result;
}

// The module may go and come again while somebody watches.
void look_again(std::optional<longpin::inventory>& inventory, top_model& model) {
    try {
        if (!inventory) {
            inventory.emplace();
        }
        model.update(look(*inventory));
    } catch (const longpin::error& failed) {
        inventory.reset();
        model.fail(failed.what());
    }
}

int run_top(session& session, std::chrono::duration<double> interval) {
    if (descriptor_of(session.out) != STDOUT_FILENO) {
        throw std::runtime_error("cannot show a full screen but on the standard output");
    }
    // Before the screen: what fails now had better be read in peace.
    std::optional<longpin::inventory> inventory(std::in_place);
    top_model model;
    model.update(look(*inventory));

    screen screen;
    const auto pause = std::chrono::duration_cast<steady_clock::duration>(interval);
    auto next_look = steady_clock::now() + pause;
    for (;;) {
        screen.show(model.render(screen.size()));
        const std::optional<user_input> wanted = screen.next(next_look);
        if (!wanted) {
            look_again(inventory, model);
            next_look = steady_clock::now() + pause; // however long looking takes
        } else if (const char* const letter = std::get_if<char>(&*wanted)) {
            if (*letter == 'q') {
                return done;
            }
            if (*letter == ' ') {
                next_look = steady_clock::now();
            }
            model.press(*letter);
        } else if (const motion* const where = std::get_if<motion>(&*wanted)) {
            model.scroll(*where);
        } else if (std::holds_alternative<quit_request>(*wanted)) {
            return done;
        }
    }
}

} // namespace

action declare_top(CLI::App& app) {
    const auto seconds = std::make_shared<double>(2);
    app.remove_option(app.get_option("--json"));
    app.add_option("--interval", *seconds, "How often to look again")
        ->type_name("SECONDS")
        ->capture_default_str()
        ->check([](const std::string& text) {
            double value = 0;
            return CLI::detail::lexical_cast(text, value) && value >= 0.1 && value <= 86400
                       ? ""
                       : "it has to be from 0.1 to 86400 seconds";
        });
    return [seconds](session& session) {
        return run_top(session, std::chrono::duration<double>(*seconds));
    };
}

} // namespace pinpin
