// SPDX-License-Identifier: MIT
// The command in this process, on a fake kernel.
#include "cli.hpp"
#include "fake_kernel.hpp"
#include "fit_text.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "terminal.hpp"

#include "../support/lines.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <clocale>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <pty.h>
#include <regex>
#include <sstream>
#include <thread>

#include <unistd.h>

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using pinpin::json;

namespace {

struct outcome {
    int code;
    std::string out;
    std::string err;
};

outcome run(std::vector<std::string> words) {
    if (!words.empty() && !words.front().starts_with("-")) {
        words.insert(words.begin() + 1, {"--device", "/dev/null"});
    }
    std::ostringstream out;
    std::ostringstream err;
    const int code = pinpin::run(words, out, err);
    return {code, out.str(), err.str()};
}

/// The lines that it prints on a terminal of that width.
std::vector<std::string> lines_on_terminal(unsigned short width, std::vector<std::string> words) {
    words.insert(words.begin() + 1, {"--device", "/dev/null"});
    terminal terminal(width);
    pinpin::run(words, std::cout, std::cout);
    return lines_of(terminal.text());
}

/// A file that goes with its object.
class temporary_file {
public:
    explicit temporary_file(const std::string& text, const std::string& suffix = "")
        : path_(std::filesystem::temp_directory_path() /
                ("longpin-unit-" + std::to_string(::getpid()) + suffix)) {
        std::ofstream(path_) << text;
    }

    ~temporary_file() { std::filesystem::remove(path_); }

    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    temporary_file(temporary_file&&) = delete;
    temporary_file& operator=(temporary_file&&) = delete;

    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

/// What a signal does, for as long as the object lives: whoever started the tests may have it
/// ignored.
class signal_action {
public:
    signal_action(int signal, sighandler_t action)
        : signal_(signal), before_(::signal(signal, action)) {}

    ~signal_action() { ::signal(signal_, before_); }

    signal_action(const signal_action&) = delete;
    signal_action& operator=(const signal_action&) = delete;
    signal_action(signal_action&&) = delete;
    signal_action& operator=(signal_action&&) = delete;

private:
    int signal_;
    sighandler_t before_;
};

/// Some of the pages of a pin.
std::span<const std::byte> pages_of(const longpin_pin& pin, std::size_t first, std::size_t count) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's interface has numbers
    return {reinterpret_cast<const std::byte*>(pin.addr + first * fake_kernel::page_size),
            count * fake_kernel::page_size};
}

std::vector<std::string> keys(const json& object) {
    std::vector<std::string> result;
    for (const auto& [key, value] : object.items()) {
        result.push_back(key);
    }
    return result;
}

} // namespace

TEST_CASE("Wrong usage exits 2 and says what is wrong") {
    const fake_kernel kernel;
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {},
             {"unheard-of"},
             {"hold", "--for", "0"},
             {"hold", "--anon", "4k", "--memfd", "4k"},
             {"hold", "file", "--anon", "4k"},
             {"hold", "--anon", "lots"},
             {"hold", "--anon", "4k", "--private"},
             {"hold", "--anon", "4k", "--for", "-1"},
             {"hold", "--anon", "4k", "--for", "1", "--", "true"},
             {"hold", "--anon", "4k", "--"},
             {"hold", "--anon", "4k", "--grace", "5"},
             {"hold", "--anon", "4k", "--repin"},
             {"hold", "--anon", "4k", "--lease", "--unmap"},
             {"hold", "--anon", "4k", "--lease", "--grace", "-1"},
             {"hold", "--anon", "4k", "--threads", "-1"},
             {"hold", "--anon", "4k", "--threads", "2", "--lease"},
             {"hold", "--anon", "4k", "--threads", "2", "--dump", "4"},
             {"hold", "--anon", "4k", "--write", "--threads", "2", "--store", "file"},
             {"check", "--anon", "4k", "--repin"},
             {"check", "--anon", "4k", "--", "true"},
             {"info", "surplus"}}) {
        CAPTURE(words);
        const outcome result = run(words);
        CHECK(result.code == pinpin::misused);
        CHECK_THAT(result.err, Contains("pinpin: "));
        CHECK(result.out.empty());
    }
}

