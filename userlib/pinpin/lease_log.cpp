// SPDX-License-Identifier: MIT
#include "lease_log.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <chrono>
#include <ostream>

#include <unistd.h>

namespace pinpin {

namespace {

using longpin::format_size;
using longpin::lease_event_type;

// What every line ends with.
field held_field(const longpin::pin_info& now) {
    return {"pages", "pages", now.footprint.pages};
}

std::string held_text(const longpin::pin_info& now, std::uint64_t page_size) {
    const std::uint64_t pages = now.footprint.pages;
    return fmt::format("{} of {} are held", format_size(pages * page_size),
                       format_size((pages + now.revoked_pages) * page_size));
}

field event_field(std::string_view event, const std::string& sentence) {
    return {"event", "event", event, unit::none, sentence};
}

} // namespace

std::string to_text(longpin::cause cause) {
    const char* because = "of something that this pinpin doesn't know";
    switch (cause) {
    case longpin::cause::unpin:
    case longpin::cause::close: because = "the pin ended"; break;
    case longpin::cause::unmap: because = "its memory was unmapped, moved or mapped over"; break;
    case longpin::cause::invalidate:
        because = "blocks of its file were removed or the kernel moved the pages";
        break;
    case longpin::cause::exit: because = "its process ended or ran another program"; break;
    case longpin::cause::let_go: because = "its holder let go"; break;
    case longpin::cause::write_protect:
        because = "its file system wants to know of the next write";
        break;
    }
    return fmt::format("{} ({})", because, longpin::name(cause));
}

record lease_fields(const longpin::lease_event& event, const longpin::pin_info& now,
                    std::uint64_t page_size) {
    const std::string name(longpin::name(event.type));
    if (event.type == lease_event_type::overflow) {
        return {event_field(name, fmt::format("{}: {} events were lost; {}", name, event.lost,
                                              held_text(now, page_size))),
                {"lost", "lost", event.lost},
                held_field(now)};
    }
    return {event_field(name, fmt::format("{}: {} at offset {}, because {}", name,
                                          format_size(event.length), format_size(event.offset),
                                          to_text(event.cause))),
            {"offset", "offset", event.offset, unit::bytes},
            {"length", "length", event.length, unit::bytes},
            {"cause", "cause", longpin::name(event.cause)},
            held_field(now)};
}

lease_log::lease_log(std::ostream& out, bool as_json, const longpin::device& device,
                     const longpin::pin& held, const mapping& memory, bool repins)
    : out_(out), as_json_(as_json), device_(device), held_(held), memory_(memory), repins_(repins),
      page_size_(static_cast<std::uint64_t>(::getpagesize())) {}

void lease_log::catch_up() const {
    bool lacks_pages = false;
    while (const auto event = device_.next_event(std::chrono::milliseconds(0))) {
        tell(lease_fields(*event, held_.query(), page_size_));
        if (event->type == lease_event_type::revoking) {
            let_go(*event);
        }
        lacks_pages = true;
    }
    if (repins_ && lacks_pages) {
        repin();
    }
}

void lease_log::tell(const record& fields) const {
    out_ << (as_json_ ? to_json_line(to_json(fields))
                      : folded(to_text(fields.front()), terminal_width(out_)))
         << std::endl; // NOLINT: a reader waits for it
}

// There is no device to be stopped first.
void lease_log::let_go(const longpin::lease_event& event) const {
    const std::uint64_t pages = held_.let_go(event.offset, event.length);
    tell({event_field("let_go", fmt::format("let go: {}, so that nobody has to wait for it",
                                            format_size(pages * page_size_))),
          {"offset", "offset", event.offset, unit::bytes},
          {"length", "length", event.length, unit::bytes},
          {"released", "released", pages},
          held_field(held_.query())});
}

// What lies beyond the end of a file can't be had, and would spoil it for the rest. Whoever cuts
// the file once more meanwhile is followed.
void lease_log::repin() const {
    for (;;) {
        const std::uint64_t there = memory_.present_length();
        longpin::result<std::uint64_t> taken = std::uint64_t{0};
        if (there > 0) {
            taken = held_.try_repin(0, there);
        }
        if (taken) {
            const longpin::pin_info now = held_.query();
            tell({event_field("repinned",
                              fmt::format("repinned: {}; {}", format_size(*taken * page_size_),
                                          held_text(now, page_size_))),
                  {"repinned", "repinned", *taken},
                  held_field(now)});
            return;
        }
        if (memory_.present_length() >= there) {
            record fields{
                event_field("repin_failed", fmt::format("repin failed: {}", taken.error().what()))};
            const json why = to_json(describe(taken.error()));
            fields.push_back({"error", "error", why.at("error")});
            fields.push_back(held_field(held_.query()));
            tell(fields);
            return;
        }
    }
}

} // namespace pinpin
