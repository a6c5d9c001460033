// SPDX-License-Identifier: MIT
// Memory of processes, beside what longpin holds.
#include "memory_use.hpp"
#include "sample_pins.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <sstream>

#include <unistd.h>

using pinpin::process_status;

namespace {

constexpr std::uint64_t kibibyte = 1024;

process_status process(pid_t pid, std::uint64_t vm_pin, std::uint64_t vm_lck = 0, uid_t uid = 0) {
    return {.pid = pid,
            .comm = "p" + std::to_string(pid),
            .uid = uid,
            .has_memory = true,
            .vm_pin = vm_pin,
            .vm_lck = vm_lck};
}

std::vector<pid_t> pids(const std::vector<pinpin::memory_use>& rows) {
    std::vector<pid_t> result(rows.size());
    std::ranges::transform(rows, result.begin(),
                           [](const pinpin::memory_use& one) { return one.process.pid; });
    return result;
}

} // namespace

TEST_CASE("A process is read from its status") {
    std::istringstream text("Name:\t two words\nUmask:\t0022\nPid:\t42\nPPid:\t1\n"
                            "Uid:\t1000\t0\t0\t0\nVmPeak:\t  5000 kB\nVmLck:\t       8 kB\n"
                            "VmPin:\t   65536 kB\n");
    CHECK(pinpin::parse_status(text) == process_status{.pid = 42,
                                                       .comm = " two words",
                                                       .uid = 1000,
                                                       .has_memory = true,
                                                       .vm_pin = 65536 * kibibyte,
                                                       .vm_lck = 8 * kibibyte});
    std::istringstream of_kernel("Name:\tkthreadd\nPid:\t2\nUid:\t0\t0\t0\t0\nThreads:\t1\n");
    CHECK_FALSE(pinpin::parse_status(of_kernel).has_memory);
}

TEST_CASE("Processes are read from /proc, and one that is not there is none") {
    const auto self = pinpin::read_process(::getpid());
    REQUIRE(self);
    CHECK(self->pid == ::getpid());
    CHECK(self->uid == ::getuid());
    CHECK(self->has_memory);
    CHECK_FALSE(pinpin::read_process(1 << 30));
    CHECK(std::ranges::count(pinpin::read_processes(), ::getpid(), &process_status::pid) == 1);
}

TEST_CASE("longpin's part of a process's pinned memory is told from the rest") {
    pinpin::longpin_use use;
    use.add(anonymous_pin(), 4096);
    use.add(anonymous_pin(), 4096);
    use.add(orphaned_pin(), 4096);
    CHECK(use.orphaned_pins == 1);
    CHECK(use.orphaned_size == 64U << 20U);

    // The pid of the orphan is another's by now, who has nothing to do with it.
    process_status kernel_thread{.pid = 2, .comm = "kthreadd"};
    const auto rows = pinpin::compare({process(1, 0), kernel_thread, process(5, 0, 4096),
                                       process(99, 1U << 20U), process(1234, 40960)},
                                      use, std::nullopt, false);
    REQUIRE(pids(rows) == std::vector<pid_t>{99, 1234, 5});
    CHECK(rows[0].longpin == 0U);
    CHECK(rows[0].other() == 1U << 20U);
    CHECK(rows[1].longpin == 32768U);
    CHECK(rows[1].other() == 8192U);

    CHECK(pids(pinpin::compare({process(1, 0), kernel_thread}, use, std::nullopt, true)) ==
          std::vector<pid_t>{1});
}

TEST_CASE("A process that executed another program has less VmPin than longpin holds") {
    pinpin::longpin_use use;
    use.add(anonymous_pin(), 4096);
    const auto rows = pinpin::compare({process(1234, 0)}, use, std::nullopt, false);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].longpin == 16384U);
    CHECK(rows[0].other() == 0U);
}

TEST_CASE("An ordinary user is not told that others' pins are not longpin's") {
    pinpin::user_names users;
    const auto rows =
        pinpin::compare({process(7, 8192, 0, 1000), process(8, 4096, 0, 1001)}, {}, 1000, false);
    REQUIRE(pids(rows) == std::vector<pid_t>{7, 8});
    CHECK(rows[0].longpin == 0U);
    CHECK_FALSE(rows[1].longpin);
    CHECK_FALSE(rows[1].other());
    CHECK(pinpin::to_json_line(to_json(pinpin::memory_fields(rows[1], users))) ==
          R"({"pid":8,"uid":1001,"user":"1001","comm":"p8","vm_pin":4096,"vm_lck":0,)"
          R"("longpin":null,"other":null})");
    CHECK(to_text(pinpin::memory_fields(rows[1], users).back()) == "?");
    CHECK(to_text(pinpin::memory_fields(rows[0], users).back()) == "8 KiB");
}