TEST_CASE("Help and version go to the output and exit 0") {
    CHECK_THAT(run({"--help"}).out, Contains("hold") && Contains("Exit codes"));
    CHECK(run({"--help"}).code == pinpin::done);
    CHECK(run({"--version"}).out == "pinpin " LONGPIN_VERSION "\n");
    for (const char* const command : {"info", "hold", "check"}) {
        CHECK_THAT(run({command, "--help"}).out, Contains("Example") && Contains("--json"));
    }
}

TEST_CASE("info shows the limits with units in the table and as numbers in JSON") {
    fake_kernel kernel;
    kernel.info.out_memlock_used = 1U << 20U;
    const outcome table = run({"info"});
    CHECK(table.code == pinpin::done);
    CHECK_THAT(table.out, Contains("RLIMIT_MEMLOCK left") && Contains("7 MiB") &&
                              Contains("longest grace of a lease") && Contains("1000 ms\n"));

    const json object = json::parse(run({"info", "--json"}).out);
    CHECK(object["version"] == "1.2.3");
    CHECK(object["leases"] == true);
    CHECK(object["max_grace"] == 1000);
    CHECK(object["memlock_left"] == 7U << 20U);
    CHECK(object["max_pages_limit"].is_null());
    CHECK(object["max_pages_left"].is_null());
    CHECK(object["max_pins_left"] == 100);
}

TEST_CASE("A device that is not there is reported with what to do") {
    std::ostringstream out;
    std::ostringstream err;
    CHECK(pinpin::run({"info", "--device", "/nonexistent"}, out, err) == pinpin::failed);
    CHECK_THAT(err.str(), Contains("cannot open /nonexistent") && Contains("modprobe longpin"));
}

TEST_CASE("hold pins what it was told to, shows it, and lets go") {
    fake_kernel kernel;
    const outcome result =
        run({"hold", "--anon", "64k", "--offset", "1", "--length", "8k", "--for", "0", "--json"});
    CHECK(result.code == pinpin::done);
    CHECK(kernel.last_pin.addr % fake_kernel::page_size == 1);
    CHECK(kernel.last_pin.length == 8192);
    CHECK(kernel.last_pin.flags == 0);
    CHECK(kernel.pins.empty());

    const json object = json::parse(result.out);
    CHECK(keys(object) == std::vector<std::string>{"handle", "memory", "address", "length",
                                                   "writable", "mapped", "lease", "kinds", "pages",
                                                   "charged", "runs", "bookkeeping"});
    CHECK(object["lease"] == false);
    CHECK(object["pages"] == 3);
    CHECK(object["charged"] == 3 * 4096);
    CHECK(object["kinds"] == json{"anon"});
    CHECK(object["address"] == kernel.last_pin.addr);
}

TEST_CASE("hold --threads pins in pieces, and tells what they hold together") {
    fake_kernel kernel;
    bool for_writing = true;
    kernel.while_pinning = [&](const longpin_pin& request) {
        for_writing = for_writing && (request.flags & LONGPIN_PIN_WRITE) != 0;
    };
    const outcome result = run(
        {"hold", "--anon", "16M", "--threads", "1", "--write", "--unmap", "--for", "0", "--json"});
    CHECK(result.code == pinpin::done);
    CHECK(for_writing);
    CHECK(kernel.pins.empty());

    const json object = json::parse(result.out);
    CHECK(keys(object) == std::vector<std::string>{"pins", "memory", "address", "length",
                                                   "writable", "mapped", "kinds", "pages",
                                                   "charged", "runs", "bookkeeping"});
    CHECK(object["pins"] == kernel.count(LONGPIN_PIN));
    CHECK(object["pins"] >= 4);
    CHECK(object["length"] == 16 << 20);
    CHECK(object["pages"] == 4096);
    CHECK(object["runs"] == 4096);
    CHECK(object["bookkeeping"] == 16 * 4096);
    CHECK(object["kinds"] == json{"anon"});
    CHECK(object["mapped"] == false);
}

