// SPDX-License-Identifier: MIT
#include <longpin/size.hpp>

#include <catch2/catch.hpp>

#include <limits>

using longpin::format_size;
using longpin::parse_size;

TEST_CASE("A size is written in the largest unit that shows it exactly") {
    CHECK(format_size(0) == "0 B");
    CHECK(format_size(1) == "1 B");
    CHECK(format_size(1023) == "1023 B");
    CHECK(format_size(1024) == "1 KiB");
    CHECK(format_size(4100) == "4100 B");
    CHECK(format_size(std::uint64_t{64} << 20U) == "64 MiB");
    CHECK(format_size((std::uint64_t{8} << 20U) + 4096) == "8196 KiB");
    CHECK(format_size(std::uint64_t{1} << 63U) == "8 EiB");
}

TEST_CASE("A size without a short exact form is rounded to two decimals") {
    CHECK(format_size((1U << 20U) + 1) == "1.00 MiB");
    CHECK(format_size((std::uint64_t{3} << 30U) / 2 + 4096) == "1.50 GiB");
    CHECK(format_size(std::numeric_limits<std::uint64_t>::max()) == "16.00 EiB");
}

TEST_CASE("A size is read with every unit in either case") {
    CHECK(parse_size("0") == 0);
    CHECK(parse_size("4096") == 4096);
    CHECK(parse_size("0x1000") == 4096);
    CHECK(parse_size("0XfF") == 255);
    CHECK(parse_size("4k") == 4096);
    CHECK(parse_size("64M") == 64U << 20U);
    CHECK(parse_size("64MiB") == 64U << 20U);
    CHECK(parse_size("2mB") == 2U << 20U);
    CHECK(parse_size("1G") == 1U << 30U);
    CHECK(parse_size("3T") == std::uint64_t{3} << 40U);
    CHECK(parse_size("0x10k") == 16384);
    CHECK(parse_size("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("What is no size is not read as one") {
    for (const char* const junk : {"", " ", "k", "M64", "-1", "+1", " 1", "1 ", "1 M", "1.5G", "1Q",
                                   "1MM", "1iB", "1B", "0x", "0xg", "64Mi", "1kb", "nan"}) {
        CAPTURE(junk);
        CHECK_FALSE(parse_size(junk));
    }
}

TEST_CASE("A size beyond 64 bits is refused, not wrapped") {
    CHECK_FALSE(parse_size("18446744073709551616"));
    CHECK_FALSE(parse_size("0x10000000000000000"));
    CHECK_FALSE(parse_size("16777216T"));
    CHECK(parse_size("16777215T") == std::uint64_t{16777215} << 40U);
    CHECK_FALSE(parse_size("18014398509481984k"));
}
