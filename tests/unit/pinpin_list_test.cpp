// SPDX-License-Identifier: MIT
// How pins are selected, sorted, and laid out in tables.
#include "cli.hpp"
#include "fit_text.hpp"
#include "listing.hpp"
#include "pin_columns.hpp"
#include "pin_selection.hpp"
#include "sample_pins.hpp"

#include "../support/lines.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <clocale>
#include <sstream>

#include <sys/stat.h>
#include <unistd.h>

using Catch::Matchers::Contains;
using longpin::memory_kind;
using longpin::pin_record;
using pinpin::json;

namespace {

constexpr std::uint64_t page_size = 4096;

constexpr std::array<std::string_view, 9> usual_columns{"pin",   "pid",   "user", "comm",  "size",
                                                        "state", "kinds", "age",  "memory"};

pinpin::pin_view a_view() {
    return {.page_size = page_size};
}

/// The usual table of these pins.
std::vector<std::string> table_of(const std::vector<pin_record>& pins, std::size_t width = 80) {
    pinpin::pin_view view = a_view();
    const auto columns = pinpin::choose_columns(usual_columns);
    std::ostringstream out;
    pinpin::listing table(out, pinpin::listing_columns(columns, false), {.width = width});
    for (const pin_record& pin : pins) {
        table.add(pinpin::to_cells(pinpin::pin_fields(pin, columns, view)));
    }
    table.finish();
    return lines_of(out.str());
}

bool converts(const std::string& text, pinpin::byte_range expected) {
    pinpin::byte_range range;
    return lexical_cast(text, range) && range == expected;
}

} // namespace

TEST_CASE("A pin's JSON has every fact once, as bare numbers") {
    pinpin::pin_view view = a_view();
    const auto facts = pinpin::fact_columns(false);
    CHECK(
        pinpin::to_json_line(to_json(anonymous_pin(), facts, view)) ==
        R"({"pin":"3:1","context":3,"handle":1,"pid":1234,"comm":"server","orphaned":false,)"
        R"("uid":0,"user":"root","address":139637976733696,"length":12288,"size":16384,)"
        R"("pages":4,"runs":2,"bookkeeping":272,"kinds":["anon"],"writable":true,"lease":false,)"
        R"("state":"held","revoked":0,"grace":null,"cookie":42,"age":65.5,"file":null,"offset":null,"device":null,"inode":null})");
    CHECK(pinpin::to_json_line(to_json(orphaned_pin(), facts, view)) ==
          R"({"pin":"12:7","context":12,"handle":7,"pid":99,"comm":"loader","orphaned":true,)"
          R"("uid":4000000000,"user":"4000000000","address":139706696204288,"length":67108864,)"
          R"("size":67108864,"pages":16384,"runs":1,"bookkeeping":240,"kinds":["devdax"],)"
          R"("writable":false,"lease":false,"state":"held","revoked":0,"grace":null,"cookie":0,)"
          R"("age":176400.0,"file":"/dev/dax0.0","offset":1073741824,"device":"0:5",)"
          R"("inode":140})");
    CHECK_THAT(pinpin::to_json_line(to_json(leased_pin(), facts, view)),
               Contains(R"("lease":true,"state":"partly_revoked","revoked":8192,"grace":250,)"));
}

TEST_CASE("Who has the context open is told where that was asked for") {
    pinpin::pin_view view = a_view();
    view.holders[12] = {{.pid = 4321, .comm = "sleep", .descriptor = 5, .context = 12},
                        {.pid = 4322, .comm = "sh", .descriptor = 0, .context = 12}};
    const auto columns = pinpin::choose_columns(std::array<std::string_view, 1>{"holders"});
    const auto fields = pinpin::pin_fields(orphaned_pin(), columns, view);
    CHECK(pinpin::to_cells(fields).front() == "4321 sleep, 4322 sh");
    CHECK(pinpin::to_json_line(to_json(fields)) ==
          R"({"holders":[{"pid":4321,"comm":"sleep","descriptor":5},)"
          R"({"pid":4322,"comm":"sh","descriptor":0}]})");
    CHECK(pinpin::to_cells(pinpin::pin_fields(anonymous_pin(), columns, view)).front() ==
          "not seen");
    CHECK(to_json(orphaned_pin(), pinpin::fact_columns(true), view).contains("holders"));
}

