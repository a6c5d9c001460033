// SPDX-License-Identifier: MIT
#include "explain.hpp"
#include "uapi_header.hpp"

#include <longpin/error.hpp>

#include <catch2/catch.hpp>

#include <cerrno>
#include <set>
#include <type_traits>

#include <linux/longpin.h>

using Catch::Matchers::Contains;
using longpin::reason;
using longpin::detail::explain;
using longpin::detail::explain_open;

namespace {

constexpr std::uint64_t mebibyte = 1U << 20U;
constexpr uid_t user = 1000;

std::string sentence(std::uint32_t code) {
    return explain({.why = static_cast<reason>(code)}, user);
}

} // namespace

TEST_CASE("Every reason in the kernel's header has its name and a sentence of its own") {
    const auto reasons = uapi_constants("REASON");
    REQUIRE(reasons.size() >= 25);
    std::set<std::string> sentences;
    for (const auto& [known_as, code] : reasons) {
        CAPTURE(known_as, code);
        CHECK(name(static_cast<reason>(code)) == known_as);
        CHECK(sentences.insert(sentence(code)).second);
        CHECK_THAT(sentence(code), !Contains("does not know ("));
        // What is wrong, and behind a semicolon what to do about it.
        CHECK((known_as == "none" || sentence(code).find("; ") != std::string::npos));
    }
}

TEST_CASE("A reason that the library does not know is called by its number") {
    CHECK(name(static_cast<reason>(77)) == "unknown");
    CHECK_THAT(sentence(77), Contains("77"));
}

TEST_CASE("Only the absence of a reason has no sentence") {
    CHECK(sentence(0).empty());
}

TEST_CASE("A refusal for the memlock limit says how much of it is used, and by whom") {
    CHECK_THAT(explain({.why = reason::memlock,
                        .limit = 64 * mebibyte,
                        .used = 60 * mebibyte,
                        .asked = 16 * mebibyte},
                       user),
               Contains("RLIMIT_MEMLOCK allows 64 MiB for user 1000, 60 MiB are pinned, 16 MiB "
                        "more were asked for"));
}

TEST_CASE("A limit of pins is counted in pins, not in bytes") {
    const std::string text =
        explain({.why = reason::max_pins, .limit = 2048, .used = 2048, .asked = 1}, user);
    CHECK_THAT(text, Contains("2048 pins") && Contains("max_pins") && !Contains("KiB"));
}

TEST_CASE("A refusal of fs-DAX says what it is, why, and what to use instead") {
    CHECK_THAT(explain({.why = reason::fsdax, .bad_address = 0x7f0000001000}, user),
               Contains("0x7f0000001000") && Contains("fs-DAX") && Contains("truncated") &&
                   Contains("device-DAX"));
}

TEST_CASE("Every errno of the interface is explained for the call that gave it") {
    for (const unsigned long request :
         {LONGPIN_INFO, LONGPIN_PIN, LONGPIN_UNPIN, LONGPIN_QUERY, LONGPIN_COPY, LONGPIN_EXTENTS,
          LONGPIN_REPIN, LONGPIN_LET_GO}) {
        for (const int errno_value : {ENOTTY, EFAULT, EINVAL, E2BIG, ENOMEM, EINTR, EAGAIN, ENOENT,
                                      EPERM, EIO, ESTALE, EOPNOTSUPP, EBADF}) {
            CAPTURE(request, errno_value);
            CHECK_FALSE(explain(request, errno_value).empty());
        }
    }
    CHECK_THAT(explain(LONGPIN_COPY, EINVAL), Contains("end of the pin"));
    CHECK_THAT(explain(LONGPIN_COPY, EPERM), Contains("for writing"));
    CHECK_THAT(explain(LONGPIN_UNPIN, ENOENT), Contains("handle"));
    CHECK_THAT(explain(LONGPIN_INFO, EINVAL), Contains("same version"));
    CHECK_THAT(explain(LONGPIN_COPY, ESTALE), Contains("took a page") && Contains("repin()"));
    CHECK_THAT(explain(LONGPIN_PIN, EBADF), Contains("open it O_RDWR"));
    CHECK_THAT(explain(LONGPIN_COPY, EBADF), Contains("open it O_RDWR"));
    CHECK_THAT(explain(LONGPIN_REPIN, EOPNOTSUPP), Contains("no lease"));
    CHECK_THAT(explain(LONGPIN_REPIN, EPERM), Contains("another process"));
    CHECK_THAT(explain(LONGPIN_LET_GO, EINVAL), Contains("end of the pin"));
    CHECK(explain(LONGPIN_PIN, EIO) == "Input/output error");
}

TEST_CASE("A device that can't be opened says what to do") {
    CHECK_THAT(explain_open("/dev/longpin", ENOENT), Contains("modprobe longpin"));
    CHECK_THAT(explain_open("/dev/longpin", EACCES), Contains("root") && Contains("pinpin doctor"));
    CHECK(explain_open("/dev/longpin", EMFILE) == "Too many open files");
}

TEST_CASE("An error is a sentence, with its facts beside it") {
    const longpin::error limit(ENOMEM, "pin 16 MiB at 0x1000", "there is no room; make some",
                               {.why = reason::memlock, .limit = 3, .used = 2, .asked = 1});
    CHECK(std::string(limit.what()) == "cannot pin 16 MiB at 0x1000: there is no room; make some");
    CHECK(limit.code() == std::errc::not_enough_memory);
    CHECK(limit.attempted() == "pin 16 MiB at 0x1000");
    CHECK(limit.reason() == reason::memlock);
    CHECK(limit.limit() == 3);
    CHECK(limit.used() == 2);
    CHECK(limit.asked() == 1);
    CHECK_FALSE(limit.bad_address());
}

TEST_CASE("An error names an address exactly when one stands in the way, be it 0") {
    for (const auto& [known_as, code] : uapi_constants("REASON")) {
        CAPTURE(known_as);
        const longpin::error error(EFAULT, "pin", "no", {.why = static_cast<reason>(code)});
        CHECK(error.bad_address().has_value() == (code >= 16 && code < 32));
        CHECK(error.limit().has_value() == (code >= 32 || known_as == "grace"));
        CHECK(error.used().has_value() == (code >= 32));
        CHECK(error.asked().has_value() == (code >= 32));
    }
}

TEST_CASE("An error can be copied without throwing, and caught as a system_error") {
    STATIC_REQUIRE(std::is_nothrow_copy_constructible_v<longpin::error>);
    const auto fail = [] { throw longpin::error(ESTALE, "read", "gone"); };
    CHECK_THROWS_AS(fail(), std::system_error);
}
