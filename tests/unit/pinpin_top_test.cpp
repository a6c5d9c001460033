// SPDX-License-Identifier: MIT
// What pinpin top would show, line by line, without a terminal.
#include "cli.hpp"
#include "fit_text.hpp"
#include "top_model.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <clocale>
#include <sstream>
#include <string>
#include <vector>

using Catch::Matchers::Contains;
using longpin::memory_kind;
using longpin::pin_record;
using pinpin::fit;
using pinpin::motion;
using pinpin::pin_snapshot;
using pinpin::screen_size;
using pinpin::top_line;
using pinpin::top_model;
using std::chrono::seconds;

namespace {

constexpr screen_size usual{.lines = 24, .columns = 80};
constexpr uid_t nobody = 4000000; // without a name

/// A pin of so many MiB.
pin_record make_pin(std::uint32_t context, std::uint32_t handle, pid_t pid, std::uint64_t size) {
    pin_record pin;
    pin.context = context;
    pin.handle = handle;
    pin.pid = pid;
    pin.comm = "proc" + std::to_string(pid);
    pin.uid = nobody;
    pin.address = 0x7f0000000000;
    pin.length = size << 20U;
    pin.footprint.kinds = memory_kind::anon;
    pin.footprint.pages = pin.length / static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    pin.age = seconds(10);
    return pin;
}

pin_snapshot snapshot_of(std::vector<pin_record> pins) {
    pin_snapshot result{.pins = std::move(pins)};
    result.sums.emplace();
    result.sums->pins = result.pins.size();
    result.sums->pins_made = result.pins.size();
    return result;
}

/// Three processes: 100 has 1 + 4 MiB, 200 has 3 MiB, 300 has 2 MiB.
pin_snapshot three_processes() {
    std::vector<pin_record> pins{make_pin(1, 1, 100, 1), make_pin(1, 2, 100, 4),
                                 make_pin(2, 1, 200, 3), make_pin(3, 1, 300, 2)};
    pins[1].footprint.kinds = memory_kind::hugetlb;
    pins[1].age = seconds(75);
    pins[2].uid = nobody + 1;
    pins[2].age = seconds(7200);
    pins[3].comm = "another-one";
    pins[3].orphaned = true;
    pins[3].age = seconds(1);
    return snapshot_of(std::move(pins));
}

std::vector<std::string> words_of(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

/// The lines below the heads, as words.
std::vector<std::vector<std::string>> rows_of(top_model& model, const screen_size& size = usual) {
    const std::vector<top_line> lines = model.render(size);
    auto line = std::ranges::find_if(lines, &top_line::stands_out);
    REQUIRE(line != lines.end());
    std::vector<std::vector<std::string>> result;
    for (++line; line != lines.end(); ++line) {
        std::vector<std::string> words = words_of(line->text);
        if (words.empty() || words.front() == "q") { // the hints
            break;
        }
        result.push_back(std::move(words));
    }
    return result;
}

/// The words of the heads.
std::vector<std::string> heads_of(top_model& model, const screen_size& size = usual) {
    const std::vector<top_line> lines = model.render(size);
    const auto line = std::ranges::find_if(lines, &top_line::stands_out);
    REQUIRE(line != lines.end());
    return words_of(line->text);
}

/// One column of the rows.
std::vector<std::string> column(top_model& model, std::size_t index) {
    std::vector<std::string> result;
    for (const auto& row : rows_of(model)) {
        result.push_back(row.at(index));
    }
    return result;
}

std::string all_of(const std::vector<top_line>& lines) {
    std::string result;
    for (const top_line& line : lines) {
        result += line.text + '\n';
    }
    return result;
}

} // namespace

TEST_CASE("top shows a row for each process, the largest first") {
    top_model model;
    model.update(three_processes());
    CHECK(heads_of(model) == std::vector<std::string>{"PID", "USER", "COMMAND", "PINS", "SIZE", "v",
                                                      "OLDEST", "ORPHANS", "KINDS"});
    const auto rows = rows_of(model);
    REQUIRE(rows.size() == 3);
    CHECK(rows[0] == std::vector<std::string>{"100", "4000000", "proc100", "2", "5", "MiB", "1m15s",
                                              "0", "anon,hugetlb"});
    CHECK(rows[1][0] == "200");
    CHECK(rows[2] == std::vector<std::string>{"(300)", "4000000", "another-one", "1", "2", "MiB",
                                              "1s", "1", "anon"});
}

TEST_CASE("top sums up what is pinned, and what changed since the last look") {
    top_model model;
    pin_snapshot first = three_processes();
    first.sums->refused[longpin::reason::fsdax] = 5;
    model.update(first);
    CHECK_THAT(all_of(model.render(usual)), Contains("4 pins, 10 MiB, 2 users, 3 processes") &&
                                                Contains("1 orphaned") &&
                                                Contains("5 refused in all") && !Contains("made"));

    pin_snapshot second = snapshot_of({make_pin(1, 1, 100, 1)});
    second.sums->pins_made = first.sums->pins_made + 7;
    second.sums->refused[longpin::reason::fsdax] = 6;
    second.sums->refused[longpin::reason::hole] = 2;
    model.update(second);
    CHECK_THAT(all_of(model.render(usual)),
               Contains("1 pin, 1 MiB, 1 user, 1 process") &&
                   Contains("7 made, 10 ended, 3 refused since the last look; 8 refused in all"));

    // The module was loaded again.
    model.update(snapshot_of({}));
    CHECK_THAT(all_of(model.render(usual)),
               Contains("0 made, 1 ended, 0 refused") && Contains("no pins"));
}

TEST_CASE("top sorts by the key's column, and reverses") {
    top_model model;
    model.update(three_processes());
    const struct {
        char key;
        std::vector<std::string> pids;
        std::vector<std::string> reversed; // what is alike stays in the order of its pins
    } rows[] = {{'s', {"100", "200", "(300)"}, {"(300)", "200", "100"}},
                {'a', {"200", "100", "(300)"}, {"(300)", "100", "200"}},
                {'p', {"100", "200", "(300)"}, {"(300)", "200", "100"}},
                {'u', {"100", "(300)", "200"}, {"200", "100", "(300)"}},
                {'c', {"(300)", "100", "200"}, {"200", "100", "(300)"}},
                {'n', {"100", "200", "(300)"}, {"200", "(300)", "100"}},
                {'o', {"(300)", "100", "200"}, {"100", "200", "(300)"}}};
    for (const auto& row : rows) {
        INFO(row.key);
        model.press(row.key);
        CHECK(column(model, 0) == row.pids);
        const auto heads = heads_of(model);
        CHECK(std::ranges::count(heads, "v") + std::ranges::count(heads, "^") == 1);
        model.press('r');
        CHECK(column(model, 0) == row.reversed);
        CHECK(heads_of(model) != heads);
    }
    model.press('s'); // and forgets that it was reversed
    CHECK(column(model, 0).front() == "100");
}

TEST_CASE("top shows single pins, and what memory they hold") {
    top_model model;
    pin_snapshot now = three_processes();
    now.pins[0].file = longpin::mapped_file{.path = "/dev/dax0.0"};
    model.update(now);
    model.press('g');
    CHECK(heads_of(model) == std::vector<std::string>{"PIN", "PID", "USER", "COMMAND", "SIZE", "v",
                                                      "AGE", "KINDS", "MEMORY"});
    auto rows = rows_of(model);
    REQUIRE(rows.size() == 4);
    CHECK(rows[0][0] == "1:2");
    CHECK(rows[0].back() == "0x7f0000000000");
    CHECK(rows[3][0] == "1:1");
    CHECK(rows[3].back() == "/dev/dax0.0");
    model.press('n'); // the names of pins
    CHECK(column(model, 0) == std::vector<std::string>{"1:1", "1:2", "2:1", "3:1"});
    model.press('g');
    CHECK(rows_of(model).size() == 3);
}

TEST_CASE("top tells processes apart that have the same pid, or none here") {
    std::vector<pin_record> pins{make_pin(1, 1, 7, 1), make_pin(2, 1, 7, 1), make_pin(3, 1, 0, 1),
                                 make_pin(4, 1, 0, 1)};
    pins[0].orphaned = true; // its pid is another's now
    pins[2].comm = "elsewhere";
    pins[3].comm = "there";
    top_model model;
    model.update(snapshot_of(pins));
    CHECK(rows_of(model).size() == 4);
    // A process may change its name: it is shown under the newest.
    pins = {make_pin(1, 1, 7, 1), make_pin(1, 2, 7, 1)};
    pins[0].age = seconds(20);
    pins[1].comm = "renamed";
    model.update(snapshot_of(pins));
    REQUIRE(rows_of(model).size() == 1);
    CHECK(rows_of(model)[0][2] == "renamed");
}

TEST_CASE("top scrolls, and stops at the ends") {
    std::vector<pin_record> pins;
    for (pid_t pid = 1; pid <= 100; ++pid) {
        pins.push_back(make_pin(static_cast<std::uint32_t>(pid), 1, pid, 1));
    }
    top_model model;
    model.update(snapshot_of(pins));
    model.press('p');
    const auto seen = [&] {
        const auto rows = rows_of(model);
        return std::pair(rows.front()[0], rows.back()[0]);
    };
    using ends = std::pair<std::string, std::string>;
    CHECK(seen() == ends{"1", "20"}); // two lines above, the heads, and the hints
    model.scroll(motion::up);
    CHECK(seen() == ends{"1", "20"});
    model.scroll(motion::down);
    CHECK(seen() == ends{"2", "21"});
    model.scroll(motion::page_down);
    CHECK(seen() == ends{"22", "41"});
    model.scroll(motion::page_up);
    CHECK(seen() == ends{"2", "21"});
    model.scroll(motion::to_end);
    CHECK(seen() == ends{"81", "100"});
    model.scroll(motion::down);
    CHECK(seen() == ends{"81", "100"});
    model.scroll(motion::to_end);
    model.scroll(motion::up);
    model.scroll(motion::up);
    CHECK(seen() == ends{"79", "98"});
    model.scroll(motion::to_start);
    CHECK(seen() == ends{"1", "20"});

    // Whatever goes meanwhile.
    model.scroll(motion::to_end);
    pins.resize(3);
    model.update(snapshot_of(pins));
    CHECK(seen() == ends{"1", "3"});
    model.update(snapshot_of({}));
    CHECK(rows_of(model).empty());
}

TEST_CASE("top fits into screens of any size") {
    top_model model;
    model.update(three_processes());
    for (const char* const keys : {"", "g", "h"}) {
        for (const char* key = keys; *key != '\0'; ++key) {
            model.press(*key);
        }
        for (std::size_t lines = 0; lines < 30; ++lines) {
            for (std::size_t columns = 0; columns < 100; ++columns) {
                const auto rendered = model.render({lines, columns});
                REQUIRE(rendered.size() <= lines);
                for (const top_line& line : rendered) {
                    REQUIRE(pinpin::columns_of(line.text) == columns);
                }
            }
        }
    }
}

TEST_CASE("top keeps what matters most on a screen of 20 x 5") {
    top_model model;
    model.update(three_processes());
    const screen_size small{.lines = 5, .columns = 20};
    const auto lines = model.render(small);
    REQUIRE(lines.size() == 5);
    CHECK_THAT(lines[0].text, Contains("4 pins, 10 MiB"));
    CHECK(heads_of(model, small) == std::vector<std::string>{"PID", "COMMAND", "SIZE", "v"});
    CHECK(rows_of(model, small) ==
          std::vector<std::vector<std::string>>{{"100", "proc100", "5", "MiB"},
                                                {"200", "proc200", "3", "MiB"},
                                                {"(300)", "another", "2", "MiB"}});
}

TEST_CASE("top helps, and a letter ends the help") {
    top_model model;
    model.update(three_processes());
    model.press('h');
    const std::string help = all_of(model.render(usual));
    for (const char* const what :
         {"sort by size", "sort by user", "reverse", "single pins", "quit"}) {
        CHECK_THAT(help, Contains(what));
    }
    // It scrolls on a small screen.
    const screen_size small{.lines = 5, .columns = 40};
    CHECK_THAT(all_of(model.render(small)), !Contains("quit"));
    model.scroll(motion::to_end);
    CHECK_THAT(all_of(model.render(small)), Contains("quit"));
    model.press('r'); // means nothing else then
    CHECK(column(model, 0).front() == "100");
}

TEST_CASE("top goes on showing what it had when it can't look, and says why") {
    top_model model;
    model.update(three_processes());
    model.fail("cannot list the pins: gone");
    CHECK_THAT(all_of(model.render(usual)), Contains("cannot list the pins: gone"));
    CHECK_THAT(all_of(model.render({.lines = 5, .columns = 80})), Contains("cannot list"));
    CHECK(rows_of(model).size() == 3);
    model.update(three_processes());
    CHECK_THAT(all_of(model.render(usual)), !Contains("cannot list"));
}

TEST_CASE("top leaves control characters of others out") {
    pin_snapshot now = snapshot_of({make_pin(1, 1, 7, 1)});
    now.pins[0].comm = "a\x1b[31mb\n";
    top_model model;
    model.update(now);
    CHECK(rows_of(model)[0][2] == "a?[31mb?");
}

TEST_CASE("top puts only what is seen into order, whatever there is of it") {
    std::vector<pin_record> pins;
    for (std::uint32_t i = 0; i < 100000; ++i) {
        pins.push_back(make_pin(1 + i % 100, 1 + i / 100, static_cast<pid_t>(1 + i % 100),
                                1 + (i * 7919) % 1000));
    }
    top_model model;
    model.update(snapshot_of(std::move(pins)));
    CHECK(rows_of(model).size() == 20);
    model.press('g');
    for (const motion where : {motion::page_down, motion::to_end, motion::to_start}) {
        model.scroll(where);
        const auto rows = rows_of(model);
        REQUIRE(rows.size() == 20);
        CHECK(std::ranges::is_sorted(rows, std::greater<>(),
                                     [](const auto& row) { return std::stoi(row[4]); }));
    }
}

TEST_CASE("text fits into columns, cut or filled") {
    CHECK(fit("abc", 5) == "abc  ");
    CHECK(fit("abc", 5, {.to_the_right = true}) == "  abc");
    CHECK(fit("abcdef", 3) == "abc");
    CHECK(fit("abcdefghi", 5, {.keep_end = true}) == "...hi");
    CHECK(fit("abcde", 5, {.keep_end = true}) == "abcde");
    CHECK(fit("abcdef", 3, {.keep_end = true}) == "def");
    CHECK(fit("abc", 0).empty());
    CHECK(fit("a\tb\xff", 5) == "a?b? ");
    if (std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr) {
        CHECK(fit("häß", 4) == "häß ");
        CHECK(fit("日本語", 5) == "日本 "); // two columns each
        CHECK(pinpin::columns_of("日本") == 4);
        std::setlocale(LC_CTYPE, "C");
    }
    CHECK(fit("ä", 3) == "?? "); // this locale has no such character
}

TEST_CASE("top wants a terminal, and says what does not") {
    std::ostringstream out;
    std::ostringstream err;
    CHECK(pinpin::run({"top"}, out, err) == pinpin::failed);
    CHECK_THAT(err.str(), Contains("full screen"));
    CHECK(pinpin::run({"top", "--interval", "0"}, out, err) == pinpin::misused);
    CHECK(pinpin::run({"top", "--interval", "soon"}, out, err) == pinpin::misused);
    CHECK(pinpin::run({"top", "--json"}, out, err) == pinpin::misused);
}
