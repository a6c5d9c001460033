// SPDX-License-Identifier: MIT
#include "arguments.hpp"
#include "cli.hpp"
#include "colour.hpp"
#include "command.hpp"
#include "event_fields.hpp"
#include "output.hpp"
#include "users.hpp"
#include "wait.hpp"

#include <longpin/event_stream.hpp>

#include <CLI/CLI.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <variant>

namespace pinpin {

namespace {

struct monitor_arguments {
    std::optional<pid_t> pid;
    std::optional<user_argument> user;
    std::optional<std::uint64_t> count;
    std::optional<double> seconds;
};

using clock = std::chrono::steady_clock;

// Events on one side, a reader on the other, and either may let pinpin wait. All waiting is done
// here, so that signals are heeded however slow the reader is.
class tap {
public:
    tap(const waiter& waiter, const longpin::event_stream& stream, const std::ostream& out,
        std::optional<double> seconds)
        : waiter_(waiter), events_(stream.native_handle()), output_(descriptor_of(out)) {
        if (seconds) {
            end_ = clock::now() + std::chrono::duration<double>(*seconds);
        }
    }

    // Waits for an event. False: it is time to end, or nobody reads any more.
    [[nodiscard]] bool wait_for_event() const {
        std::array<pollfd, 2> both{{{.fd = events_, .events = POLLIN}, {.fd = output_}}};
        return wait(both) && both[1].revents == 0;
    }

    // Waits until a line may be written. The same.
    [[nodiscard]] bool wait_for_reader() const {
        std::array<pollfd, 1> one{{{.fd = output_, .events = POLLOUT}}};
        return output_ < 0 || (wait(one) && (one[0].revents & POLLERR) == 0);
    }

private:
    [[nodiscard]] bool wait(std::span<pollfd> descriptors) const {
        if (!end_) {
            return waiter_.wait_for(descriptors, std::nullopt);
        }
        // Also when there is always something to do.
        const double left = std::chrono::duration<double>(*end_ - clock::now()).count();
        return left > 0 && waiter_.wait_for(descriptors, left);
    }

    const waiter& waiter_;
    int events_;
    int output_; // -1: it never waits
    std::optional<std::chrono::time_point<clock, std::chrono::duration<double>>> end_;
};

emphasis emphasis_of(const longpin::event& event) {
    if (std::holds_alternative<longpin::refused_event>(event.what) ||
        std::holds_alternative<longpin::lost_events>(event.what)) {
        return emphasis::bad;
    }
    return std::holds_alternative<longpin::revoked_event>(event.what) ? emphasis::warning
                                                                      : emphasis::none;
}

int run_monitor(session& session, const monitor_arguments& arguments) {
    longpin::event_filter filter{.pid = arguments.pid};
    if (arguments.user) {
        filter.uid = arguments.user->uid;
    }
    const waiter waiter;
    longpin::event_stream stream(filter);
    const tap tap(waiter, stream, session.out, arguments.seconds);
    const bool coloured = has_colours(session.out);
    const auto fitted = [&](const std::string& line) {
        return folded(line, terminal_width(session.out)); // which may change meanwhile
    };
    if (!session.json) {
        session.out << painted(fitted(event_heads()), emphasis::heading, coloured)
                    << std::endl; // NOLINT: who reads it knows that events follow
    }

    pin_view view;
    std::uint64_t shown = 0;
    while (session.out && arguments.count != shown) {
        const std::optional<longpin::event> event = stream.next(std::chrono::milliseconds(0));
        if (!event) {
            if (!tap.wait_for_event()) {
                break;
            }
            continue;
        }
        const record fields = event_fields(*event, view);
        if (!tap.wait_for_reader()) {
            break;
        }
        session.out << (session.json
                            ? to_json_line(to_json(fields))
                            : painted(fitted(event_line(fields)), emphasis_of(*event), coloured))
                    << std::endl; // NOLINT: a reader waits for it
        ++shown;
    }
    return done;
}

} // namespace

action declare_monitor(CLI::App& app) {
    const auto arguments = std::make_shared<monitor_arguments>();
    app.add_option("--pid", arguments->pid, "Events of this process only")
        ->type_name("PID")
        ->check(CLI::PositiveNumber);
    app.add_option("--uid", arguments->user, "Events of this user only")
        ->type_name("USER")
        ->check(check_not_empty);
    app.add_option("--count", arguments->count, "End after that many")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    app.add_option("--for", arguments->seconds, "End after that time, not only at Ctrl-C")
        ->type_name("SECONDS")
        ->check(CLI::NonNegativeNumber);
    return [arguments](session& session) { return run_monitor(session, *arguments); };
}

} // namespace pinpin