TEST_CASE("The usual table marks orphans, and tells where in a file memory lies") {
    CHECK(table_of({anonymous_pin(), orphaned_pin()}) ==
          std::vector<std::string>{
              "PIN    PID  USER        COMM      SIZE  KINDS     AGE  MEMORY",
              "3:1   1234  root        server  16 KiB  anon    1m05s  0x7f0000001800",
              "12:7  (99)  4000000000  loader  64 MiB  devdax  2d01h  /dev/dax0.0 @ 1 GiB"});
    CHECK(table_of({}).empty());
}

TEST_CASE("The usual table tells the states of pins if one isn't held whole") {
    CHECK(table_of({anonymous_pin(), leased_pin()}) ==
          std::vector<std::string>{
              "PIN   PID  USER  COMM      SIZE  STATE           KINDS    AGE  MEMORY",
              "3:1  1234  root  server  16 KiB  held            anon   1m05s  0x7f0000001800",
              "3:2  1234  root  server   8 KiB  partly revoked  fsdax  1m05s  /mnt/pmem/data"});
    pin_record gone = leased_pin();
    gone.state = longpin::pin_state::revoked;
    CHECK_THAT(table_of({gone})[1], Contains("  revoked  "));

    // Who asks for the column gets it.
    pinpin::pin_view view = a_view();
    const auto columns = pinpin::choose_columns(std::array<std::string_view, 1>{"state"});
    CHECK(pinpin::listing_columns(columns).front().usual.empty());
    CHECK(pinpin::to_cells(pinpin::pin_fields(anonymous_pin(), columns, view)).front() == "held");
}

TEST_CASE(
    "A table leaves a column out that says the same in each row until the widths are settled") {
    std::ostringstream out;
    pinpin::listing table(out, {{.head = "A"}, {.head = "B", .usual = "u"}, {.head = "C"}}, {});
    for (int i = 0; i < 1000; ++i) {
        table.add({"a", "u", "c"});
    }
    table.add({"a", "late", "c"});
    table.finish();
    const auto lines = lines_of(out.str());
    CHECK(lines.front() == "A  C");
    CHECK(lines[1] == "a  c");
    CHECK(lines.back() == "a  c");
}

TEST_CASE("A table fits into 80 columns by cutting the beginning of long paths") {
    pin_record pin = orphaned_pin();
    pin.comm = "fifteen-letters";
    pin.file->path = "/srv/" + std::string(200, 'x') + "/the-end";
    const auto lines = table_of({pin});
    REQUIRE(lines.size() == 2);
    CHECK(lines[1].size() == 80);
    CHECK_THAT(lines[1], Contains("...") && Catch::EndsWith("/the-end @ 1 GiB"));
    CHECK_THAT(table_of({pin}, 0)[1], Contains(pin.file->path));
    CHECK(table_of({pin}, 120)[1].size() == 120);
}

TEST_CASE("An address is never cut, and a narrow table closes its gaps first") {
    pin_record pin = anonymous_pin();
    pin.address = 0xff12'3456'789a'b000; // longer than any of a process
    pin.context = 10'000;
    pin.comm = "fifteen-letters";
    const auto wide = table_of({pin}, 80);
    CHECK_THAT(wide[1], Contains("fifteen-letters  16 KiB  anon"));
    const auto narrow = table_of({pin}, 60);
    CHECK_THAT(narrow[1],
               Contains("fifteen-letters 16 KiB anon") && Catch::EndsWith("0xff123456789ab000"));
}

