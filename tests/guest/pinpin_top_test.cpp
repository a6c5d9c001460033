// SPDX-License-Identifier: MIT
// pinpin top in a terminal, tmux's: what is on the screen, and what keys do.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <sys/prctl.h>
#include <unistd.h>
#include <vector>

using namespace guest;
using Catch::Contains;

namespace {

/// A terminal with a shell script in it.
class terminal {
public:
    explicit terminal(const std::string& script, const std::string& size = "-x 80 -y 24") {
        std::ofstream("/tmp/script") << script;
        tmux("new-session -d " + size + " sh /tmp/script");
    }
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;
    terminal(terminal&&) = delete;
    terminal& operator=(terminal&&) = delete;
    ~terminal() {
        shell("tmux kill-server");
        // The next one would find this server while it goes.
        eventually([] { return shell("pidof tmux").code != 0; });
    }

    static void tmux(const std::string& command) {
        const run_result result = shell("LC_ALL=C.UTF-8 tmux -f /dev/null " + command);
        INFO(command << ": " << result.output);
        REQUIRE(result.code == 0);
    }

    static void press(const std::string& keys) { tmux("send-keys " + keys); }

    static void resize(int columns, int lines) {
        tmux("resize-window -x " + std::to_string(columns) + " -y " + std::to_string(lines));
    }

    static std::vector<std::string> screen() {
        std::vector<std::string> result;
        std::istringstream stream(shell("tmux capture-pane -p").output);
        for (std::string line; std::getline(stream, line);) {
            result.push_back(line);
        }
        return result;
    }

    static std::string text() {
        std::string result;
        for (const std::string& line : screen()) {
            result += line + '\n';
        }
        return result;
    }

    /// Waits for a text to be on the screen.
    static bool shows(const std::string& what) {
        return eventually([&] { return text().find(what) != std::string::npos; });
    }

    static bool hides(const std::string& what) {
        return eventually([&] { return text().find(what) == std::string::npos; });
    }

    /// Waits for one text to be above another.
    static bool shows_above(const std::string& one, const std::string& other) {
        return eventually([&] {
            const std::string all = text();
            const std::size_t first = all.find(one);
            const std::size_t second = all.find(other);
            return first != std::string::npos && second != std::string::npos && first < second;
        });
    }

    /// The line with that text, as words.
    static std::vector<std::string> words_beside(const std::string& what) {
        for (const std::string& line : screen()) {
            if (line.find(what) != std::string::npos) {
                std::istringstream stream(line);
                return {std::istream_iterator<std::string>(stream), {}};
            }
        }
        return {};
    }
};

// Ctrl-C is for the shell too, and is not to end it.
constexpr const char* watch = "trap : INT; echo before; stty -g >/tmp/before\n"
                              "pinpin top --interval 0.2\n"
                              "code=$?; stty -g >/tmp/after; echo code $code; exec cat";

/// A process of that name, which pins memory of these sizes until it is told to end.
class pinner {
public:
    pinner(const char* name, const std::vector<std::size_t>& sizes)
        : process_([&, name] {
              ::prctl(PR_SET_NAME, name);
              const raw_device device;
              std::vector<mapping> all;
              for (const std::size_t size : sizes) {
                  all.push_back(mapping::anonymous(size));
                  device.must_pin(all.back().data(), size);
              }
              pinned_.open();
              end_.pass();
          }) {
        pinned_.pass();
    }

    [[nodiscard]] std::string pid() const { return std::to_string(process_.pid()); }

    void end() {
        end_.open();
        CHECK(process_.wait());
    }

private:
    gate pinned_, end_;
    child process_;
};

} // namespace