TEST_CASE("A measured progress is drawn on a terminal when it takes long, and erased") {
    using std::chrono::steady_clock;
    int terminal = -1;
    int screen = -1;
    REQUIRE(::openpty(&screen, &terminal, nullptr, nullptr, nullptr) == 0);
    const int before = ::dup(STDERR_FILENO);
    ::dup2(terminal, STDERR_FILENO);
    bool began_at_once = false; // on a busy machine it may not
    {
        const auto start = steady_clock::now();
        pinpin::measured_progress shown("pinning 4 GiB");
        shown.update(1, 4);
        began_at_once = steady_clock::now() - start < std::chrono::milliseconds(500);
        std::this_thread::sleep_for(std::chrono::milliseconds(600));
        shown.update(2, 4);
        shown.update(3, 4);
    }
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    ::close(terminal);
    std::array<char, 1000> drawn{};
    const ssize_t got = ::read(screen, drawn.data(), drawn.size());
    ::close(screen);
    const std::string text(drawn.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    const std::string wanted = "\rpinning 4 GiB: [###############...............]  50% N s "
                               "\rpinning 4 GiB: [######################........]  75% N s "
                               "\r\033[K";
    const std::string shown = std::regex_replace(text, std::regex(R"(\d+ s )"), "N s ");
    CHECK_THAT(shown, Catch::EndsWith(wanted));
    CHECK((shown == wanted || !began_at_once));
}

TEST_CASE("hold shows a table that fits in 80 columns") {
    const fake_kernel kernel;
    const outcome result = run({"hold", "--memfd", "1M", "--write", "--for", "0"});
    CHECK(result.code == pinpin::done);
    CHECK_THAT(result.out, Contains("length               1 MiB\n") && Contains("anon\n"));
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) {
        CHECK(line.size() <= 80);
    }
}

TEST_CASE("A table of values fits a terminal by leaving out the beginning of long ones") {
    const pinpin::record fields{{"a", "memory", "/srv/" + std::string(50, 'x') + "/the-end"},
                                {"b", "b", 1}};
    CHECK(pinpin::to_table(fields, 30) == "memory  ...xxxxxxxxxxx/the-end\nb       1\n");
    CHECK_THAT(pinpin::to_table(fields, 5), StartsWith("memory  ...xxxxxxx/the-end\n"));
    CHECK_THAT(pinpin::to_table(fields), Contains("/srv/"));

    fake_kernel kernel;
    const temporary_file file("text", std::string(50, 'x'));
    const std::vector<std::string> hold{"hold", file.path(), "--for", "0"};
    const std::vector<std::string> check{"check", file.path()};
    for (const auto& words : {hold, check}) {
        CHECK_THAT(run(words).out, Contains("memory  ") && Contains("  " + file.path() + "\n"));
        for (const std::string& line : lines_on_terminal(50, words)) {
            CHECK(pinpin::columns_of(line) <= 50);
        }
    }
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::fsdax});
    for (const std::string& line : lines_on_terminal(50, check)) {
        CHECK(pinpin::columns_of(line) <= 50);
    }
}

TEST_CASE("hold pins a part of a file, unmaps it, and reads it through the pin") {
    const fake_kernel kernel;
    const temporary_file file("first line\nsecond line\n");
    const std::vector<std::string> words{"hold",   file.path(), "--offset", "11", "--unmap",
                                         "--dump", "1k",        "--for",    "0"};
    const outcome table = run(words);
    CHECK(table.code == pinpin::done);
    CHECK(kernel.last_pin.length == 12);
    CHECK_THAT(table.out, Contains("still mapped         no\n") &&
                              Contains("00000000  73 65 63 6f 6e 64 20 6c  69 6e 65 0a") &&
                              Contains("|second line.|"));

    std::vector<std::string> as_json = words;
    as_json.emplace_back("--json");
    CHECK(json::parse(run(as_json).out)["bytes"] == "7365636f6e64206c696e650a");
}