TEST_CASE("Letters count by the columns that they take, and are not torn apart") {
    REQUIRE(std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr);
    pin_record pin = anonymous_pin();
    pin.comm = "größe";
    const auto lines = table_of({pin, anonymous_pin()});
    CHECK(lines[1].find("16 KiB") == lines[2].find("16 KiB") + 2); // two bytes more, no column
    std::string path;
    for (int i = 0; i < 100; ++i) {
        path += "ü";
    }
    pin.file = longpin::mapped_file{.path = path};
    const std::string cut = table_of({pin})[1];
    CHECK(pinpin::printable(cut) == cut);
    CHECK_THAT(cut, Contains(" ...ü"));

    pin.comm = "日本";
    const auto wide = table_of({pin, anonymous_pin()});
    CHECK(wide[1].find("16 KiB") == wide[2].find("16 KiB") + 2); // six bytes, four columns
    pin.file->path.clear();
    for (int i = 0; i < 100; ++i) {
        pin.file->path += "語";
    }
    CHECK_THAT(table_of({pin}, 80)[1], Contains(" ...語"));
    CHECK(pinpin::columns_of(table_of({pin}, 80)[1]) == 80);
    CHECK(pinpin::columns_of(table_of({pin}, 81)[1]) == 80); // there is no half of a letter
}

TEST_CASE("A table of many rows is printed while it is filled") {
    std::ostringstream out;
    pinpin::listing table(out, {{.head = "A"}, {.head = "B", .to_the_right = true}}, {});
    for (int i = 0; i < 999; ++i) {
        table.add({"a", "1"});
    }
    CHECK(out.str().empty());
    table.add({"aaa", "1"});
    CHECK(lines_of(out.str()).size() == 1001);
    table.add({"a", "22"}); // does not fit any more, and is not lost
    CHECK(lines_of(out.str()).back() == "a    22");
    CHECK(lines_of(out.str()).front() == "A    B");
    table.finish();
    CHECK(lines_of(out.str()).size() == 1002);
}

TEST_CASE("A table without heads is rows only") {
    std::ostringstream out;
    pinpin::listing table(out, {{.head = "LONG HEAD"}, {.head = "B"}}, {.with_heads = false});
    table.add({"a", "b"});
    table.finish();
    CHECK(out.str() == "a  b\n");
}

TEST_CASE("What others named can't disturb a terminal") {
    CHECK(pinpin::printable("plain") == "plain");
    CHECK(pinpin::printable("a\x1b[31mb\n\x7f") == "a?[31mb??");
    CHECK(pinpin::printable("grün €  😀") == "grün €  😀");
    CHECK(pinpin::printable("\xc2\x9b") == "??");                // a control character of two bytes
    CHECK(pinpin::printable("\xff\xc3") == "??");                // not UTF-8, and half of it
    CHECK(pinpin::printable("\xc0\xaf\xed\xa0\x80") == "?????"); // overlong, half a surrogate
    pin_record pin = anonymous_pin();
    pin.comm = "\x1b[2J";
    CHECK_THAT(table_of({pin})[1], Contains("?[2J") && !Contains("\x1b"));
}

TEST_CASE("Ages are shown in their two largest units") {
    CHECK(pinpin::format_age(0) == "0s");
    CHECK(pinpin::format_age(59.9) == "59s");
    CHECK(pinpin::format_age(60) == "1m00s");
    CHECK(pinpin::format_age(3599) == "59m59s");
    CHECK(pinpin::format_age(3600) == "1h00m");
    CHECK(pinpin::format_age(86399) == "23h59m");
    CHECK(pinpin::format_age(86400 * 12 + 3 * 3600) == "12d03h");
    CHECK(pinpin::format_age(-1) == "0s");
}

TEST_CASE("Every column has a key of its own, and can be sorted by") {
    pinpin::pin_view view = a_view();
    for (const pinpin::pin_column& column : pinpin::pin_columns()) {
        CAPTURE(column.key);
        CHECK(std::ranges::count(pinpin::pin_columns(), column.key, &pinpin::pin_column::key) == 1);
        const json one = pinpin::sort_value(anonymous_pin(), column, view);
        pin_record different = orphaned_pin();
        different.lease = true;
        different.state = longpin::pin_state::revoked;
        different.revoked_pages = 1;
        const json other = pinpin::sort_value(different, column, view);
        CHECK((one < other || other < one || column.key == "holders"));
    }
    // By number: as text, 12:7 would stand before 3:1.
    const pinpin::pin_column& pin = pinpin::pin_columns().front();
    CHECK(pinpin::sort_value(anonymous_pin(), pin, view) <
          pinpin::sort_value(orphaned_pin(), pin, view));
    CHECK_THROWS_AS(pinpin::choose_columns(std::array<std::string_view, 1>{"nonsense"}),
                    std::out_of_range);
}

