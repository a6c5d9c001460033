// SPDX-License-Identifier: MIT
// The tracepoints, as the kernel prints them and as trace-cmd does: it reads the binary records
// with the help of the format files, as perf does.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"
#include "support/shell.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <thread>

using namespace guest;

namespace {

constexpr const char* events_directory = "/sys/kernel/tracing/events/longpin/";

/// What a tracepoint tells, by name. Its own name is that of "event".
using facts = std::map<std::string, std::string>;

/// The output of a command, which has to succeed.
std::string output_of(const std::string& command) {
    const run_result result = shell(command);
    if (result.code != 0) {
        throw std::runtime_error(command + ": " + result.output);
    }
    return result.output;
}

/// The lines that tell of our tracepoints.
std::vector<facts> events_in(const std::string& text) {
    std::vector<facts> found;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        // ... longpin_pin: context=1 handle=1 ...
        std::istringstream words(line);
        facts one;
        for (std::string word; words >> word;) {
            if (word.starts_with("longpin_") && word.ends_with(':')) {
                one["event"] = word.substr(0, word.size() - 1);
            } else if (const auto equals = word.find('='); equals != std::string::npos) {
                one[word.substr(0, equals)] = word.substr(equals + 1);
            }
        }
        if (one.contains("event")) {
            found.push_back(one);
        }
    }
    return found;
}

/// In words, for who reads of a failure.
std::vector<std::string> texts_of(const std::vector<facts>& events) {
    std::vector<std::string> texts;
    for (const facts& event : events) {
        std::string& text = texts.emplace_back();
        for (const auto& [name, value] : event) {
            text.append(name).append("=").append(value).append(" ");
        }
    }
    return texts;
}

std::string hex(const std::byte* address) {
    std::ostringstream text;
    text << "0x" << std::hex << reinterpret_cast<std::uintptr_t>(address);
    return text.str();
}

} // namespace

TEST_CASE("tracepoints tell of pins that are made, that end, and that are refused") {
    raw_device device;
    const std::uint32_t context = context_of(device);
    const file data = temporary_file("/dev/shm", 2 * page);
    struct stat status {};
    REQUIRE(::fstat(data.get(), &status) == 0);
    const mapping memory = mapping::anonymous(8 * page);
    REQUIRE(::mmap(memory.at(2 * page), 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   data.get(), 0) != MAP_FAILED);
    memory.unmap_part(6 * page, page);
    auto pin = request<longpin_pin>();
    pin.flags = LONGPIN_PIN_WRITE;
    pin.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    pin.length = 4 * page;
    pin.cookie = 0xfeed;

    // One recording, as trace-cmd takes its time.
    output_of("trace-cmd start -e 'longpin:*'");
    REQUIRE(device.call(LONGPIN_PIN, &pin) == 0);
    const longpin_pin made = pin;
    REQUIRE(device.unpin(made.out_handle) == 0);
    const pid_t pinner = as_ordinary_user([&] {
        device.must_pin(memory.data(), page);
        return ::getpid();
    });
    REQUIRE(device.pin(memory.data(), 8 * page, LONGPIN_PIN_DRY_RUN) == EFAULT); // is not told
    REQUIRE(device.pin(memory.data(), page, LONGPIN_PIN_DRY_RUN) == 0);
    pin.length = 8 * page;
    int err = 0;
    std::thread([&] {
        ::pthread_setname_np(::pthread_self(), "thread"); // the process is told
        err = device.call(LONGPIN_PIN, &pin);
    }).join();
    REQUIRE(err == EFAULT);
    const pid_t refused = as_ordinary_user([&] {
        set_memlock_limit(2 * page);
        return device.pin(memory.data(), 3 * page) == ENOMEM ? ::getpid() : 0;
    });
    const std::string command = read_line("/proc/self/comm");
    ::pthread_setname_np(::pthread_self(), "later");
    device.close();
    ::pthread_setname_np(::pthread_self(), command.c_str());
    output_of("trace-cmd stop");
    const std::vector<facts> printed = events_in(output_of("trace-cmd show"));
    output_of("trace-cmd extract -o /tmp/longpin-trace.dat");
    const std::vector<facts> reported =
        events_in(output_of("trace-cmd report -i /tmp/longpin-trace.dat"));
    output_of("trace-cmd reset && rm /tmp/longpin-trace.dat");

    const auto text = [](const auto& number) { return std::to_string(number); };
    facts by_root{
        {"event", "longpin_pin"},
        {"context", text(context)},
        {"handle", text(made.out_handle)},
        {"pid", text(::getpid())},
        {"comm", command},
        {"uid", "0"},
        {"addr", hex(memory.data())},
        {"length", text(4 * page)},
        {"pages", "4"},
        {"runs", text(made.out_runs)},
        {"kinds", "anon|shmem"},
        {"flags", "write"},
        {"cookie", "0xfeed"},
        {"dev", text(major(status.st_dev)) + ':' + text(minor(status.st_dev))},
        {"inode", text(status.st_ino)},
    };
    facts by_user = by_root;
    for (const auto& [name, value] : facts{{"handle", text(made.out_handle + 1)},
                                           {"pid", text(pinner)},
                                           {"uid", text(ordinary_user)},
                                           {"length", text(page)},
                                           {"pages", "1"},
                                           {"runs", "1"},
                                           {"kinds", "anon"},
                                           {"flags", ""},
                                           {"cookie", "0x0"},
                                           {"dev", "0:0"}, // no file
                                           {"inode", "0"}}) {
        by_user[name] = value;
    }
    const auto ended = [](facts event, const char* cause) {
        event["event"] = "longpin_unpin";
        event["cause"] = cause;
        return event;
    };
    const facts hole{
        {"event", "longpin_refuse"},
        {"context", text(context)},
        {"pid", text(::getpid())},
        {"comm", command},
        {"uid", "0"},
        {"addr", hex(memory.data())},
        {"length", text(8 * page)},
        {"flags", "write"},
        {"cookie", "0xfeed"},
        {"errno", text(EFAULT)},
        {"reason", text(LONGPIN_REASON_HOLE)},
        {"bad_addr", hex(memory.at(6 * page))},
        {"limit", "0"},
        {"used", "0"},
        {"asked", "0"},
    };
    facts limit = hole;
    for (const auto& [name, value] : facts{{"pid", text(refused)},
                                           {"uid", text(ordinary_user)},
                                           {"length", text(3 * page)},
                                           {"flags", ""},
                                           {"cookie", "0x0"},
                                           {"errno", text(ENOMEM)},
                                           {"reason", text(LONGPIN_REASON_MEMLOCK)},
                                           {"bad_addr", "0x0"},
                                           {"limit", text(2 * page)},
                                           {"used", text(page)},
                                           {"asked", text(3 * page)}}) {
        limit[name] = value;
    }
    const std::vector<std::string> expected =
        texts_of({by_root, ended(by_root, "unpin"), by_user, hole, limit, ended(by_user, "close")});
    CHECK(texts_of(reported) == expected);
    CHECK(texts_of(printed) == expected);
}

