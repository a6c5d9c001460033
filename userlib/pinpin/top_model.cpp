// SPDX-License-Identifier: MIT
#include "top_model.hpp"

#include "fit_text.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <tuple>
#include <utility>

namespace pinpin {

namespace {

using longpin::pin_record;

struct sort_key {
    char letter;
    top_order order;
    const char* help;
};

constexpr std::array sort_keys{
    sort_key{'s', top_order::size, "size"},       sort_key{'a', top_order::age, "age"},
    sort_key{'p', top_order::pid, "process"},     sort_key{'u', top_order::user, "user"},
    sort_key{'c', top_order::command, "command"}, sort_key{'n', top_order::pins, "pins"},
    sort_key{'o', top_order::orphans, "orphans"},
};

/// A column of the screen.
struct top_column {
    std::string_view head;
    std::optional<top_order> order; ///< if one can sort by it
    unsigned rank;                  ///< the higher, the sooner a narrow screen lacks it
    std::size_t usual_width;        ///< if there is room
    bool to_the_right;
    std::size_t least_width; ///< to which it may be cut; 0: it may not
    bool keep_end;
    std::string (*text)(const top_row& row, pin_view& view);
};

std::string command_text(const top_row& row, pin_view& /*view*/) {
    return printable(row.pin->comm);
}

std::string user_text(const top_row& row, pin_view& /*view*/) {
    return printable(row.user);
}

std::string size_text(const top_row& row, pin_view& /*view*/) {
    return longpin::format_size(row.size);
}

std::string age_text(const top_row& row, pin_view& /*view*/) {
    return format_age(std::chrono::duration<double>(row.oldest).count());
}

std::string kinds_text(const top_row& row, pin_view& /*view*/) {
    return fmt::format("{}", fmt::join(longpin::names(row.kinds), ","));
}

/// As tables of pins have it.
std::string listed(const top_row& row, pin_view& view, std::string_view key) {
    return to_text(pin_fields(*row.pin, choose_columns(std::array{key}), view).front());
}

std::string pid_text(const top_row& row, pin_view& view) {
    return listed(row, view, "pid");
}

constexpr top_column pid_column{"PID", top_order::pid, 0, 7, true, 0, false, pid_text};
constexpr top_column user_column{"USER", top_order::user, 3, 8, false, 6, false, user_text};
constexpr top_column command_column{"COMMAND", top_order::command, 2, 15, false, 6,
                                    false,     command_text};
constexpr top_column size_column{"SIZE", top_order::size, 1, 8, true, 0, false, size_text};

constexpr std::array columns_of_processes{
    pid_column,
    user_column,
    command_column,
    top_column{"PINS", top_order::pins, 4, 6, true, 0, false,
               [](const top_row& row, pin_view&) { return std::to_string(row.pins); }},
    size_column,
    top_column{"OLDEST", top_order::age, 5, 6, true, 0, false, age_text},
    top_column{"ORPHANS", top_order::orphans, 7, 7, true, 0, false,
               [](const top_row& row, pin_view&) { return std::to_string(row.orphans); }},
    top_column{"KINDS", std::nullopt, 6, 8, false, 6, false, kinds_text},
};

constexpr std::array columns_of_pins{
    top_column{"PIN", top_order::pins, 4, 6, false, 0, false,
               [](const top_row& row, pin_view& view) { return listed(row, view, "pin"); }},
    pid_column,
    user_column,
    command_column,
    size_column,
    top_column{"AGE", top_order::age, 5, 6, true, 0, false, age_text},
    top_column{"KINDS", std::nullopt, 6, 6, false, 6, false, kinds_text},
    top_column{"MEMORY", std::nullopt, 7, 18, false, 18, true,
               [](const top_row& row, pin_view& view) { return listed(row, view, "memory"); }},
};

/// A column with its cells, from the head down.
struct filled_column {
    const top_column* column = nullptr;
    std::vector<std::string> cells;
    std::size_t width = 0; ///< 0: there is no room for it
};

constexpr std::size_t gap = 1;

/// Divides the width of a screen between columns. In the order of their ranks each gets what it
/// needs at least; then, while there is room, what its cells take; then the usual.
void divide(std::vector<filled_column>& columns, std::size_t width) {
    struct wish {
        filled_column* of = nullptr;
        std::size_t least = 0;
        std::size_t content = 0;
    };
    std::vector<wish> wishes;
    for (filled_column& one : columns) {
        std::size_t content = 0;
        for (const std::string& cell : one.cells) {
            content = std::max(content, columns_of(cell));
        }
        const std::size_t cut = one.column->least_width;
        wishes.push_back(
            {.of = &one, .least = cut > 0 ? std::min(content, cut) : content, .content = content});
    }
    std::ranges::sort(wishes, {}, [](const wish& one) { return one.of->column->rank; });

    std::size_t left = width + gap;
    for (const wish& one : wishes) {
        if (one.least + gap <= left) {
            one.of->width = one.least;
            left -= one.least + gap;
        }
    }
    const auto widen = [&](filled_column& one, std::size_t wanted) {
        if (one.width > 0 && one.width < wanted) {
            const std::size_t more = std::min(left, wanted - one.width);
            one.width += more;
            left -= more;
        }
    };
    for (const wish& one : wishes) {
        widen(*one.of, one.content);
    }
    for (const wish& one : wishes) {
        widen(*one.of, one.of->column->usual_width);
    }
}

std::uint64_t all_refused(const longpin::statistics& sums) {
    return std::accumulate(sums.refused.begin(), sums.refused.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
}

/// What a counter grew by. It begins anew when the module is loaded again.
std::uint64_t growth(std::uint64_t before, std::uint64_t now) {
    return now > before ? now - before : 0;
}

} // namespace

void top_model::update(pin_snapshot now) {
    changes_.reset();
    if (now_ && now_->sums && now.sums) {
        const longpin::statistics& before = *now_->sums;
        const std::uint64_t made = growth(before.pins_made, now.sums->pins_made);
        changes_ = {.made = made,
                    .ended = growth(now.sums->pins, before.pins + made),
                    .refused = growth(all_refused(before), all_refused(*now.sums))};
    }
    now_ = std::move(now);
    failure_.clear();

    totals_ = {};
    std::set<uid_t> users;
    for (const pin_record& pin : now_->pins) {
        totals_.add(pin, view_);
        users.insert(pin.uid);
    }
    users_ = users.size();
    make_rows();
}

void top_model::make_rows() {
    rows_.clear();
    if (!now_) {
        return;
    }
    const auto row_of = [&](const pin_record& pin) {
        return top_row{.pin = &pin,
                       .user = view_.users.of(pin.uid),
                       .pins = 1,
                       .size = held_bytes(pin, view_),
                       .orphans = pin.orphaned ? 1U : 0U,
                       .oldest = pin.age,
                       .kinds = pin.footprint.kinds};
    };
    if (!by_process_) {
        rows_.reserve(now_->pins.size());
        std::ranges::transform(now_->pins, std::back_inserter(rows_), row_of);
        return;
    }

    // The pid of a process that is gone may be another's by now. Of processes that have none here
    // only the name is known.
    using process = std::tuple<pid_t, uid_t, bool, std::string_view>;
    std::map<process, top_row> processes;
    for (const pin_record& pin : now_->pins) {
        const std::string_view name = pin.pid == 0 ? std::string_view(pin.comm) : "";
        const process key{pin.pid, pin.uid, pin.orphaned, name};
        const top_row more = row_of(pin);
        const auto [found, is_new] = processes.try_emplace(key, more);
        if (top_row& row = found->second; !is_new) {
            row.pin = pin.age < row.pin->age ? &pin : row.pin;
            row.pins += more.pins;
            row.size += more.size;
            row.orphans += more.orphans;
            row.oldest = std::max(row.oldest, more.oldest);
            row.kinds = row.kinds | more.kinds;
        }
    }
    for (const auto& [key, row] : processes) {
        rows_.push_back(row);
    }
}

bool top_model::is_down() const {
    // The largest first where it is what one looks for; numbers of pins, not their names.
    const bool usually = order_ == top_order::size || order_ == top_order::age ||
                         order_ == top_order::orphans || (order_ == top_order::pins && by_process_);
    return usually != reversed_;
}

bool top_model::comes_before(const top_row& one, const top_row& other) const {
    const bool down = is_down();
    const auto compare = [&](const auto& left, const auto& right) {
        return left == right ? 0 : (left < right) != down ? -1 : 1;
    };
    const auto name = [](const top_row& row) {
        return std::tuple(row.pin->context, row.pin->handle);
    };
    int result = 0;
    switch (order_) {
    case top_order::size: result = compare(one.size, other.size); break;
    case top_order::age: result = compare(one.oldest, other.oldest); break;
    case top_order::pid: result = compare(one.pin->pid, other.pin->pid); break;
    case top_order::user: result = compare(one.user, other.user); break;
    case top_order::command: result = compare(one.pin->comm, other.pin->comm); break;
    case top_order::orphans: result = compare(one.orphans, other.orphans); break;
    case top_order::pins:
        result = by_process_ ? compare(one.pins, other.pins) : compare(name(one), name(other));
        break;
    }
    return result == 0 ? name(one) < name(other) : result < 0;
}

void top_model::press(char letter) {
    const auto* const key = std::ranges::find(sort_keys, letter, &sort_key::letter);
    if (helps_) {
        helps_ = false;
    } else if (letter == 'h' || letter == '?') {
        helps_ = true;
    } else if (letter == 'g') {
        by_process_ = !by_process_;
        make_rows();
    } else if (letter == 'r') {
        reversed_ = !reversed_;
    } else if (key != sort_keys.end()) {
        order_ = key->order;
        reversed_ = false;
    } else {
        return;
    }
    first_ = 0;
}

void top_model::scroll(motion where) {
    switch (where) {
    case motion::up: first_ -= std::min(first_, std::size_t{1}); break;
    case motion::down: ++first_; break;
    case motion::page_up: first_ -= std::min(first_, room_); break;
    case motion::page_down: first_ += room_; break;
    case motion::to_start: first_ = 0; break;
    case motion::to_end: first_ = count_ - std::min(count_, room_); break;
    }
}

void top_model::stay_within(std::size_t lines, std::size_t room) {
    count_ = lines;
    room_ = std::max<std::size_t>(room, 1);
    first_ = std::min(first_, count_ - std::min(count_, room_));
}

std::string top_model::summary() const {
    std::string result =
        fmt::format("{}, {} user{}", to_text(totals_), users_, users_ == 1 ? "" : "s");
    if (by_process_) {
        result += fmt::format(", {} process{}", rows_.size(), rows_.size() == 1 ? "" : "es");
    }
    if (totals_.orphans > 0) {
        result += fmt::format(", {} orphaned", totals_.orphans);
    }
    if (!sees_all_ && now_ && now_->sums) {
        const pin_totals all{.pins = now_->sums->pins, .size = now_->sums->pages * view_.page_size};
        result += "; of all users: " + to_text(all);
    }
    return result;
}

std::string top_model::news() const {
    if (!failure_.empty()) {
        return failure_;
    }
    std::string result;
    if (changes_) {
        result = fmt::format("{} made, {} ended, {} refused since the last look; ", changes_->made,
                             changes_->ended, changes_->refused);
    }
    if (!now_ || !now_->sums) {
        return result;
    }
    return result + fmt::format("{} refused in all", all_refused(*now_->sums));
}

std::vector<top_line> top_model::render(const screen_size& size) {
    static constexpr std::size_t few_lines = 7;
    static constexpr std::size_t many_lines = 12;
    if (helps_) {
        return render_help(size);
    }
    std::vector<top_line> result{{.text = summary()}};
    if (size.lines >= few_lines || !failure_.empty()) {
        result.push_back({.text = news()});
    }
    const bool with_hints = size.lines >= many_lines;
    const std::size_t used = result.size() + (with_hints ? 1 : 0);
    std::ranges::move(render_table(size.lines - std::min(size.lines, used), size.columns),
                      std::back_inserter(result));
    if (with_hints) {
        result.resize(size.lines - 1);
        result.push_back(
            {.text = "q quit  h help  g processes or pins  r reverse  Space look again"});
    }
    result.resize(std::min(result.size(), size.lines));
    for (top_line& line : result) {
        line.text = fit(line.text, size.columns);
    }
    return result;
}

std::vector<top_line> top_model::render_table(std::size_t lines, std::size_t columns) {
    const std::span<const top_column> all =
        by_process_ ? std::span<const top_column>(columns_of_processes) : columns_of_pins;
    const std::size_t room = lines - std::min(lines, std::size_t{1});
    stay_within(rows_.size(), room);

    const auto start = rows_.begin() + static_cast<std::ptrdiff_t>(first_);
    const auto end = start + static_cast<std::ptrdiff_t>(std::min(room, rows_.size() - first_));
    const auto before = [&](const top_row& one, const top_row& other) {
        return comes_before(one, other);
    };
    if (start != rows_.end()) {
        std::nth_element(rows_.begin(), start, rows_.end(), before);
        std::partial_sort(start, end, rows_.end(), before);
    }

    std::vector<filled_column> filled;
    for (const top_column& column : all) {
        const char* const mark = column.order != order_ ? "" : is_down() ? " v" : " ^";
        filled.push_back({.column = &column, .cells = {std::string(column.head) + mark}});
        for (const top_row& row : std::span(start, end)) {
            filled.back().cells.push_back(column.text(row, view_));
        }
    }
    divide(filled, columns);

    std::vector<top_line> result;
    for (std::size_t i = 0; i < filled.front().cells.size(); ++i) {
        top_line& line = result.emplace_back();
        line.stands_out = i == 0;
        for (const filled_column& one : filled) {
            if (one.width > 0) {
                line.text += fit(one.cells[i], one.width,
                                 {one.column->to_the_right, one.column->keep_end && i > 0});
                line.text.append(gap, ' ');
            }
        }
    }
    return result;
}

std::vector<top_line> top_model::render_help(const screen_size& size) {
    static constexpr std::array others{
        "r         reverse the order",
        "g         processes, or single pins",
        "arrows    scroll; so do PgUp, PgDn, Home, End",
        "Space     look again at once",
        "h ?       this help; any letter ends it",
        "q Ctrl-C  quit",
    };
    std::vector<std::string> help(others.begin(), others.end());
    std::ranges::transform(sort_keys, std::inserter(help, help.begin()), [](const sort_key& key) {
        return fmt::format("{}         sort by {}", key.letter, key.help);
    });
    stay_within(help.size(), size.lines);
    std::vector<top_line> result;
    for (std::size_t i = first_; i < help.size() && result.size() < size.lines; ++i) {
        result.push_back({.text = fit(help[i], size.columns)});
    }
    return result;
}

} // namespace pinpin