TEST_CASE("Sums of pins are told in words") {
    const pinpin::pin_view view = a_view();
    pinpin::pin_totals totals;
    CHECK(to_text(totals) == "no pins");
    totals.add(anonymous_pin(), view);
    CHECK(to_text(totals) == "1 pin, 16 KiB");
    totals.add(orphaned_pin(), view);
    CHECK(to_text(totals) == "2 pins, 65552 KiB");
    CHECK(totals.orphans == 1);
    CHECK(totals.not_whole == 0);
    totals.add(leased_pin(), view);
    CHECK(totals.not_whole == 1);
}

TEST_CASE("A range is an address, an address and a size, or as in /proc/PID/maps") {
    CHECK(converts("0x1000", {0x1000, 0x1000}));
    CHECK(converts("4096", {0x1000, 0x1000}));
    CHECK(converts("0x1000+4k", {0x1000, 0x1fff}));
    CHECK(converts("0x1000+1", {0x1000, 0x1000}));
    CHECK(converts("1000-2000", {0x1000, 0x1fff}));
    CHECK(converts("0x1000-0x2000", {0x1000, 0x1fff}));
    CHECK(converts("0xffffffffffffffff+1", {~0ULL, ~0ULL}));
    for (const char* const nonsense : {"", "x", "7f00zz", "0x1000+", "0x1000+0", "+1", "2000-1000",
                                       "1000-1000", "-1000", "1000-", "0xffffffffffffffff+2"}) {
        CAPTURE(nonsense);
        pinpin::byte_range range;
        CHECK_FALSE(lexical_cast(nonsense, range));
    }
}

TEST_CASE("A pin matches a range of addresses that its pages touch") {
    const auto matches = [](std::uint64_t first, std::uint64_t last) {
        pinpin::pin_selection selection;
        selection.addresses = pinpin::byte_range{first, last};
        return selection.matches(anonymous_pin(), page_size); // holds ...1000 to ...4fff
    };
    CHECK(matches(0x7f0000001000, 0x7f0000001000));
    CHECK(matches(0x7f0000004fff, 0x7f0000004fff));
    CHECK(matches(0, ~0ULL));
    CHECK(matches(0x7f0000002000, 0x7f0000002fff));
    CHECK_FALSE(matches(0, 0x7f0000000fff));
    CHECK_FALSE(matches(0x7f0000005000, ~0ULL));
}

TEST_CASE("A pin matches a file that it is of, and the part of it that it holds") {
    pinpin::pin_selection selection;
    selection.file = pinpin::file_identity{
        .path = "/dev/dax0.0", .device_major = 0, .device_minor = 5, .inode = 140};
    CHECK(selection.matches(orphaned_pin(), page_size));
    CHECK_FALSE(selection.matches(anonymous_pin(), page_size));

    SECTION("by device and inode, or by path and inode") {
        selection.file->path = "/another/name";
        CHECK(selection.matches(orphaned_pin(), page_size));
        selection.file->device_minor = 6;
        CHECK_FALSE(selection.matches(orphaned_pin(), page_size));
        selection.file->path = "/dev/dax0.0";
        CHECK(selection.matches(orphaned_pin(), page_size));
        selection.file->inode = 141;
        CHECK_FALSE(selection.matches(orphaned_pin(), page_size));
    }
    SECTION("by the part") {
        const std::uint64_t start = 1U << 30U;
        const std::uint64_t end = start + (64U << 20U);
        selection.part_of_file = {start - 10, start - 1};
        CHECK_FALSE(selection.matches(orphaned_pin(), page_size));
        selection.part_of_file = {start - 10, start};
        CHECK(selection.matches(orphaned_pin(), page_size));
        selection.part_of_file = {end - 1, end - 1};
        CHECK(selection.matches(orphaned_pin(), page_size));
        selection.part_of_file = {end, ~0ULL};
        CHECK_FALSE(selection.matches(orphaned_pin(), page_size));
    }
}

