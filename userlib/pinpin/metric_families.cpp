// SPDX-License-Identifier: MIT
#include "metric_families.hpp"

#include <longpin/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <string_view>

namespace pinpin {

namespace {

using kind = metric_family::kind;

double in_seconds(std::chrono::nanoseconds span) {
    return std::chrono::duration<double>(span).count();
}

// Every reason that has a name is there from the start: a counter that appears with its first event
// hides that event from those who look at its increase.
std::vector<metric> refusals(const longpin::statistics& totals) {
    static constexpr std::uint32_t beyond_all = 256;
    std::map<std::string_view, std::uint64_t> counts;
    for (std::uint32_t number = 0; number < beyond_all; ++number) {
        const std::string_view name = longpin::name(static_cast<longpin::reason>(number));
        if (name != "unknown") {
            counts[name] = 0;
        }
    }
    for (const auto& [why, count] : totals.refused) {
        counts[longpin::name(why)] += count;
    }
    std::vector<metric> result;
    result.reserve(counts.size());
    for (const auto& [name, count] : counts) {
        result.push_back({count, {{"reason", std::string(name)}}});
    }
    return result;
}

} // namespace

void pin_sums::add(const longpin::pin_record& pin) {
    const std::uint64_t bytes = pin.footprint.pages * page_size_;
    const auto add_to = [bytes](sum& one) {
        ++one.pins;
        one.bytes += bytes;
    };
    add_to(by_user_[pin.uid]);
    add_to(by_kinds_[pin.footprint.kinds]);
    if (pin.orphaned) {
        add_to(orphaned_);
    }
    oldest_ = std::max(oldest_, pin.age);
}

std::vector<metric_family> metric_families(const longpin::statistics& totals, const pin_sums& sums,
                                           const std::string& version) {
    std::vector<metric> user_pins;
    std::vector<metric> user_bytes;
    for (const auto& [uid, sum] : sums.by_user_) {
        user_pins.push_back({sum.pins, {{"uid", std::to_string(uid)}}});
        user_bytes.push_back({sum.bytes, {{"uid", std::to_string(uid)}}});
    }
    std::vector<metric> kind_pins;
    std::vector<metric> kind_bytes;
    for (const auto& [kinds, sum] : sums.by_kinds_) {
        const std::string names = fmt::format("{}", fmt::join(longpin::names(kinds), ","));
        kind_pins.push_back({sum.pins, {{"kinds", names}}});
        kind_bytes.push_back({sum.bytes, {{"kinds", names}}});
    }

    std::vector<metric_family> result{
        {"longpin_info",
         kind::gauge,
         "",
         "The module that is loaded. Always 1.",
         {{1, {{"version", version}}}}},
        {"longpin_contexts", kind::gauge, "", "Open files of /dev/longpin.", {{totals.contexts}}},
        {"longpin_pins", kind::gauge, "", "Pins that are held.", {{totals.pins}}},
        {"longpin_pinned_bytes",
         kind::gauge,
         "bytes",
         "Memory that is held.",
         {{totals.pages * sums.page_size_}}},
        {"longpin_peak_pinned_bytes",
         kind::gauge,
         "bytes",
         "Most memory that was ever held at once.",
         {{totals.peak_pages * sums.page_size_}}},
        {"longpin_runs",
         kind::gauge,
         "",
         "Physically contiguous runs of what is held.",
         {{totals.runs}}},
        {"longpin_bookkeeping_bytes",
         kind::gauge,
         "bytes",
         "Kernel memory for the records of pins.",
         {{totals.bookkeeping}}},
        {"longpin_pins_made", kind::counter, "", "Pins that were made.", {{totals.pins_made}}},
        {"longpin_taken_bytes",
         kind::counter,
         "bytes",
         "Memory that was taken by pins.",
         {{totals.pages_taken * sums.page_size_}}},
        {"longpin_pinning_seconds",
         kind::counter,
         "seconds",
         "Time spent making pins.",
         {{in_seconds(totals.pinning_time)}}},
        {"longpin_dry_runs", kind::counter, "", "Dry runs.", {{totals.dry_runs}}},
        {"longpin_refused", kind::counter, "", "Pins that were refused, by the reason.",
         refusals(totals)},
        {"longpin_revocations",
         kind::counter,
         "",
         "How often pages of a lease were taken back.",
         {{totals.revocations}}},
        {"longpin_revoked_bytes",
         kind::counter,
         "bytes",
         "Memory that was taken back from leases.",
         {{totals.pages_revoked * sums.page_size_}}},
        {"longpin_repins",
         kind::counter,
         "",
         "How often a lease got pages again.",
         {{totals.repins}}},
        {"longpin_orphaned_pins",
         kind::gauge,
         "",
         "Pins whose process is gone.",
         {{sums.orphaned_.pins}}},
        {"longpin_orphaned_bytes",
         kind::gauge,
         "bytes",
         "Memory of pins whose process is gone.",
         {{sums.orphaned_.bytes}}},
        {"longpin_oldest_pin_age_seconds",
         kind::gauge,
         "seconds",
         "Age of the oldest pin; 0 if there is none.",
         {{in_seconds(sums.oldest_)}}},
        {"longpin_user_pins", kind::gauge, "", "Pins that are held, by the user.", user_pins},
        {"longpin_user_pinned_bytes", kind::gauge, "bytes", "Memory that is held, by the user.",
         user_bytes},
        {"longpin_kind_pins", kind::gauge, "", "Pins that are held, by the kinds of memory.",
         kind_pins},
        {"longpin_kind_pinned_bytes", kind::gauge, "bytes",
         "Memory that is held, by the kinds of memory in the pin.", kind_bytes},
    };
    std::erase_if(result, [](const metric_family& family) { return family.metrics.empty(); });
    return result;
}

} // namespace pinpin