TEST_CASE("hold reports a file that is not there, or has no such part") {
    const fake_kernel kernel;
    const temporary_file file("short");
    const outcome missing = run({"hold", "/nonexistent/file", "--json"});
    CHECK(missing.code == pinpin::failed);
    CHECK(json::parse(missing.out)["error"]["errno"] == "ENOENT");
    CHECK_THAT(run({"hold", file.path(), "--offset", "5"}).err, Contains("it has 5"));
    CHECK(run({"hold", file.path(), "--length", "0"}).code == pinpin::failed);
    CHECK(run({"hold", file.path(), "--offset", "1T", "--length", "0xffffffffffffffff"}).code ==
          pinpin::failed);
    CHECK(run({"hold", "/dev/null"}).code == pinpin::failed);
}

TEST_CASE("A refused hold exits 1 and says why, as JSON when asked") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, ENOMEM,
                {.why = longpin::reason::memlock, .limit = 8192, .used = 4096, .asked = 12288});
    const outcome text = run({"hold", "--anon", "12k"});
    CHECK(text.code == pinpin::failed);
    CHECK(text.out.empty());
    CHECK_THAT(text.err, Contains("pinpin: cannot pin 12 KiB") && Contains("allows 8 KiB"));

    const outcome object = run({"hold", "--anon", "12k", "--json"});
    CHECK(object.code == pinpin::failed);
    CHECK(object.err.empty());
    const json error = json::parse(object.out)["error"];
    CHECK(keys(error) == std::vector<std::string>{"message", "errno", "reason", "bad_address",
                                                  "limit", "used", "asked"});
    CHECK(error["errno"] == "ENOMEM");
    CHECK(error["reason"] == "memlock");
    CHECK(error["bad_address"].is_null());
    CHECK(error["limit"] == 8192);
    CHECK(error["used"] == 4096);
    CHECK(error["asked"] == 12288);
}

TEST_CASE("hold runs a program while it holds, and exits by it") {
    const fake_kernel kernel;
    CHECK(run({"hold", "--anon", "4k", "--", "true"}).code == pinpin::done);
    CHECK(run({"hold", "--anon", "4k", "--", "sh", "-c", "exit 7"}).code == pinpin::failed);
    CHECK(run({"hold", "--anon", "4k", "--", "sh", "-c", "kill -9 $$"}).code == pinpin::failed);
    const outcome missing = run({"hold", "--anon", "4k", "--json", "--", "/nonexistent/program"});
    CHECK(missing.code == pinpin::failed);
    CHECK(kernel.pins.empty());
}

TEST_CASE("hold ends well by a signal") {
    const fake_kernel kernel;
    const int signal = GENERATE(SIGINT, SIGTERM, SIGHUP);
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, signal);
    const signal_action usual(signal, SIG_DFL);
    ::sigprocmask(SIG_BLOCK, &set, nullptr); // or it would end this process before the wait
    ::kill(::getpid(), signal);
    CHECK(run({"hold", "--anon", "4k"}).code == pinpin::done);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    CHECK(kernel.pins.empty());
}

TEST_CASE("hold passes a signal on to its program, and waits for it") {
    const fake_kernel kernel;
    const auto [number, name] =
        GENERATE(std::pair(SIGINT, "INT"), std::pair(SIGTERM, "TERM"), std::pair(SIGHUP, "HUP"));
    const signal_action usual(number, SIG_DFL);
    CHECK(run({"hold", "--anon", "4k", "--", "sh", "-c",
               std::string("kill -") + name + " $PPID; exec sleep 60"})
              .code == pinpin::failed);
    CHECK(kernel.pins.empty());
}

