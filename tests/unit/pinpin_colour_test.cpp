// SPDX-License-Identifier: MIT
// When pinpin has colours, and that they change nothing but the look.
#include "colour.hpp"
#include "output.hpp"
#include "terminal.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>

using pinpin::emphasis;
using pinpin::has_colours;
using pinpin::painted;

namespace {

/// A variable of the environment has another value, or none, as long as the object lives.
class variable {
public:
    variable(const char* name, const char* value) : name_(name) {
        if (const char* const before = std::getenv(name)) { // NOLINT(concurrency-mt-unsafe)
            before_ = before;
        }
        set(value);
    }
    variable(const variable&) = delete;
    variable& operator=(const variable&) = delete;
    variable(variable&&) = delete;
    variable& operator=(variable&&) = delete;
    ~variable() { set(before_ ? before_->c_str() : nullptr); }

private:
    void set(const char* value) const {
        // NOLINTBEGIN(concurrency-mt-unsafe)
        value != nullptr ? ::setenv(name_, value, 1) : ::unsetenv(name_);
        // NOLINTEND(concurrency-mt-unsafe)
    }

    const char* name_;
    std::optional<std::string> before_;
};

} // namespace

TEST_CASE("colours: on a terminal, and only there") {
    const variable no_color("NO_COLOR", nullptr);
    const variable term("TERM", "xterm");
    const std::ostringstream elsewhere;
    const terminal terminal;
    CHECK(has_colours(std::cout));
    CHECK_FALSE(has_colours(elsewhere));
}

TEST_CASE("colours: not against NO_COLOR, nor on a dumb terminal") {
    const terminal terminal;
    const variable term("TERM", "xterm");
    const variable no_color("NO_COLOR", "1");
    CHECK_FALSE(has_colours(std::cout));
    {
        const variable is_empty("NO_COLOR", "");
        CHECK(has_colours(std::cout));
        const variable dumb("TERM", "dumb");
        CHECK_FALSE(has_colours(std::cout));
    }
}

TEST_CASE("colours: they stand around the text, or not at all") {
    CHECK(painted("problem", emphasis::bad, true) == "\033[31mproblem\033[0m");
    CHECK(painted("problem", emphasis::bad, false) == "problem");
    CHECK(painted("problem", emphasis::none, true) == "problem");
}

TEST_CASE("colours: what leads a sentence, up to its first colon, is painted, and the lines are "
          "the same") {
    using pinpin::wrapped;
    const std::string words(100, 'x');
    CHECK(wrapped("note: at " + words, emphasis::bad, true) ==
          "\033[31mnote:\033[0m at\n  " + words + "\n");
    CHECK(wrapped("note: at " + words, emphasis::bad, false) == wrapped("note: at " + words));
    CHECK(wrapped("no lead", emphasis::bad, true) == "no lead\n");
}
