// SPDX-License-Identifier: MIT
// pinpin as a person or a script sees it: output, JSON, exit codes.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <fcntl.h>
#include <sstream>
#include <unistd.h>

using namespace guest;
using nlohmann::json;

namespace {

/// A file with a known text at its start, on one of the guest's file systems.
std::string text_file(const std::string& directory) {
    std::string path = directory + "/pinpin-test";
    CHECK(shell("printf 'held in place' > " + path + " && truncate -s 64K " + path).code == 0);
    return path;
}

} // namespace

TEST_CASE("pinpin info shows the module's version and the limits") {
    const run_result table = pinpin("info");
    CHECK(table.code == 0);
    CHECK_THAT(table.output,
               Catch::Contains("module version") && Catch::Contains("RLIMIT_MEMLOCK used"));

    const json object = parsed(pinpin("info --json"));
    CHECK(object["page_size"] == page);
    CHECK(object["version"] == read_line("/sys/module/longpin/version"));
    CHECK(object["memlock_used"] == 0);
    CHECK(object["memlock_limit"].is_null()); // root has CAP_IPC_LOCK
    CHECK(object["max_pins_limit"] == 1 << 20);
}

TEST_CASE("pinpin hold pins each kind of memory and tells what it holds", "[devdax]") {
    const std::string file = text_file(backing("ext4"));
    struct {
        std::string memory;
        const char* kind;
        std::size_t length;
    } const rows[] = {
        {"--anon 3M", "anon", 3 * MiB},
        {"--memfd 64k", "shmem", 64 * KiB},
        {"--hugetlb 4M --write", "hugetlb", 4 * MiB},
        {backing("devdax_2m") + " --length 4M --write", "devdax", 4 * MiB},
        {file, "file", 64 * KiB},
        {file + " --private --write", "private", 64 * KiB},
        {file + " --offset 5 --length 100", "file", 100},
    };
    for (const auto& row : rows) {
        INFO(row.memory);
        const run_result result = pinpin("hold " + row.memory + " --for 0 --json");
        CHECK(result.code == 0);
        const json object = parsed(result);
        CHECK(object["kinds"] == json::array({row.kind}));
        CHECK(object["length"] == row.length);
        CHECK(object["handle"] == 1);
        CHECK(object["charged"] == object["pages"].get<std::size_t>() * page);

        const run_result table = pinpin("hold " + row.memory + " --for 0");
        CHECK(table.code == 0);
        CHECK_THAT(table.output, Catch::Contains(row.kind));
        std::istringstream lines(table.output);
        for (std::string line; std::getline(lines, line);) {
            CHECK(line.size() <= 80);
        }
    }
}

TEST_CASE("pinpin says how to get huge pages where too few are free") {
    const run_result result = pinpin("check --hugetlb 1T");
    CHECK(result.code == 1);
    CHECK_THAT(result.output, Catch::Contains("of 2 MiB each, and this wants 524288") &&
                                  Catch::Contains("vm.nr_hugepages"));
}

TEST_CASE("pinpin hold --threads pins in pieces, which are pins of their own") {
    const std::string list = "pinpin list --no-header --columns size | sort | uniq -c";
    const run_result result = pinpin("hold --hugetlb 16M --threads 2 -- sh -c '" + list + "'");
    CHECK(result.code == 0);
    CHECK_THAT(result.output, Catch::Contains("pins                 8\n") &&
                                  Catch::Contains("length               16 MiB\n") &&
                                  Catch::Contains("  8 2 MiB\n"));
}

TEST_CASE("pinpin hold reads memory through the pin after it was unmapped") {
    const std::string file = text_file(backing("ext4"));
    const run_result result = pinpin("hold " + file + " --unmap --dump 13 --for 0");
    CHECK(result.code == 0);
    CHECK_THAT(result.output, Catch::Contains("|held in place|"));
    const json object = parsed(pinpin("hold " + file + " --unmap --dump 4 --for 0 --json"));
    CHECK(object["bytes"] == "68656c64");
    CHECK(object["mapped"] == false);
}

TEST_CASE("pinpin hold refuses fs-DAX with exit code 1 and says what to do") {
    for (const char* const name : {"xfs_dax", "ext4_dax"}) {
        const std::string file = text_file(backing(name));
        const run_result refused = pinpin("hold " + file + " --for 0");
        CHECK(refused.code == 1);
        CHECK_THAT(refused.output,
                   Catch::Contains("pinpin: cannot pin 64 KiB") && Catch::Contains("device-DAX"));

        const run_result as_json = pinpin("hold " + file + " --for 0 --json");
        CHECK(as_json.code == 1);
        const json error = parsed(as_json)["error"];
        CHECK(error["errno"] == "EOPNOTSUPP");
        CHECK(error["reason"] == "fsdax");
        CHECK(error["bad_address"].is_number());
        CHECK(error["limit"].is_null());
    }
}

TEST_CASE("pinpin check answers without holding anything") {
    const run_result allowed = pinpin("check --anon 1M");
    CHECK(allowed.code == 0);
    CHECK_THAT(allowed.output, Catch::Contains("allowed") && Catch::Contains("1 MiB"));
    const json object = parsed(pinpin("check --anon 1M --json"));
    CHECK(object["allowed"] == true);
    CHECK(object["pages"] == 256);
    CHECK(object["charged"] == MiB);

    const std::string file = text_file(backing("xfs_dax"));
    const run_result refused = pinpin("check " + file);
    CHECK(refused.code == 1);
    CHECK_THAT(refused.output, Catch::Contains("DAX"));
    const json why = parsed(pinpin("check " + file + " --json"));
    CHECK(why["allowed"] == false);
    CHECK(why["error"]["reason"] == "fsdax");
    CHECK(raw_device().info().out_max_pages_used == 0);
}