TEST_CASE("hold goes on after a signal that was ignored from the start, as under nohup") {
    const fake_kernel kernel;
    const signal_action ignored(SIGHUP, SIG_IGN);
    CHECK(run({"hold", "--anon", "4k", "--", "sh", "-c", "kill -HUP $PPID; exit 0"}).code ==
          pinpin::done);
    CHECK(kernel.pins.empty());
}

TEST_CASE("hold --lease tells what is taken back from the pin, a line each") {
    fake_kernel kernel;
    kernel.while_pinning = [&](const longpin_pin& pin) {
        kernel.revoke(pages_of(pin, 1, 2), LONGPIN_CAUSE_INVALIDATE);
        kernel.revoke(pages_of(pin, 0, 1), LONGPIN_CAUSE_UNMAP);
    };
    const outcome result = run({"hold", "--anon", "16k", "--lease", "--for", "0"});
    CHECK(result.code == pinpin::done);
    CHECK(kernel.last_pin.flags == LONGPIN_PIN_LEASE);
    CHECK_THAT(result.out,
               Contains("lease                yes\n") && Contains("grace                0 ms\n") &&
                   Contains("\nrevoked: 8 KiB at offset 4 KiB, because blocks of its file were "
                            "removed or the kernel moved the pages (invalidate)\n"
                            "revoked: 4 KiB at offset 0 B, because its memory was unmapped, moved "
                            "or mapped over (unmap)\n"));
    CHECK(kernel.count(LONGPIN_REPIN) == 0);
    CHECK(kernel.pins.empty());
}

TEST_CASE("hold --lease --json prints an object in each line") {
    fake_kernel kernel;
    kernel.event_limit = 1;
    kernel.while_pinning = [&](const longpin_pin& pin) {
        kernel.revoke(pages_of(pin, 1, 2), LONGPIN_CAUSE_INVALIDATE);
        kernel.revoke(pages_of(pin, 3, 1));
    };
    const outcome result = run(
        {"hold", "--anon", "16k", "--lease", "--repin", "--grace", "9", "--for", "0", "--json"});
    const auto lines = lines_of(result.out);
    REQUIRE(lines.size() == 4);
    CHECK(json::parse(lines[0])["lease"] == true);
    CHECK(json::parse(lines[0])["grace"] == 9);
    CHECK(lines[1] ==
          R"({"event":"revoked","offset":4096,"length":8192,"cause":"invalidate","pages":1})");
    CHECK(lines[2] == R"({"event":"overflow","lost":1,"pages":1})");
    CHECK(lines[3] == R"({"event":"repinned","repinned":3,"pages":4})");
}

TEST_CASE("hold --lease tells what was taken back while a program ran, however short") {
    fake_kernel kernel;
    kernel.while_pinning = [&](const longpin_pin& pin) { kernel.revoke(pages_of(pin, 0, 1)); };
    for (int i = 0; i < 10; ++i) {
        const outcome result = run({"hold", "--anon", "4k", "--lease", "--", "true"});
        CHECK(result.code == pinpin::done);
        CHECK_THAT(result.out, Contains("\nrevoked: 4 KiB at offset 0 B"));
    }
}

TEST_CASE("hold --repin takes what is mapped now, of a file what it has left") {
    fake_kernel kernel;
    const temporary_file file(std::string(16384, 'x'));
    const auto [size, expected] = GENERATE(
        table<std::size_t, std::string>({{16384, "repinned: 16 KiB; 16 KiB of 16 KiB are held\n"},
                                         {5000, "repinned: 8 KiB; 8 KiB of 16 KiB are held\n"},
                                         {0, "repinned: 0 B; 0 B of 16 KiB are held\n"}}));
    kernel.while_pinning = [&, bytes = size](const longpin_pin& pin) {
        std::filesystem::resize_file(file.path(), bytes);
        kernel.revoke(pages_of(pin, 0, 4), LONGPIN_CAUSE_INVALIDATE);
    };
    const outcome result = run({"hold", file.path(), "--lease", "--repin", "--for", "0"});
    CHECK(result.code == pinpin::done);
    CHECK_THAT(result.out, Contains(expected));
    CHECK(kernel.count(LONGPIN_REPIN) == (size > 0 ? 1 : 0));
}