TEST_CASE("pinpin top shows what a process has pinned, and what changes") {
    const terminal screen(watch);
    REQUIRE(terminal::shows("no pins, 0 users, 0 processes"));
    pinner process("a-pinner", {8 * MiB, 3 * MiB, MiB});
    REQUIRE(terminal::shows("3 pins, 12 MiB, 1 user, 1 process"));
    const auto words = terminal::words_beside("a-pinner");
    REQUIRE(words.size() == 9);
    CHECK(words[0] == process.pid());
    CHECK(words[1] == "root");
    CHECK(words[3] == "3"); // pins
    CHECK(words[4] + words[5] == "12MiB");
    CHECK_THAT(words[6], Catch::EndsWith("s")); // age
    CHECK(words[7] == "0");
    CHECK(words[8] == "anon");
    process.end();
    CHECK(terminal::shows("no pins"));
}

TEST_CASE("pinpin top tells how many pins were made, ended and refused since the last look") {
    const terminal screen("pinpin top --interval 86400; exec cat");
    REQUIRE(terminal::shows("no pins"));
    pinner process("a-pinner", {MiB, MiB, MiB});
    CHECK(raw_device().pin(nullptr, page) == EFAULT);
    CHECK(terminal::text().find("a-pinner") == std::string::npos); // it has not looked
    terminal::press("Space");
    CHECK(terminal::shows("3 made, 0 ended, 1 refused since the last look"));
    process.end();
    terminal::press("Space");
    CHECK(terminal::shows("0 made, 3 ended, 0 refused since the last look"));
}

TEST_CASE("pinpin top sorts and groups by keys") {
    const pinner large("zz-large", {9 * MiB});
    const pinner many("aa-many", {MiB, 2 * MiB});
    const terminal screen(watch);
    REQUIRE(terminal::shows_above("zz-large", "aa-many"));
    CHECK(terminal::shows("SIZE v"));
    terminal::press("r");
    CHECK(terminal::shows_above("aa-many", "zz-large"));
    CHECK(terminal::shows("SIZE ^"));
    terminal::press("n");
    CHECK(terminal::shows("PINS v"));
    CHECK(terminal::shows_above("aa-many", "zz-large"));
    terminal::press("p"); // the first was born first
    CHECK(terminal::shows_above("zz-large", "aa-many"));
    terminal::press("c");
    CHECK(terminal::shows_above("aa-many", "zz-large"));

    terminal::press("s g");
    CHECK(terminal::shows("MEMORY"));
    CHECK(terminal::shows_above(" 9 MiB", " 2 MiB"));
    CHECK(terminal::shows_above(" 2 MiB", " 1 MiB"));
    terminal::press("g");
    CHECK(terminal::shows("OLDEST"));
    terminal::press("h");
    CHECK(terminal::shows("sort by size"));
    terminal::press("x");
    CHECK(terminal::shows("OLDEST"));
}

TEST_CASE("pinpin top scrolls") {
    const pinner process("a-pinner", std::vector<std::size_t>(40, page));
    const terminal screen(watch);
    REQUIRE(terminal::shows("40 pins"));
    terminal::press("g n");
    REQUIRE(terminal::shows(":20 "));
    CHECK(terminal::text().find(":21 ") == std::string::npos);
    terminal::press("Down");
    CHECK(terminal::shows(":21 "));
    terminal::press("End");
    CHECK(terminal::shows(":40 "));
    CHECK(terminal::text().find(":20 ") == std::string::npos);
    terminal::press("PageUp");
    CHECK(terminal::shows(":1 "));
    terminal::press("PageDown");
    CHECK(terminal::shows(":40 "));
    terminal::press("Home Up");
    CHECK(terminal::shows(":1 "));
}

TEST_CASE("pinpin top marks pins that outlived their process") {
    gate pinned;
    const raw_device device;
    child process([&] {
        ::prctl(PR_SET_NAME, "was-here");
        const mapping memory = mapping::anonymous(MiB);
        device.must_pin(memory.data(), MiB);
        pinned.open();
    });
    pinned.pass();
    const pid_t pid = process.pid();
    REQUIRE(process.wait());
    const terminal screen(watch);
    CHECK(terminal::shows("(" + std::to_string(pid) + ")"));
    CHECK(terminal::shows("1 orphaned"));
}

