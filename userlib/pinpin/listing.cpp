// SPDX-License-Identifier: MIT
#include "listing.hpp"

#include "colour.hpp"
#include "fit_text.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <numeric>
#include <ostream>
#include <utility>

namespace pinpin {

namespace {

constexpr std::size_t usual_width = 80;
constexpr std::size_t rows_to_settle = 1000;

} // namespace

std::size_t width_of(const std::ostream& out) {
    const std::size_t width = terminal_width(out);
    return width > 0 ? width : usual_width;
}

std::vector<std::string> to_cells(const record& fields) {
    std::vector<std::string> result;
    result.reserve(fields.size());
    std::ranges::transform(fields, std::back_inserter(result), to_text);
    return result;
}

listing::listing(std::ostream& out, std::vector<column> columns, const layout& shape)
    : out_(out), columns_(std::move(columns)), shape_(shape), widths_(columns_.size()) {}

void listing::add(std::vector<std::string> cells) {
    if (settled_) {
        leave_out(cells);
        out_ << line(cells) << '\n';
        return;
    }
    waiting_.push_back(std::move(cells));
    if (waiting_.size() == rows_to_settle) {
        settle();
    }
}

void listing::finish() {
    if (!settled_ && !waiting_.empty()) {
        settle();
    }
}

void listing::leave_out(std::vector<std::string>& cells) const {
    if (left_out_) {
        cells.erase(cells.begin() + *left_out_);
    }
}

void listing::leave_out_what_is_usual() {
    const auto one =
        std::ranges::find_if(columns_, [](const column& head) { return !head.usual.empty(); });
    if (one == columns_.end()) {
        return;
    }
    const std::ptrdiff_t place = one - columns_.begin();
    if (std::ranges::all_of(waiting_, [&](const std::vector<std::string>& cells) {
            return cells[static_cast<std::size_t>(place)] == one->usual;
        })) {
        left_out_ = place;
        columns_.erase(one);
        widths_.pop_back();
        std::ranges::for_each(waiting_, [&](auto& cells) { leave_out(cells); });
    }
}

void listing::settle() {
    leave_out_what_is_usual();
    std::vector<std::string> heads;
    std::ranges::transform(columns_, std::back_inserter(heads), &column::head);
    const auto make_room = [this](const std::vector<std::string>& cells) {
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            widths_[i] = std::max(widths_[i], columns_of(cells[i]));
        }
    };
    if (shape_.with_heads) {
        make_room(heads);
    }
    std::ranges::for_each(waiting_, make_room);

    // What one column gets is what the others leave.
    most_ = std::numeric_limits<std::size_t>::max();
    const auto one = std::ranges::find_if(columns_, &column::may_be_cut);
    if (shape_.width > 0 && one != columns_.end()) {
        std::size_t& width = widths_[static_cast<std::size_t>(one - columns_.begin())];
        const std::size_t all = std::accumulate(widths_.begin(), widths_.end(), std::size_t{0});
        const std::size_t gaps = columns_.size() - 1;
        if (all - width + std::min(width, least_columns) + gap_ * gaps > shape_.width) {
            gap_ = 1;
        }
        const std::size_t others = all - width + gap_ * gaps;
        most_ = std::max(least_columns, shape_.width - std::min(others, shape_.width));
        width = std::min(width, most_);
    }

    settled_ = true;
    if (shape_.with_heads) {
        out_ << painted(line(heads), emphasis::heading, has_colours(out_)) << '\n';
    }
    for (const std::vector<std::string>& cells : waiting_) {
        out_ << line(cells) << '\n';
    }
    waiting_.clear();
}

std::string listing::line(const std::vector<std::string>& cells) const {
    std::string result;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        const bool too_long = columns_[i].may_be_cut && columns_of(cells[i]) > most_;
        const std::string text = too_long ? end_of(cells[i], most_) : cells[i];
        const std::size_t room = widths_[i] - std::min(widths_[i], columns_of(text));
        result.append(i > 0 ? gap_ : 0, ' ');
        result.append(columns_[i].to_the_right ? room : 0, ' ');
        result += text;
        if (!columns_[i].to_the_right && i + 1 < columns_.size()) {
            result.append(room, ' ');
        }
    }
    return result;
}

} // namespace pinpin