TEST_CASE("pinpin check names the rule that forbids a write pin of a file") {
    const std::string file = text_file(backing("ext4"));
    CHECK(pinpin("check " + file).code == 0);
    const run_result refused = pinpin("check " + file + " --write --json");
    CHECK(refused.code == 1);
    CHECK(parsed(refused)["error"]["reason"] == "dirty_tracking");
}

TEST_CASE("pinpin hold holds while a program runs, and passes on whether it went well") {
    // While the program runs the memory is charged; what it prints comes through.
    const run_result good = pinpin("hold --anon 2M -- sh -c 'grep VmPin /proc/$PPID/status'");
    CHECK(good.code == 0);
    CHECK_THAT(good.output, Catch::Contains("2048 kB"));
    CHECK(pinpin("hold --anon 4k -- false").code == 1);
    CHECK(pinpin("hold --anon 4k -- /no/such/program").code == 1);
}

TEST_CASE("pinpin hold --store writes a file through the pin", "[devdax]") {
    const std::string text = text_file("/tmp");
    const std::string dax = backing("devdax_2m");
    REQUIRE(shell("printf 'another text!' > " + text).code == 0);
    const run_result stored = pinpin("hold " + dax + " --length 2M --write --unmap --store " +
                                     text + " --dump 13 --for 0");
    CHECK(stored.code == 0);
    CHECK_THAT(stored.output, Catch::Contains("|another text!|"));
    // It is in the memory itself: the next one finds it there.
    CHECK_THAT(pinpin("hold " + dax + " --length 2M --dump 13 --for 0").output,
               Catch::Contains("|another text!|"));
    CHECK(pinpin("hold --anon 4k --write --for 0 --store /no/such/file").code == 1);
    CHECK(pinpin("hold --anon 4k --for 0 --store " + text).code == 2); // not without --write
}

TEST_CASE("pinpin hold lets go on SIGTERM and SIGINT, and exits with 0") {
    const long held_before = pinned_pages();
    for (const int signal : {SIGTERM, SIGINT}) {
        REQUIRE(shell("rm -f /tmp/out").code == 0);
        child holder([] {
            const file output = open_file("/tmp/out", O_WRONLY | O_CREAT);
            ::dup2(output.get(), STDOUT_FILENO);
            ::execlp("pinpin", "pinpin", "hold", "--anon", "1M", nullptr);
        });
        // As soon as the memory is said to be held.
        REQUIRE(eventually([] { return shell("grep -q handle /tmp/out").code == 0; }));
        CHECK(pinned_pages() == held_before + static_cast<long>(MiB / page));
        REQUIRE(::kill(holder.pid(), signal) == 0);
        CHECK(holder.wait());
        CHECK(pinned_pages() == held_before);
    }
}

TEST_CASE("pinpin hold --for ends by itself") {
    CHECK(pinpin("hold --anon 4k --for 0.2").code == 0);
}

TEST_CASE("pinpin tells misuse apart by exit code 2") {
    for (const char* const arguments :
         {"", "nonsense", "hold", "hold --anon", "hold --anon junk", "hold --anon 4k --memfd 4k",
          "check --anon -1", "hold --anon 4k --for -1", "info extra", "check --anon 4k -- true",
          "hold --anon 99999999999G"}) {
        INFO(arguments);
        CHECK(pinpin(arguments).code == 2);
    }
    CHECK(pinpin("--help").code == 0);
    CHECK(pinpin("hold --help").code == 0);
    CHECK(pinpin("--version").code == 0);
}

TEST_CASE("pinpin says what to do when the device can't be opened") {
    const run_result missing = pinpin("info --device /dev/no-such-device");
    CHECK(missing.code == 1);
    CHECK_THAT(missing.output, Catch::Contains("modprobe longpin"));

    const json error = parsed(pinpin("info --json --device /dev/no-such-device"))["error"];
    CHECK(error["errno"] == "ENOENT");

    const bool says_who_may = as_ordinary_user([] {
        const run_result refused = pinpin("info");
        return refused.code == 1 && refused.output.find("/dev/longpin") != std::string::npos;
    });
    CHECK(says_who_may);
}

TEST_CASE("pinpin explains the limit to an ordinary user") {
    REQUIRE(shell("chmod 666 /dev/longpin").code == 0);
    const mapping output = mapping::shared_anonymous(page);
    const int code = as_ordinary_user([&] {
        set_memlock_limit(64 * KiB);
        const run_result refused = pinpin("check --anon 1M --json");
        refused.output.copy(output.as<char>(), page - 1);
        return refused.code;
    });
    REQUIRE(shell("chmod 600 /dev/longpin").code == 0);
    CHECK(code == 1);
    const json error = parsed({code, output.as<char>()})["error"];
    CHECK_THAT(error["message"].get<std::string>(),
               Catch::Contains("RLIMIT_MEMLOCK allows 64 KiB for user 1000, 0 B are pinned, 1 MiB "
                               "more were asked for") &&
                   Catch::Contains("ulimit -l"));
    CHECK(error["limit"] == 64 * KiB);
    CHECK(error["asked"] == MiB);
}
