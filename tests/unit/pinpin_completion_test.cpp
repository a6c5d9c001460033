// SPDX-License-Identifier: MIT
// Help, manual pages and completion say the same, and completion works in bash.
#include "cli.hpp"

#include "../support/lines.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;
using names = std::set<std::string>;

namespace {

std::string output_of(const std::vector<std::string>& words) {
    std::ostringstream out;
    std::ostringstream err;
    CHECK(pinpin::run(words, out, err) == pinpin::done);
    CHECK(err.str().empty());
    return out.str();
}

std::vector<std::string> complete(std::vector<std::string> words) {
    words.insert(words.begin(), "__complete");
    return lines_of(output_of(words));
}

names as_set(const std::vector<std::string>& words) {
    names result(words.begin(), words.end());
    CHECK(result.size() == words.size()); // nothing twice
    return result;
}

/// What stands in the brackets of a pattern, of each line that it matches.
names found_in(const std::string& text, const std::string& pattern) {
    const std::regex expression(pattern);
    names result;
    std::smatch match;
    for (const std::string& line : lines_of(text)) {
        if (std::regex_search(line, match, expression)) {
            result.insert(match[1]);
        }
    }
    return result;
}

names options_in_help(const std::string& help) {
    return found_in(help, "^ +(?:-[a-z],)?(--[a-z-]+)");
}

/// The positional arguments: the only words in capitals at the start of a line.
names arguments_in_help(const std::string& help) {
    return found_in(help, "^ +([A-Z_]+) [A-Z]");
}

fs::path page_of(const std::string& command) {
    return fs::path(LONGPIN_MAN_DIR) /
           ("pinpin" + (command.empty() ? "" : '-' + command) + ".1.scd");
}

std::string text_of(const fs::path& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    INFO(file);
    REQUIRE(!text.str().empty());
    return text.str();
}

names options_in_page(const std::string& page) {
    return found_in(page, R"(^\*(?:-[a-z]\*, \*)?(--[a-z-]+)\*(?: _[A-Z_]+_)?$)");
}

names commands_with_a_page() {
    names result;
    for (const fs::directory_entry& entry : fs::directory_iterator(LONGPIN_MAN_DIR)) {
        const std::string name = entry.path().filename();
        std::smatch match;
        if (std::regex_match(name, match, std::regex("pinpin-([a-z]+)\\.1\\.scd"))) {
            result.insert(match[1]);
        }
    }
    return result;
}

/// What bash offers behind that line.
std::vector<std::string> bash(const std::string& line, const std::string& preamble = "") {
    const std::string script = "source '" LONGPIN_COMPLETION "'; " + preamble + "\nCOMP_LINE='" +
                               line +
                               "'; COMP_POINT=${#COMP_LINE}\n"
                               "_pinpin '" LONGPIN_PINPIN "'\n"
                               "(( ${#COMPREPLY[@]} == 0 )) || printf '%s\\n' \"${COMPREPLY[@]}\"";
    const fs::path file =
        fs::temp_directory_path() / ("longpin-bash-" + std::to_string(::getpid()));
    std::ofstream(file) << script;
    const std::string command = "bash --norc " + file.string() + " 2>&1";
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"),
                                                               &::pclose);
    REQUIRE(pipe);
    std::string output;
    for (int letter = std::fgetc(pipe.get()); letter != EOF; letter = std::fgetc(pipe.get())) {
        output += static_cast<char>(letter);
    }
    fs::remove(file);
    return lines_of(output);
}

using words = std::vector<std::string>;

} // namespace

TEST_CASE("Help, manual and completion know the same commands") {
    const std::string help = output_of({"--help"});
    const names commands = as_set(complete({""}));
    CHECK(commands.size() >= 10);
    CHECK(found_in(help.substr(help.find("Subcommands:")), "^  ([a-z]+) ") == commands);
    CHECK(commands_with_a_page() == commands);
    const std::string overview = text_of(page_of(""));
    CHECK(found_in(overview, R"(^\*([a-z]+)\*$)") == commands);
    CHECK(options_in_help(help) == as_set(complete({"--"})));
    CHECK(options_in_page(overview) == options_in_help(help));
}

TEST_CASE("Help, manual and completion know the same options") {
    for (const std::string& command : complete({""})) {
        INFO(command);
        const std::string help = output_of({command, "--help"});
        const std::string page = text_of(page_of(command));
        const names options = options_in_help(help);
        CHECK(options.contains("--help"));
        CHECK(as_set(complete({command, "--"})) == options);
        CHECK(options_in_page(page) == options);
        CHECK(found_in(page, "^_([A-Z_]+)_$") == arguments_in_help(help));
    }
}