TEST_CASE("trace-cmd shows what is revoked of a lease, and pinned again") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    output_of("trace-cmd start -e 'longpin:*'");
    const std::uint32_t handle = device.must_pin(memory.data(), page, LONGPIN_PIN_LEASE);
    REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    memory.unmap_part(0, page);
    REQUIRE(device.repin(handle, answer) == EFAULT);
    output_of("trace-cmd stop");
    std::vector<facts> printed = events_in(output_of("trace-cmd show"));
    output_of("trace-cmd reset");

    REQUIRE(printed.size() == 5);
    facts revoked = printed[0];
    CHECK(revoked["flags"] == "lease");
    for (const auto& [name, value] : facts{{"event", "longpin_revoke"},
                                           {"pages", "0"},
                                           {"runs", "0"},
                                           {"cause", "invalidate"},
                                           {"change_offset", "0"},
                                           {"change_length", std::to_string(page)}}) {
        revoked[name] = value;
    }
    facts repinned = printed[0];
    repinned["event"] = "longpin_repin";
    CHECK(texts_of({printed[1], printed[2]}) == texts_of({revoked, repinned}));
    facts refused{{"event", "longpin_refuse"},
                  {"errno", std::to_string(EFAULT)},
                  {"reason", std::to_string(LONGPIN_REASON_HOLE)},
                  {"bad_addr", hex(memory.data())},
                  {"limit", "0"},
                  {"used", "0"},
                  {"asked", "0"}};
    for (const char* const same :
         {"context", "pid", "comm", "uid", "addr", "length", "flags", "cookie"}) {
        refused[same] = repinned[same];
    }
    CHECK(texts_of({printed[4]}) == texts_of({refused}));
}

TEST_CASE("the tracepoints and their fields are those that tools were told of") {
    const std::set<std::string> range{"context", "handle",        "pid",          "comm",  "uid",
                                      "addr",    "length",        "pages",        "runs",  "kinds",
                                      "flags",   "cookie",        "major",        "minor", "inode",
                                      "cause",   "change_offset", "change_length"};
    const std::map<std::string, std::set<std::string>> expected{
        {"longpin_pin", range},
        {"longpin_unpin", range},
        {"longpin_revoke", range},
        {"longpin_repin", range},
        {"longpin_refuse",
         {"context", "pid", "comm", "uid", "addr", "length", "flags", "cookie", "error", "reason",
          "bad_addr", "limit", "used", "asked"}},
    };
    std::map<std::string, std::set<std::string>> found;
    for (const auto& entry : std::filesystem::directory_iterator(events_directory)) {
        if (!entry.is_directory()) {
            continue; // enable, filter
        }
        std::ifstream lines(entry.path() / "format");
        auto& fields = found[entry.path().filename()];
        for (std::string line; std::getline(lines, line);) {
            // "	field:u32 context;	offset:8;	size:4;	signed:0;", or "char
            // comm[16];"
            const auto end = line.find_first_of(";[");
            const auto start = line.find_last_of(' ', end);
            if (line.starts_with("\tfield:")) {
                const std::string name = line.substr(start + 1, end - start - 1);
                if (!name.starts_with("common_")) {
                    fields.insert(name);
                }
            }
        }
    }
    CHECK(found == expected);
}