TEST_CASE("A file is known by what stat() says of it, through links") {
    struct stat status {};
    REQUIRE(::stat("/proc/self/exe", &status) == 0);
    const auto file = pinpin::file_identity::of("/proc/self/exe");
    CHECK(file.inode == status.st_ino);
    CHECK_THAT(file.path, Catch::EndsWith("longpin-unit-tests"));
    CHECK_THROWS_AS(pinpin::file_identity::of("/nonexistent/file"), std::system_error);
}

TEST_CASE("What the kernel can look at is left to it") {
    pinpin::selection_arguments arguments;
    arguments.pid = 5;
    arguments.user = pinpin::user_argument{7};
    arguments.kinds = {"anon", "devdax"};
    arguments.context = 3;
    arguments.handle = 4;
    arguments.orphans = true;
    const auto selection = arguments.selection();
    CHECK(selection.filter.pid == 5);
    CHECK(selection.filter.uid == 7U);
    CHECK(selection.filter.kinds == (memory_kind::anon | memory_kind::devdax));
    CHECK(selection.filter.context == 3U);
    CHECK(selection.filter.handle == 4U);
    CHECK_FALSE(selection.matches(anonymous_pin(), page_size));
    CHECK(selection.matches(orphaned_pin(), page_size));
    CHECK(pinpin::selection_arguments{}.selection().filter.kinds == memory_kind::none);
}

TEST_CASE("A user is named by name or number") {
    pinpin::user_argument user{1};
    CHECK(lexical_cast("root", user));
    CHECK(user.uid == 0);
    CHECK(lexical_cast("4000000000", user));
    CHECK(user.uid == 4'000'000'000);
    for (const char* const nonsense : {"", "no such user", "-1", "4294967295", "5x"}) {
        CAPTURE(nonsense);
        CHECK_FALSE(lexical_cast(nonsense, user));
    }
    pinpin::user_names names;
    CHECK(names.of(0) == "root");
    CHECK(names.of(4'000'000'000) == "4000000000");
}

TEST_CASE("The help of list names all columns and all kinds of memory") {
    std::ostringstream out;
    std::ostringstream err;
    REQUIRE(pinpin::run({"list", "--help"}, out, err) == pinpin::done);
    for (const pinpin::pin_column& column : pinpin::pin_columns()) {
        CHECK_THAT(out.str(), Contains(std::string(column.key)));
    }
    for (std::uint32_t bit = 0; bit < 8; ++bit) {
        const auto kind = static_cast<memory_kind>(1U << bit);
        CHECK_THAT(out.str(), Contains(std::string(longpin::names(kind).front())));
    }
}

TEST_CASE("Wrong usage of the commands that look exits 2") {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"list", "--columns", "pin,nonsense"},
                                               {"list", "--columns", ""},
                                               {"list", "--sort", "nonsense"},
                                               {"list", "--sort", "-"},
                                               {"list", "--kind", "anon,nonsense"},
                                               {"list", "--pid", "0"},
                                               {"list", "--pid", "self"},
                                               {"list", "--context", "0"},
                                               {"list", "--handle", "99999999999"},
                                               {"list", "--uid", "no such user"},
                                               {"list", "--address", "7f00"},
                                               {"list", "--address", ""},
                                               {"list", "--file", ""},
                                               {"list", "--uid", ""},
                                               {"list", "--kind", ""},
                                               {"list", "--pid", ""},
                                               {"list", "--offset", "4k"},
                                               {"list", "--device", "/dev/null"},
                                               {"list", "surplus"},
                                               {"show"},
                                               {"show", "3:"},
                                               {"show", ":1"},
                                               {"show", "3:1:1"},
                                               {"show", "0:1"},
                                               {"show", "0"},
                                               {"show", "-1"},
                                               {"show", "init"},
                                               {"show", "3:1", "--context", "3"},
                                               {"monitor", "--count", "0"},
                                               {"monitor", "--for", "-1"},
                                               {"monitor", "surplus"},
                                               {"metrics", "--textfile", ""},
                                               {"metrics", "--json", "--textfile", "/tmp/x"},
                                               {"system", "surplus"}}) {
        CAPTURE(words);
        std::ostringstream out;
        std::ostringstream err;
        CHECK(pinpin::run(words, out, err) == pinpin::misused);
    }
}