TEST_CASE("hold --repin of a part of a file takes what the file has left of that") {
    fake_kernel kernel;
    const temporary_file file(std::string(16384, 'x'));
    kernel.while_pinning = [&](const longpin_pin& pin) {
        std::filesystem::resize_file(file.path(), 12288);
        kernel.revoke(pages_of(pin, 0, 2), LONGPIN_CAUSE_INVALIDATE);
    };
    kernel.before_repin = [](const longpin_repin& request) {
        CHECK(request.offset == 0);
        CHECK(request.length == 4096);
    };
    const outcome result =
        run({"hold", file.path(), "--offset", "8k", "--lease", "--repin", "--for", "0"});
    CHECK_THAT(result.out, Contains("repinned: 4 KiB; 4 KiB of 8 KiB are held\n"));
}

TEST_CASE("hold --repin follows a file that is cut while it is pinned again") {
    fake_kernel kernel;
    const temporary_file file(std::string(16384, 'x'));
    kernel.fail(LONGPIN_REPIN, EFAULT, {.why = longpin::reason::fault, .bad_address = 0x1000});
    kernel.while_pinning = [&](const longpin_pin& pin) {
        kernel.revoke(pages_of(pin, 0, 4), LONGPIN_CAUSE_INVALIDATE);
    };
    int repins = 0;
    kernel.before_repin = [&](const longpin_repin& request) {
        if (++repins == 1) {
            CHECK(request.length == 16384);
            std::filesystem::resize_file(file.path(), 4096);
        } else {
            CHECK(request.length == 4096);
            kernel.fail(LONGPIN_REPIN, 0);
        }
    };
    const outcome result = run({"hold", file.path(), "--lease", "--repin", "--for", "0"});
    CHECK(repins == 2);
    CHECK_THAT(result.out,
               Contains("repinned: 4 KiB; 4 KiB of 16 KiB are held\n") && !Contains("failed"));
}

TEST_CASE("hold tells a repin that failed, and goes on") {
    fake_kernel kernel;
    kernel.while_pinning = [&](const longpin_pin& pin) { kernel.revoke(pages_of(pin, 0, 1)); };
    kernel.fail(LONGPIN_REPIN, EFAULT, {.why = longpin::reason::hole, .bad_address = 0x1000});
    const outcome text = run({"hold", "--anon", "8k", "--lease", "--repin", "--for", "0"});
    CHECK(text.code == pinpin::done);
    CHECK_THAT(text.out, Contains("repin failed: cannot repin pin 1: nothing is mapped at 0x1000"));
    CHECK(kernel.count(LONGPIN_REPIN) == 1);
    CHECK(kernel.pins.empty());

    const auto lines =
        lines_of(run({"hold", "--anon", "8k", "--lease", "--repin", "--for", "0", "--json"}).out);
    const json object = json::parse(lines.back());
    CHECK(keys(object) == std::vector<std::string>{"event", "error", "pages"});
    CHECK(object["event"] == "repin_failed");
    CHECK(object["error"]["reason"] == "hole");
    CHECK(object["pages"] == 1);
}