TEST_CASE("pinpin top gives the terminal back, whatever ends it") {
    const pinner process("a-pinner", {MiB});
    for (const char* const end : {"tmux send-keys q", "tmux send-keys C-c", "killall -TERM pinpin",
                                  "killall -HUP pinpin"}) {
        INFO(end);
        const terminal screen(watch);
        REQUIRE(terminal::shows("a-pinner"));
        CHECK(terminal::text().find("before") == std::string::npos);
        CHECK(shell(end).code == 0);
        CHECK(terminal::shows("code 0"));
        CHECK(terminal::hides("a-pinner"));
        CHECK(terminal::shows("before")); // what was there comes back
        CHECK(read_line("/tmp/before") == read_line("/tmp/after"));
        CHECK(!read_line("/tmp/before").empty());
    }
}

TEST_CASE("pinpin top follows the size of its terminal, down to 20 x 5 and less") {
    const pinner large("large", {9 * MiB});
    const pinner small("small", {MiB});
    const terminal screen(watch);
    REQUIRE(terminal::shows("KINDS"));
    terminal::resize(20, 5);
    REQUIRE(terminal::hides("KINDS"));
    REQUIRE(terminal::shows("SIZE v"));
    const auto lines = terminal::screen();
    REQUIRE(lines.size() == 5);
    CHECK_THAT(lines[0], Contains("2 pins, 10 MiB"));
    CHECK_THAT(lines[1], Contains("PID") && Contains("SIZE v"));
    CHECK_THAT(lines[2], Contains(large.pid()) && Contains("large") && Contains("9 MiB"));
    CHECK_THAT(lines[3], Contains(small.pid()) && Contains("1 MiB"));
    terminal::press("r");
    CHECK(terminal::shows("SIZE ^"));

    terminal::resize(3, 1); // nothing to see, but no reason to die
    terminal::resize(120, 40);
    CHECK(terminal::shows("KINDS"));
    CHECK(terminal::shows("q quit"));
    terminal::press("q");
    CHECK(terminal::shows("code 0"));
}

TEST_CASE("pinpin top goes on when the module comes again") {
    const terminal screen(watch);
    REQUIRE(terminal::shows("no pins"));
    REQUIRE(eventually([] { return remove_module() == 0; })); // not in the middle of a listing
    CHECK(terminal::shows("the module is not loaded"));
    REQUIRE(load_module() == 0);
    CHECK(terminal::hides("the module is not loaded"));
    const pinner process("a-pinner", {MiB});
    CHECK(terminal::shows("a-pinner"));
}

TEST_CASE("pinpin top shows a user the pins of that user alone") {
    const pinner process("of-root", {MiB});
    const terminal screen("su user -c 'pinpin top --interval 0.2'; exec cat");
    CHECK(terminal::shows("no pins, 0 users, 0 processes; of all users: 1 pin, 1 MiB"));
    CHECK(terminal::text().find("of-root") == std::string::npos);
}

TEST_CASE("pinpin top says what it wants of a terminal") {
    CHECK(pinpin("top </dev/null").code == 1);
    CHECK_THAT(pinpin("top").output, Contains("have to be a terminal") && Contains("pinpin list"));
    const std::pair<const char*, const char*> rows[] = {
        {"dumb", "the terminal dumb"},
        {"no-such", "nothing is known of the terminal no-such"},
        {"", "TERM does not tell"}};
    for (const auto& [name, message] : rows) {
        const terminal screen(std::string("TERM=") + name + " pinpin top; echo code $?; exec cat",
                              "-x 200 -y 10");
        CHECK(terminal::shows("code 1"));
        CHECK_THAT(terminal::text(), Contains(message) && Contains("pinpin list"));
    }
}
