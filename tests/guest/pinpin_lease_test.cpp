// SPDX-License-Identifier: MIT
// Leases as an operator sees them: hold --lease of files on fs-DAX that others cut, and what list,
// monitor and metrics tell of it.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/module.hpp"
#include "support/shell.hpp"
#include "support/system_state.hpp"

#include "../support/lines.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <unistd.h>
#include <vector>

using namespace guest;
using Catch::Matchers::Contains;
using nlohmann::json;
using std::chrono::steady_clock;

namespace {

/// 1 MiB on fs-DAX, with all of its blocks; gone in the end.
class leased_file {
public:
    explicit leased_file(const std::string& filesystem) : path_(backing(filesystem) + "/leased") {
        REQUIRE(shell("dd if=/dev/urandom of=" + path_ + " bs=1M count=1 && sync").code == 0);
    }
    leased_file(const leased_file&) = delete;
    leased_file& operator=(const leased_file&) = delete;
    leased_file(leased_file&&) = delete;
    leased_file& operator=(leased_file&&) = delete;
    ~leased_file() { ::unlink(path_.c_str()); }

    [[nodiscard]] const std::string& path() const { return path_; }

    void cut(std::size_t size) const {
        REQUIRE(::truncate(path_.c_str(), static_cast<off_t>(size)) == 0);
    }

private:
    std::string path_;
};

/// pinpin in the background, writing to a file.
class background {
public:
    explicit background(const std::string& arguments)
        : path_("/tmp/pinpin-" + arguments.substr(0, arguments.find(' '))), process_([&] {
              // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
              ::execl("/bin/sh", "sh", "-c", ("exec pinpin " + arguments + " > " + path_).c_str(),
                      nullptr);
          }) {
        REQUIRE(eventually([&] { return !lines().empty(); }));
    }
    background(const background&) = delete;
    background& operator=(const background&) = delete;
    background(background&&) = delete;
    background& operator=(background&&) = delete;
    ~background() { ::unlink(path_.c_str()); }

    [[nodiscard]] std::vector<std::string> lines() const {
        std::ostringstream text;
        text << std::ifstream(path_).rdbuf();
        return lines_of(text.str());
    }

    /// Waits for a line that is so.
    [[nodiscard]] bool prints(const std::string& what) const {
        return eventually([&] {
            return std::ranges::any_of(lines(), [&](const std::string& line) {
                return line.find(what) != std::string::npos;
            });
        });
    }

    /// Waits until the last line is that.
    [[nodiscard]] bool ends_with(const std::string& line) const {
        return eventually([&] { return lines().back() == line; });
    }

    [[nodiscard]] pid_t pid() const { return process_.pid(); }

    /// Whether it exits with 0 when it is asked to end.
    bool end() { return ::kill(process_.pid(), SIGTERM) == 0 && process_.wait(); }

private:
    std::string path_;
    child process_;
};

/// Pages that all pins hold.
std::uint64_t held_pages() {
    return raw_device().info().out_max_pages_used / page;
}

json metrics() {
    return parsed(pinpin("metrics --json"));
}

} // namespace

TEST_CASE("pinpin hold --lease tells each revocation, and --repin follows the file") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const leased_file data(filesystem);
        const std::uint64_t held_before = held_pages();
        background holder("hold " + data.path() + " --lease --repin --json");
        const json first = json::parse(holder.lines().front());
        CHECK(first["kinds"] == json::array({"fsdax"}));
        CHECK(first["lease"] == true);
        CHECK(held_pages() == held_before + 256);

        data.cut(640 * KiB);
        REQUIRE(holder.ends_with(R"({"event":"repinned","repinned":160,"pages":160})"));
        CHECK(held_pages() == held_before + 160);
        // ext4 and XFS take all of the file back.
        const json taken = json::parse(holder.lines()[1]);
        CHECK(taken["event"] == "revoked");
        CHECK(taken["cause"] == "invalidate");
        CHECK(taken["offset"] == 0);

        data.cut(0);
        REQUIRE(holder.ends_with(R"({"event":"repinned","repinned":0,"pages":0})"));
        CHECK(held_pages() == held_before);
        for (const std::string& line : holder.lines()) {
            CHECK(json::parse(line).is_object());
        }
        CHECK(holder.end());
    }
}

TEST_CASE("pinpin hold --lease without --repin leaves it at what is left") {
    const leased_file data("xfs_dax");
    const std::uint64_t held_before = held_pages();
    background holder("hold " + data.path() + " --write --lease");
    REQUIRE(holder.prints("bookkeeping"));
    CHECK(held_pages() == held_before + 256);
    data.cut(640 * KiB);
    REQUIRE(
        holder.prints("revoked: 1 MiB at offset 0 B, because blocks of its file were removed or "
                      "the kernel moved the pages (invalidate)"));
    CHECK(held_pages() == held_before);
    CHECK(holder.end());
    for (const std::string& line : holder.lines()) {
        CHECK_THAT(line, !Contains("repin"));
    }
}