TEST_CASE("hold --grace lets go of what is asked for, so that nobody waits") {
    fake_kernel kernel;
    kernel.while_pinning = [&](const longpin_pin& pin) {
        longpin_event event{};
        event.type = LONGPIN_EVENT_REVOKING;
        event.handle = kernel.pins.begin()->first;
        event.cause = LONGPIN_CAUSE_INVALIDATE;
        event.offset = 4096;
        event.length = 8192;
        CHECK(pin.grace_ms == 250);
        kernel.tell(event);
    };
    const std::vector<std::string> words{"hold",    "--anon", "16k",   "--lease",
                                         "--grace", "250",    "--for", "0"};
    const outcome text = run(words);
    CHECK(text.code == pinpin::done);
    CHECK_THAT(text.out, Contains("grace                250 ms\n") &&
                             Contains("\nrevoking: 8 KiB at offset 4 KiB, because blocks") &&
                             Contains("\nlet go: 8 KiB, so that nobody has to wait for it\n"));
    CHECK(kernel.count(LONGPIN_LET_GO) == 1);

    std::vector<std::string> as_json = words;
    as_json.emplace_back("--json");
    const auto lines = lines_of(run(as_json).out);
    CHECK(lines.back() ==
          R"({"event":"let_go","offset":4096,"length":8192,"released":2,"pages":2})");
}

TEST_CASE("A lease that this kernel doesn't have is refused, and so is too long a grace") {
    fake_kernel kernel;
    const outcome grace =
        run({"hold", "--anon", "4k", "--lease", "--grace", "1001", "--for", "0", "--json"});
    CHECK(grace.code == pinpin::failed);
    CHECK(json::parse(grace.out)["error"]["limit"] == 1000);
    kernel.info.out_pin_flags = LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN;
    const outcome none = run({"hold", "--anon", "4k", "--lease", "--for", "0"});
    CHECK(none.code == pinpin::failed);
    CHECK_THAT(none.err, Contains("older than 5.5"));
    CHECK(json::parse(run({"info", "--json"}).out)["leases"] == false);
}

TEST_CASE("check --lease makes a dry run of a lease") {
    fake_kernel kernel;
    const outcome result = run({"check", "--anon", "4k", "--write", "--lease", "--json"});
    CHECK(result.code == pinpin::done);
    CHECK(json::parse(result.out)["lease"] == true);
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE));
    CHECK(json::parse(run({"check", "--anon", "4k", "--json"}).out)["lease"] == false);
    CHECK(kernel.last_pin.flags == LONGPIN_PIN_DRY_RUN);
}

TEST_CASE("A refusal of fs-DAX suggests a lease") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::fsdax, .bad_address = 0x7000});
    CHECK_THAT(run({"hold", "--anon", "4k"}).err, Contains("--lease"));
}

TEST_CASE("check tells the cost, and what is left of the limit then") {
    fake_kernel kernel;
    kernel.info.out_memlock_used = 4096;
    const outcome result = run({"check", "--anon", "1M", "--write", "--json"});
    CHECK(result.code == pinpin::done);
    const json object = json::parse(result.out);
    CHECK(object["allowed"] == true);
    CHECK(object["writable"] == true);
    CHECK(object["pages"] == 256);
    CHECK(object["charged"] == 1U << 20U);
    CHECK(object["memlock_left"] == (7U << 20U) - 4096);
    CHECK(kernel.last_pin.flags == (LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN));
    CHECK_THAT(run({"check", "--anon", "1M"}).out, Contains("allowed") && Contains("yes"));
}

TEST_CASE("check answers a refusal with exit 1 and the reason") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::fsdax, .bad_address = 0x7000});
    const outcome text = run({"check", "--anon", "4k"});
    CHECK(text.code == pinpin::failed);
    CHECK_THAT(text.out, Contains("no\n") && Contains("fs-DAX"));

    const outcome result = run({"check", "--anon", "4k", "--json"});
    CHECK(result.code == pinpin::failed);
    const json object = json::parse(result.out);
    CHECK(object["allowed"] == false);
    CHECK(object["error"]["reason"] == "fsdax");
    CHECK(object["error"]["errno"] == "EOPNOTSUPP");
    CHECK(object["error"]["bad_address"] == 0x7000);
}

TEST_CASE("Wrong usage is JSON too when JSON was asked for") {
    const outcome result = run({"hold", "--json"});
    CHECK(result.code == pinpin::misused);
    CHECK(json::parse(result.out)["error"]["errno"].is_null());
    CHECK(result.err.empty());
}

