// SPDX-License-Identifier: MIT
#include "uapi_header.hpp"

#include <longpin/memory_kind.hpp>
#include <longpin/version.hpp>

#include <catch2/catch.hpp>

using longpin::memory_kind;
using longpin::names;

TEST_CASE("Every kind of memory in the kernel's header has its name") {
    const auto kinds = uapi_constants("KIND");
    REQUIRE(kinds.size() >= 7);
    for (const auto& [kind, bit] : kinds) {
        CHECK(names(static_cast<memory_kind>(bit)) == std::vector<std::string_view>{kind});
    }
}

TEST_CASE("A set of kinds is named from the lowest bit on, unknown ones included") {
    CHECK(names(memory_kind::none).empty());
    CHECK(names(memory_kind::devdax | memory_kind::anon) ==
          std::vector<std::string_view>{"anon", "devdax"});
    CHECK(names(memory_kind::file | static_cast<memory_kind>(1U << 31U)) ==
          std::vector<std::string_view>{"file", "unknown"});
}

TEST_CASE("A set of kinds tells what it contains") {
    const memory_kind set = memory_kind::shmem | memory_kind::hugetlb;
    CHECK(contains(set, memory_kind::shmem));
    CHECK_FALSE(contains(set, memory_kind::anon));
    CHECK_FALSE(contains(memory_kind::none, memory_kind::none));
}

TEST_CASE("The library knows its version") {
    CHECK(longpin::version() == LONGPIN_VERSION);
}