TEST_CASE("pinpin hold --grace lets go at once, and whoever cuts the file need not wait") {
    const module_parameter longest("max_grace_ms", "60000");
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const leased_file data(filesystem);
        const std::uint64_t held_before = held_pages();
        background holder("hold " + data.path() + " --lease --grace 60000");
        REQUIRE(holder.prints("bookkeeping"));
        CHECK(held_pages() == held_before + 256);
        const std::string listed =
            pinpin("list --json --pid " + std::to_string(holder.pid())).output;
        CHECK(json::parse(listed)[0]["grace"] == 60000);
        const auto start = steady_clock::now();
        data.cut(0);
        CHECK(steady_clock::now() - start < std::chrono::seconds(50));
        CHECK(held_pages() == held_before);
        CHECK(holder.prints("revoking: 1 MiB at offset 0 B, because blocks"));
        CHECK(holder.prints("let go: 1 MiB, so that nobody has to wait for it"));
        CHECK(holder.end());
        for (const std::string& line : holder.lines()) {
            CHECK_THAT(line, !Catch::StartsWith("revoked"));
        }
    }
}

TEST_CASE("pinpin hold --grace --repin takes again what it let go of") {
    const module_parameter longest("max_grace_ms", "10000");
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const leased_file data(filesystem);
        background holder("hold " + data.path() + " --lease --grace 10000 --repin --json");
        data.cut(640 * KiB);
        CHECK(holder.ends_with(R"({"event":"repinned","repinned":160,"pages":160})"));
        CHECK(holder.end());
    }
}

TEST_CASE("pinpin hold --lease tells what its program took back, and ends with it") {
    const leased_file data("ext4_dax");
    const run_result result =
        pinpin("hold " + data.path() + " --lease -- truncate -s 4096 " + data.path());
    CHECK(result.code == 0);
    CHECK_THAT(result.output, Contains("\nrevoked: 1 MiB at offset 0 B"));
    // That the program was started takes nothing back.
    CHECK_THAT(pinpin("hold --anon 1M --lease -- true").output, !Contains("revoked"));
}

TEST_CASE("pinpin check --lease allows what is refused otherwise, and hold suggests it") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const leased_file data(filesystem);
        const json allowed = parsed(pinpin("check " + data.path() + " --lease --json"));
        CHECK(allowed["allowed"] == true);
        CHECK(allowed["kinds"] == json::array({"fsdax"}));
        CHECK(pinpin("check " + data.path()).code == 1);
        CHECK_THAT(pinpin("hold " + data.path() + " --for 0").output, Contains("--lease"));
    }
    const run_result grace = pinpin("hold --anon 4k --lease --grace 99999 --for 0");
    CHECK(grace.code == 1);
    CHECK_THAT(grace.output, Contains("max_grace_ms"));
}

TEST_CASE("pinpin info tells that there are leases, and how long their grace may be") {
    const json info = parsed(pinpin("info --json"));
    CHECK(info["leases"] == true);
    CHECK(info["max_grace"] ==
          std::stoul(read_line(std::string(module_parameters) + "max_grace_ms")));
}

TEST_CASE("pinpin list, monitor and metrics tell what was taken back from a lease") {
    for (const char* const filesystem : dax_filesystems) {
        INFO(filesystem);
        const leased_file data(filesystem);
        const json before = metrics();
        background watcher("monitor");
        background holder("hold " + data.path() + " --lease --repin");
        REQUIRE(holder.prints("bookkeeping"));
        const std::string of_holder = "list --pid " + std::to_string(holder.pid());
        CHECK_THAT(pinpin(of_holder).output, !Contains("STATE"));
        const json whole = parsed(pinpin(of_holder + " --json"))[0];
        CHECK(whole["lease"] == true);
        CHECK(whole["state"] == "held");
        CHECK(whole["revoked"] == 0);
        CHECK(whole["grace"] == 0);

        data.cut(640 * KiB);
        REQUIRE(holder.prints("640 KiB of 1 MiB are held"));
        const json cut = parsed(pinpin(of_holder + " --json"))[0];
        CHECK(cut["state"] == "partly_revoked");
        CHECK(cut["size"] == 640 * KiB);
        CHECK(cut["revoked"] == 384 * KiB);
        const run_result table = pinpin(of_holder);
        CHECK_THAT(table.output, Contains("STATE") && Contains("partly revoked"));
        for (const std::string& line : lines_of(table.output)) {
            CHECK(line.size() <= 80);
        }
        CHECK_THAT(pinpin("show " + cut["pin"].get<std::string>()).output,
                   Contains("partly revoked") && Contains("384 KiB"));

        data.cut(0);
        REQUIRE(holder.prints("0 B of 1 MiB are held"));
        CHECK(parsed(pinpin(of_holder + " --json"))[0]["state"] == "revoked");

        const json after = metrics();
        const auto increase = [&](const char* counter) {
            return after[counter].get<std::uint64_t>() - before[counter].get<std::uint64_t>();
        };
        CHECK(increase("longpin_revocations_total") >= 2);
        CHECK(increase("longpin_revoked_bytes_total") == MiB + 640 * KiB);
        CHECK(increase("longpin_repins_total") == 1);

        CHECK(watcher.prints(" repinned "));
        CHECK(watcher.prints("1 MiB fsdax invalidate"));
        CHECK(holder.end());
        CHECK(watcher.prints(" unpinned "));
        CHECK(watcher.end());
        for (const std::string& line : watcher.lines()) {
            CHECK(line.size() <= 80);
        }
    }
}