TEST_CASE("Output that can't be written is a failure") {
    const fake_kernel kernel;
    std::ofstream full("/dev/full");
    std::ostringstream err;
    CHECK(pinpin::run({"info", "--device", "/dev/null"}, full, err) == pinpin::failed);
    CHECK_THAT(err.str(), Contains("cannot write"));
}

TEST_CASE("A dump shows offsets, bytes and printable letters, also of a last short line") {
    const std::vector<std::byte> bytes(17, std::byte{0x41});
    CHECK(pinpin::to_hexdump(bytes) ==
          "00000000  41 41 41 41 41 41 41 41  41 41 41 41 41 41 41 41  |AAAAAAAAAAAAAAAA|\n"
          "00000010  41                                                |A|\n");
    CHECK(pinpin::to_hexdump({}).empty());
    CHECK(pinpin::to_hex(bytes) == "4141414141414141414141414141414141");
}

TEST_CASE("What is printed is measured as UTF-8, whatever the locale was") {
    REQUIRE(std::setlocale(LC_CTYPE, "C") != nullptr);
    CHECK(run({"--version"}).code == pinpin::done);
    CHECK(pinpin::columns_of("日本") == 4);
}

TEST_CASE("a sentence is wrapped at words, and indented from the second line on") {
    CHECK(pinpin::wrapped("short") == "short\n");
    CHECK(pinpin::wrapped("").size() == 1);
    const std::string word(37, 'w');
    CHECK(pinpin::wrapped(word + ' ' + word + ' ' + word) ==
          word + ' ' + word + "\n  " + word + '\n');
    const std::string long_word(100, 'w');
    CHECK(pinpin::wrapped("a " + long_word + " b") == "a\n  " + long_word + "\n  b\n");
    CHECK(pinpin::wrapped("one two three", 9) == "one two\n  three\n");
    CHECK(pinpin::wrapped("one\n two", 200) == "one two\n");
    CHECK(pinpin::wrapped(word + ' ' + word + ' ' + word, 200) ==
          word + ' ' + word + "\n  " + word + '\n'); // nobody likes to read longer ones
}

TEST_CASE("a line is folded at words, and keeps its blanks") {
    CHECK(pinpin::folded("a   b  c", 0) == "a   b  c");
    CHECK(pinpin::folded("a   b  c", 8) == "a   b  c");
    CHECK(pinpin::folded("a   b  c", 7) == "a   b\n  c");
    REQUIRE(std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr);
    CHECK(pinpin::folded("日 本 語", 5) == "日 本\n  語");
}

TEST_CASE("Sentences fit a terminal") {
    fake_kernel kernel;
    SECTION("errors") {
        kernel.fail(LONGPIN_PIN, ENOMEM,
                    {.why = longpin::reason::memlock, .limit = 8192, .used = 4096, .asked = 12288});
        const auto lines = lines_on_terminal(40, {"hold", "--anon", "12k"});
        CHECK(lines.size() > 2);
        for (const std::string& line : lines) {
            CHECK(pinpin::columns_of(line) <= 40);
        }
    }
    SECTION("what happens to a lease, which is one line elsewhere") {
        kernel.while_pinning = [&](const longpin_pin& /*pin*/) {
            kernel.tell({.type = LONGPIN_EVENT_REVOKED,
                         .handle = kernel.pins.begin()->first,
                         .cause = LONGPIN_CAUSE_INVALIDATE,
                         .length = 4096});
        };
        const std::vector<std::string> words{"hold", "--anon", "16k", "--lease", "--for", "0"};
        const auto lines = lines_on_terminal(60, words);
        for (const std::string& line : lines) {
            CHECK(pinpin::columns_of(line) <= 60);
        }
        CHECK(lines.back() == "  were removed or the kernel moved the pages (invalidate)");
        CHECK_THAT(run(words).out, Contains("because blocks of its file were removed or the kernel "
                                            "moved the pages (invalidate)\n"));
    }
}
