// SPDX-License-Identifier: MIT
// What pinpin top shows, without the terminal: rows, their order, and the lines of a screen.
#pragma once

#include "pin_columns.hpp"

#include <longpin/inventory.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pinpin {

/// What is pinned at some time.
struct pin_snapshot {
    std::vector<longpin::pin_record> pins;   ///< that the caller may see
    std::optional<longpin::statistics> sums; ///< over all users; empty where they are not shown
};

/// A process and what it pinned, or a single pin.
struct top_row {
    const longpin::pin_record* pin = nullptr; ///< of a process, the newest
    std::string_view user;
    std::uint64_t pins = 0;
    std::uint64_t size = 0; ///< bytes held
    std::uint64_t orphans = 0;
    std::chrono::nanoseconds oldest{};
    longpin::memory_kind kinds = longpin::memory_kind::none;
};

enum class top_order { size, age, pid, user, command, pins, orphans };

enum class motion { up, down, page_up, page_down, to_start, to_end };

/// A line of the screen.
struct top_line {
    std::string text;
    bool stands_out = false;
};

/// In characters.
struct screen_size {
    std::size_t lines = 0;
    std::size_t columns = 0;
};

/// What there is to see, and which part of it is seen, and how. In the beginning, processes and
/// the largest first.
class top_model {
public:
    /// Takes over what is pinned now.
    void update(pin_snapshot now);

    /// Tells why there is nothing newer, beside what was there.
    void fail(std::string why) { failure_ = std::move(why); }

    /// Does what a letter stands for. Any ends the help.
    void press(char letter);

    /// Scrolls, and stops at the ends.
    void scroll(motion where);

    /// The lines of a screen, each as wide as it. Of the rows only those that are seen are put
    /// into order and formatted.
    std::vector<top_line> render(const screen_size& size);

private:
    /// Since the update before.
    struct changes {
        std::uint64_t made = 0;
        std::uint64_t ended = 0;
        std::uint64_t refused = 0;
    };

    void make_rows();
    [[nodiscard]] bool is_down() const;
    [[nodiscard]] bool comes_before(const top_row& one, const top_row& other) const;
    [[nodiscard]] std::string summary() const;
    [[nodiscard]] std::string news() const;
    [[nodiscard]] std::vector<top_line> render_help(const screen_size& size);
    [[nodiscard]] std::vector<top_line> render_table(std::size_t lines, std::size_t columns);
    void stay_within(std::size_t lines, std::size_t room);

    std::optional<pin_snapshot> now_;
    std::optional<changes> changes_;
    pin_totals totals_;
    std::size_t users_ = 0;
    std::string failure_; // "" after an update
    bool sees_all_ = sees_all_users();

    pin_view view_;
    std::vector<top_row> rows_;

    bool by_process_ = true;
    top_order order_ = top_order::size;
    bool reversed_ = false;
    bool helps_ = false;
    // Rows, or lines of the help: the first that is seen; how many there were, and were seen, last.
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::size_t room_ = 1;
};

} // namespace pinpin
