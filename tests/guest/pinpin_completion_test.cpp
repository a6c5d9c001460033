// SPDX-License-Identifier: MIT
// What completion offers of pins and processes, which only the module knows.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <unistd.h>

using namespace guest;

namespace {

using words = std::vector<std::string>;

words lines_of(const run_result& result) {
    CHECK(result.code == 0);
    std::istringstream stream(result.output);
    return {std::istream_iterator<std::string>(stream), {}};
}

words complete(const std::string& typed) {
    return lines_of(pinpin("__complete " + typed));
}

bool contains(const words& all, const std::string& one) {
    return std::ranges::find(all, one) != all.end();
}

} // namespace

TEST_CASE("completion offers the pins that there are, their handles, contexts and processes") {
    CHECK(complete("show ''").empty());
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t first = device.must_pin(memory.data(), page);
    const std::uint32_t second = device.must_pin(memory.data(), page);
    const std::string pid = std::to_string(::getpid());

    const words contexts = complete("show --context ''");
    REQUIRE(contexts.size() == 1);
    const std::string name = contexts[0] + ':';
    const words all = complete("show ''");
    CHECK(all.size() == 3);
    CHECK(contains(all, name + std::to_string(first)));
    CHECK(contains(all, name + std::to_string(second)));
    CHECK(contains(all, pid)); // once
    CHECK(complete("show " + name).size() == 2);
    CHECK(complete("list --pid ''") == words{pid});
    CHECK(complete("list --handle ''") == words{std::to_string(first), std::to_string(second)});

    // What a user may not see is not offered.
    CHECK(lines_of(shell_as_ordinary_user("pinpin __complete show \"\"")).empty());
}

TEST_CASE("completion offers nothing of that kind when nobody can be asked") {
    REQUIRE(remove_module() == 0);
    CHECK(complete("show ''").empty());
    CHECK(complete("show --context ''").empty());
    CHECK(complete("sho") == words{"show"});
    REQUIRE(load_module() == 0);
}
