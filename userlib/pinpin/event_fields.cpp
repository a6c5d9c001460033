// SPDX-License-Identifier: MIT
#include "event_fields.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <string_view>
#include <variant>

namespace pinpin {

namespace {

// Widths that leave room for a refusal's errno and reason in 80 columns.
constexpr const char* row = "{:<8} {:<8} {:<5} {:>5} {:<8} {:<6} {:>8} {}";

constexpr const char* lost = "events were lost: read faster or filter, and list again";

record beginning(const longpin::event& event, const char* what) {
    // A double has no room for nanoseconds since 1970.
    const auto time =
        std::chrono::duration_cast<std::chrono::microseconds>(event.time.time_since_epoch());
    const std::time_t whole = std::chrono::system_clock::to_time_t(event.time);
    return {{"time", "time", static_cast<double>(time.count()) / 1e6, unit::none,
             fmt::format("{:%H:%M:%S}", fmt::localtime(whole))},
            {"event", "event", what}};
}

struct describer {
    const longpin::event& event;
    pin_view& view;

    [[nodiscard]] record with_pin(const char* what, const longpin::pin_record& pin) const {
        record result = beginning(event, what);
        std::ranges::move(pin_fields(pin, fact_columns(false), view), std::back_inserter(result));
        return result;
    }

    record operator()(const longpin::pinned_event& what) const {
        return with_pin("pinned", what.pin);
    }

    record operator()(const longpin::unpinned_event& what) const {
        record result = with_pin("unpinned", what.pin);
        result.push_back({"cause", "cause", longpin::name(what.cause)});
        return result;
    }

    record operator()(const longpin::revoked_event& what) const {
        record result = with_pin("revoked", what.pin);
        result.push_back({"cause", "cause", longpin::name(what.cause)});
        result.push_back({"changed_offset", "changed_offset", what.offset, unit::bytes});
        result.push_back({"changed_length", "changed_length", what.length, unit::bytes});
        return result;
    }

    record operator()(const longpin::repinned_event& what) const {
        return with_pin("repinned", what.pin);
    }

    record operator()(const longpin::refused_event& what) const {
        static constexpr std::array<std::string_view, 9> keys{
            "context", "pid", "comm", "uid", "user", "address", "length", "writable", "cookie"};
        record result = beginning(event, "refused");
        std::ranges::move(pin_fields(what.request, choose_columns(keys), view),
                          std::back_inserter(result));
        // An error knows which of the facts mean anything for which reason.
        const json why =
            to_json(pinpin::describe(longpin::error(what.errno_value, "pin", "", what.facts)));
        for (const auto& [key, value] : why.at("error").items()) {
            if (key != "message") {
                result.push_back({key, key, value});
            }
        }
        return result;
    }

    record operator()(const longpin::lost_events& /*what*/) const {
        record result = beginning(event, "lost");
        result.push_back({"message", "message", lost});
        return result;
    }
};

} // namespace

record event_fields(const longpin::event& event, pin_view& view) {
    return std::visit(describer{event, view}, event.what);
}

std::string event_heads() {
    return fmt::format(fmt::runtime(row), "TIME", "EVENT", "PIN", "PID", "COMM", "USER", "SIZE",
                       "KINDS, WHY");
}

std::string event_line(const record& fields) {
    const auto text = [&](std::string_view key) -> std::string {
        const auto found = std::ranges::find(fields, key, &field::key);
        return found == fields.end() || (found->value.is_null() && found->text.empty())
                   ? ""
                   : to_text(*found);
    };
    if (const std::string message = text("message"); !message.empty()) {
        return fmt::format("{:<8} {:<8} {}", text("time"), text("event"), message);
    }
    // A request that was refused has no handle, and holds nothing.
    const std::string reason = text("reason");
    const bool was_pin = reason.empty();
    const std::string why = was_pin ? text("kinds") + ' ' + text("cause")
                                    : text("errno") + ' ' + (reason == "none" ? "" : reason);
    // Of a revocation, what went.
    const std::string changed = text("changed_length");
    const std::string size = !changed.empty() ? changed : text(was_pin ? "size" : "length");
    std::string line = fmt::format(fmt::runtime(row), text("time"), text("event"),
                                   was_pin ? text("pin") : text("context") + ':', text("pid"),
                                   text("comm"), text("user"), size, why);
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

} // namespace pinpin