TEST_CASE("A manual page has the title, summary and sections that its reader expects") {
    for (const std::string& command : complete({""})) {
        const std::string page = text_of(page_of(command));
        INFO(command);
        CHECK(page.starts_with(fmt::format("pinpin-{}(1)", command)));
        for (const char* const section : {"# NAME", "# SYNOPSIS", "# DESCRIPTION", "# OPTIONS",
                                          "# EXIT STATUS", "# EXAMPLES", "# SEE ALSO"}) {
            CHECK(page.find(fmt::format("\n{}\n", section)) != std::string::npos);
        }
        // The summary is that of the help.
        std::smatch match;
        const std::string help = output_of({"--help"});
        REQUIRE(
            std::regex_search(help, match, std::regex(fmt::format("\n  {} +([^\n]+)", command))));
        std::string summary = match[1];
        summary.front() = static_cast<char>(std::tolower(summary.front()));
        CHECK(page.find(fmt::format("\npinpin-{} - {}\n", command, summary)) != std::string::npos);
    }
}

TEST_CASE("The manual names every kind of memory and every column") {
    const std::string page = text_of(page_of("list"));
    for (const char* const option : {"--kind", "--columns"}) {
        for (const std::string& value : complete({"list", option, ""})) {
            INFO(value);
            CHECK(page.find('*' + value + '*') != std::string::npos);
        }
    }
}

TEST_CASE("Completion knows what every option takes") {
    for (const std::string& command : complete({""})) {
        for (const std::string& option : complete({command, "--"})) {
            INFO(command << ' ' << option);
            complete({command, option, ""});       // fails for what is unheard of
            complete({command, option + "=", ""}); // the same
        }
        complete({command, ""});
    }
}

TEST_CASE("Completion offers what may come next") {
    CHECK(complete({"ho"}) == words{"hold"});
    CHECK(complete({"-"}).size() == complete({"--"}).size());
    CHECK(complete({"nonsense", ""}).empty());
    CHECK(complete({"nonsense", "--"}).empty());
    CHECK(complete({"hold", "--anon", ""}).empty()); // a number
    CHECK(complete({"hold", "--wr"}) == words{"--write"});
    CHECK(complete({"hold", "--write", "--st"}) == words{"--store"}); // a flag takes nothing
    CHECK(complete({"hold", "--store", ""}) == words{":file"});
    CHECK(complete({"hold", "--store=x"}) == words{":file"});
    CHECK(complete({"hold", ""}) == words{":file"});
    CHECK(complete({"hold", "--for", "3", ""}) == words{":file"});
    CHECK(complete({"hold", "file", ""}).front().starts_with("--")); // there may be but one
    CHECK(complete({"hold", "file", "--", ""}) == words{":command"});
    CHECK(complete({"hold", "file", "--", "ls", "-"}) == words{":file"});
    CHECK(complete({"list", "--uid", ""}) == words{":user"});
    CHECK(complete({"list", "--kind", "an"}) == words{"anon"});
    CHECK(complete({"list", "--kind=an"}) == words{"--kind=anon"});
    CHECK(complete({"list", "--kind", "anon,sh"}) == words{"anon,shmem"});
    CHECK(complete({"list", "--kind", "anon,an"}).empty()); // it is there already
    CHECK(complete({"list", "--columns=pin,co"}) ==
          words{"--columns=pin,context", "--columns=pin,comm", "--columns=pin,cookie"});
    CHECK(complete({"list", "--sort", "si"}) == words{"size"});
    CHECK(complete({"list", "--sort", "-si"}) == words{"-size"});
    CHECK(complete({"list", "--no-such", "--kind="}).size() == 8);
}

TEST_CASE("In bash, completion offers what pinpin does") {
    CHECK(bash("pinpin ho") == words{"hold"});
    CHECK(bash("pinpin hold --st") == words{"--store"});
    CHECK(bash("pinpin hold --anon ").empty());
    CHECK(bash("  pinpin   list   --kind   hug") == words{"hugetlb"});
    CHECK(bash("pinpin list --kind=hug") == words{"hugetlb"}); // the rest is a word of its own
    CHECK(bash("pinpin list --kind=hug", "COMP_WORDBREAKS=' '") == words{"--kind=hugetlb"});
    CHECK(bash("pinpin list --kind=anon,hug") == words{"anon,hugetlb"});
    CHECK(bash("pinpin list --uid roo") == words{"root"});
    CHECK(bash("pinpin list --uid=roo") == words{"root"});
    CHECK(!bash("pinpin hold -- bas").empty());
    // Files are the shell's own.
    CHECK(bash("pinpin hold --store ", "compopt() { echo \"compopt $*\"; }") ==
          words{"compopt -o default"});
}

TEST_CASE("In bash, completion replaces what stands behind a colon") {
    // A pin's name is one word to pinpin, and several to bash.
    CHECK(bash("pinpin show 3:", "mapfile() { COMPREPLY=(3:1 3:12); }") == words{"1", "12"});
    CHECK(bash("pinpin show 3:", "mapfile() { COMPREPLY=(3:1 3:12); }; COMP_WORDBREAKS=' '") ==
          words{"3:1", "3:12"});
}
