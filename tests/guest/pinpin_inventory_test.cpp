// SPDX-License-Identifier: MIT
// The commands of pinpin that look: list, show, monitor, metrics and system, on real pins.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/netlink.hpp"
#include "support/shell.hpp"

#include "../support/lines.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <linux/io_uring.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

using namespace guest;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

json must_print_json(const std::string& arguments) {
    const run_result result = pinpin(arguments + " --json");
    CHECK(result.code == 0);
    return parsed(result);
}

std::vector<std::string> lines_in(const std::string& path) {
    std::ifstream stream(path);
    std::ostringstream text;
    text << stream.rdbuf();
    return lines_of(text.str());
}

/// "3:1", as pinpin names a pin.
std::string pin_name(const raw_device& device, std::uint32_t handle) {
    return std::to_string(context_of(device)) + ':' + std::to_string(handle);
}

std::string address_of(const mapping& memory) {
    std::ostringstream text;
    text << static_cast<const void*>(memory.data());
    return text.str();
}

/// The names of the pins that a list shows, in its order.
std::string listed(const std::string& arguments) {
    const run_result result = pinpin("list --no-header --columns pin " + arguments);
    CHECK(result.code == 0);
    std::string all;
    for (const std::string& line : lines_of(result.output)) {
        all += (all.empty() ? "" : " ") + line;
    }
    return all;
}

/// A process that made a pin and is gone, while this one has the file.
class orphan {
public:
    orphan() : memory_(mapping::shared_anonymous(2 * page)) {
        handle_ = in_child([&] {
            auto* const pid = memory_.as<pid_t>();
            *pid = ::getpid();
            return device_.must_pin(memory_.data(), 2 * page);
        });
    }

    [[nodiscard]] pid_t pid() const { return *memory_.as<pid_t>(); }
    [[nodiscard]] std::string name() const { return pin_name(device_, handle_); }
    [[nodiscard]] const raw_device& device() const { return device_; }

private:
    raw_device device_;
    mapping memory_;
    std::uint32_t handle_ = 0;
};

/// "pinpin monitor" in the background, writing to a file.
class monitor {
public:
    explicit monitor(const std::string& arguments)
        : process_([&] {
              // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
              ::execl("/bin/sh", "sh", "-c",
                      ("exec pinpin monitor " + arguments + " > " + path).c_str(), nullptr);
          }) {}

    ~monitor() { ::unlink(path); }

    monitor(const monitor&) = delete;
    monitor& operator=(const monitor&) = delete;
    monitor(monitor&&) = delete;
    monitor& operator=(monitor&&) = delete;

    /// Waits until it watches, which it tells by the heads of its table.
    [[nodiscard]] static bool started() {
        return eventually([] { return !lines_in(path).empty(); });
    }

    [[nodiscard]] static std::vector<std::string> lines() { return lines_in(path); }

    /// Waits for its end. True if it exited 0.
    bool wait() { return process_.wait(); }

    bool end_by(int signal) { return ::kill(process_.pid(), signal) == 0 && process_.wait(); }

private:
    static constexpr const char* path = "/tmp/pinpin-monitor";
    child process_;
};

/// Memory that io_uring holds for this process.
class io_uring_buffer {
public:
    explicit io_uring_buffer(const mapping& memory) {
        io_uring_params parameters{};
        ring_ = file(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters)));
        iovec buffer{memory.data(), memory.length()};
        if (::syscall(SYS_io_uring_register, ring_.get(), IORING_REGISTER_BUFFERS, &buffer, 1) !=
            0) {
            throw std::runtime_error("io_uring holds no memory");
        }
    }

    ~io_uring_buffer() {
        ::syscall(SYS_io_uring_register, ring_.get(), IORING_UNREGISTER_BUFFERS, nullptr, 0);
    }

    io_uring_buffer(const io_uring_buffer&) = delete;
    io_uring_buffer& operator=(const io_uring_buffer&) = delete;
    io_uring_buffer(io_uring_buffer&&) = delete;
    io_uring_buffer& operator=(io_uring_buffer&&) = delete;

private:
    file ring_;
};

/// The row of a process in "pinpin system --json"; null if it has none.
json row_of(const json& system, pid_t pid) {
    for (const json& row : system.at("processes")) {
        if (row.at("pid") == pid) {
            return row;
        }
    }
    return nullptr;
}

/// A number in "pinpin metrics --json".
std::uint64_t metric(const json& metrics, const std::string& name) {
    return metrics.at(name).get<std::uint64_t>();
}

} // namespace

TEST_CASE("pinpin list tells who holds a range of a device, within 80 columns", "[devdax]") {
    const std::string dax = backing("devdax_2m");
    const raw_device device;
    const mapping memory = map_devdax("devdax_2m", 8 * MiB);
    const std::uint32_t handle = device.must_pin(memory.at(4 * MiB), 2 * MiB, LONGPIN_PIN_WRITE);
    const std::string comm = read_line("/proc/self/comm");

    for (const std::string& arguments :
         {std::string(), "--file " + dax + " --offset 5M --length 1"}) {
        const run_result result = pinpin("list " + arguments);
        CHECK(result.code == 0);
        const std::vector<std::string> lines = lines_of(result.output);
        REQUIRE(lines.size() == 3);
        CHECK_THAT(lines[0], Catch::StartsWith("PIN") && Contains("PID") && Contains("MEMORY"));
        CHECK_THAT(lines[1], Catch::StartsWith(pin_name(device, handle)) &&
                                 Contains(' ' + std::to_string(::getpid()) + ' ') &&
                                 Contains(" root ") && Contains(comm) && Contains(" 2 MiB ") &&
                                 Contains(" devdax ") && Catch::EndsWith(dax + " @ 4 MiB"));
        CHECK(lines[2] == "1 pin, 2 MiB");
        for (const std::string& line : lines) {
            CHECK(line.size() <= 80);
        }
    }
}

TEST_CASE("pinpin list --json has the facts of each pin as numbers", "[devdax]") {
    const std::string dax = backing("devdax_2m");
    const raw_device device;
    CHECK(must_print_json("list") == json::array());

    const mapping anonymous = mapping::anonymous(5 * page);
    const mapping memory = map_devdax("devdax_2m", 8 * MiB);
    auto request = guest::request<longpin_pin>();
    request.addr = reinterpret_cast<std::uintptr_t>(anonymous.at(10));
    request.length = 3 * page;
    request.flags = LONGPIN_PIN_WRITE;
    request.cookie = 77;
    REQUIRE(device.call(LONGPIN_PIN, &request) == 0);
    device.must_pin(memory.at(4 * MiB), 2 * MiB);

    const json pins = must_print_json("list");
    REQUIRE(pins.size() == 2);
    json one = pins[0];
    CHECK(one["age"].get<double>() >= 0);
    CHECK(one["age"].get<double>() < 100);
    one.erase("age");
    CHECK(one == json{{"pin", pin_name(device, 1)},
                      {"context", context_of(device)},
                      {"handle", 1},
                      {"pid", ::getpid()},
                      {"comm", read_line("/proc/self/comm")},
                      {"orphaned", false},
                      {"uid", 0},
                      {"user", "root"},
                      {"address", request.addr},
                      {"length", 3 * page},
                      {"size", 4 * page},
                      {"pages", 4},
                      {"runs", request.out_runs},
                      {"bookkeeping", request.out_bookkeeping},
                      {"kinds", {"anon"}},
                      {"writable", true},
                      {"lease", false},
                      {"state", "held"},
                      {"revoked", 0},
                      {"grace", nullptr},
                      {"cookie", 77},
                      {"file", nullptr},
                      {"offset", nullptr},
                      {"device", nullptr},
                      {"inode", nullptr}});
    struct stat status {};
    REQUIRE(::stat(dax.c_str(), &status) == 0);
    CHECK(pins[1]["file"] == dax);
    CHECK(pins[1]["offset"] == 4 * MiB);
    CHECK(pins[1]["inode"] == status.st_ino);
    CHECK(pins[1]["kinds"] == json{"devdax"});

    // A column that is asked for twice is a member once.
    const run_result some = pinpin("list --json --handle 1 --columns handle,pin,handle");
    CHECK(some.code == 0);
    CHECK(some.output == "[\n  {\"handle\":1,\"pin\":\"" + pin_name(device, 1) + "\"}\n]\n");
}

TEST_CASE("pinpin list finds pins by every filter", "[devdax]") {
    const std::string dax = backing("devdax_2m");
    const raw_device one;
    const raw_device two;
    const mapping anonymous = mapping::anonymous(4 * page);
    const mapping devdax = map_devdax("devdax_2m", 8 * MiB);
    const mapping shared = mapping::shared_anonymous(page);
    const std::string first = pin_name(one, one.must_pin(anonymous.at(page), 2 * page));
    const std::string second = pin_name(two, two.must_pin(devdax.at(4 * MiB), 2 * MiB));
    gate pinned;
    child user([&] {
        become_ordinary_user();
        two.must_pin(shared.data(), page);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    const std::string third = pin_name(two, 2);
    const std::string ours = std::to_string(::getpid());

    CHECK(listed("") == first + ' ' + second + ' ' + third);
    CHECK(listed("--pid " + ours) == first + ' ' + second);
    CHECK(listed("--uid " + std::to_string(ordinary_user)) == third);
    CHECK(listed("--uid root") == first + ' ' + second);
    CHECK(listed("--kind shmem") == third);
    CHECK(listed("--kind shmem --kind anon") == first + ' ' + third);
    CHECK(listed("--kind shmem,devdax") == second + ' ' + third);
    CHECK(listed("--context " + std::to_string(context_of(two))) == second + ' ' + third);
    CHECK(listed("--handle 2") == third);
    CHECK(listed("--context " + std::to_string(context_of(one)) + " --handle 2").empty());
    CHECK(listed("--orphans").empty());

    const std::string base = address_of(anonymous);
    CHECK(listed("--pid " + ours + " --address " + base + "+4k").empty());
    CHECK(listed("--pid " + ours + " --address " + base + "+4097") == first);
    CHECK(listed("--pid " + ours + " --address " + base + "+16k") == first);
    // As /proc/PID/maps has it.
    const run_result line = shell("grep '^" + address_of(anonymous).substr(2) + "' /proc/" + ours +
                                  "/maps | cut -d' ' -f1");
    CHECK_THAT(listed("--address " + line.output.substr(0, line.output.find('\n'))),
               Contains(first));

    CHECK(listed("--file " + dax) == second);
    CHECK(listed("--file " + dax + " --offset 4M") == second);
    CHECK(listed("--file " + dax + " --offset 6M").empty());
    CHECK(listed("--file " + dax + " --length 4M").empty());
    CHECK(listed("--file " + dax + " --offset 3M --length 1048577") == second);
    CHECK(listed("--file /dev/null").empty());
    CHECK(pinpin("list --file /no/such/file").code == 1);

    CHECK(listed("--sort size") == third + ' ' + first + ' ' + second);
    CHECK(listed("--sort -size") == second + ' ' + first + ' ' + third);
    CHECK(listed("--sort -pin") == third + ' ' + second + ' ' + first);
    CHECK(listed("--sort user") == first + ' ' + second + ' ' + third); // root, user

    const run_result columns = pinpin("list --columns size,length,offset --sort -size");
    CHECK_THAT(columns.output,
               Catch::StartsWith(" SIZE  LENGTH  OFFSET\n2 MiB   2 MiB   4 MiB\n") &&
                   Catch::EndsWith("\n3 pins, 2060 KiB\n"));
    CHECK(must_print_json("list --columns pin,size --context " + std::to_string(context_of(one))) ==
          json{{{"pin", first}, {"size", 2 * page}}});
}

TEST_CASE("pinpin list --file finds the pins of a file of ext4") {
    const std::string path = backing("ext4") + "/pinned file";
    REQUIRE(shell("head -c 64k /dev/urandom > '" + path + "'").code == 0);
    {
        const file data = open_file(path, O_RDONLY);
        const mapping memory(16 * page, PROT_READ, MAP_SHARED, data.get());
        const raw_device device;
        const std::string name = pin_name(device, device.must_pin(memory.at(8 * page), 100));
        REQUIRE(shell("ln -s '" + path + "' /tmp/link-to-it").code == 0);
        CHECK(listed("--file '" + path + "'") == name);
        CHECK(listed("--file /tmp/link-to-it") == name);
        CHECK(listed("--file /tmp/link-to-it --offset 36863") == name); // its last byte held
        CHECK(listed("--file /tmp/link-to-it --offset 36864").empty());
        CHECK_THAT(pinpin("list").output, Contains("pinned file @ 32 KiB"));
    }
    REQUIRE(shell("rm /tmp/link-to-it '" + path + "'").code == 0);
}

TEST_CASE("pinpin list marks orphans, and names who holds them") {
    const orphan lost;
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::string own = pin_name(device, device.must_pin(memory.data(), page));
    const std::string gone = '(' + std::to_string(lost.pid()) + ')';

    const run_result all = pinpin("list");
    CHECK_THAT(all.output, Contains(gone) && Contains("2 pins, 12 KiB; 1 is orphaned") &&
                               Contains("pinpin list --orphans"));
    CHECK(listed("--orphans") == lost.name());
    const std::string holder = std::to_string(::getpid()) + ' ' + read_line("/proc/self/comm");
    const std::vector<std::string> lines = lines_of(pinpin("list --orphans").output);
    REQUIRE(lines.size() == 3);
    CHECK_THAT(lines[0], Catch::EndsWith("HOLDERS"));
    CHECK_THAT(lines[1], Contains(gone) && Catch::EndsWith(holder));

    const json pins = must_print_json("list --orphans");
    REQUIRE(pins.size() == 1);
    CHECK(pins[0]["orphaned"] == true);
    CHECK(pins[0]["pid"] == lost.pid());
    CHECK(pins[0]["holders"] == json{{{"pid", ::getpid()},
                                      {"comm", read_line("/proc/self/comm")},
                                      {"descriptor", lost.device().descriptor()}}});
}

TEST_CASE("pinpin shows an ordinary user the own pins, and says so") {
    const raw_device device;
    const mapping memory = mapping::shared_anonymous(4 * page);
    device.must_pin(memory.data(), page);
    gate pinned;
    child user([&] {
        become_ordinary_user();
        device.must_pin(memory.data(), 3 * page);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    const std::string theirs = pin_name(device, 2);
    const std::string ours = pin_name(device, 1);

    const run_result list = shell_as_ordinary_user("pinpin list");
    CHECK(list.code == 0);
    CHECK_THAT(list.output, Contains(theirs) && !Contains(ours) &&
                                Contains("1 pin, 12 KiB; only your own pins are shown\n"));
    const json pins = parsed(shell_as_ordinary_user("pinpin list --json"));
    REQUIRE(pins.size() == 1);
    CHECK(pins[0]["pin"] == theirs);

    CHECK(shell_as_ordinary_user("pinpin show " + theirs).code == 0);
    const run_result other = shell_as_ordinary_user("pinpin show " + ours);
    CHECK(other.code == 1);
    CHECK(other.output == "pinpin: there is no pin " + ours + " that you may see\n");

    const json metrics = parsed(shell_as_ordinary_user("pinpin metrics --json"));
    CHECK(metrics["longpin_pins"] == 2); // of all
    CHECK(metrics["longpin_user_pins"].size() == 1);

    const json system = parsed(shell_as_ordinary_user("pinpin system --json"));
    CHECK(row_of(system, user.pid())["longpin"] == 3 * page);
    CHECK(row_of(system, user.pid())["other"] == 0);
    CHECK(row_of(system, ::getpid())["vm_pin"] == page);
    CHECK(row_of(system, ::getpid())["longpin"].is_null());
}

TEST_CASE("pinpin show tells everything about a pin, and who has its file") {
    const raw_device device;
    const mapping memory = mapping::anonymous(3 * page);
    const std::string name = pin_name(device, device.must_pin(memory.at(100), 2 * page));
    const run_result table = pinpin("show " + name);
    CHECK(table.code == 0);
    const std::string ours = std::to_string(::getpid());
    CHECK_THAT(table.output, Contains("made by process       " + ours + '\n') &&
                                 Contains("length                8 KiB\n") &&
                                 Contains("held, in whole pages  12 KiB\n") &&
                                 Contains("file                  -\n") &&
                                 Contains("is open in\n") && Contains(ours + "  ") &&
                                 Contains(read_line("/proc/self/comm")));
    for (const std::string& line : lines_of(table.output)) {
        CHECK(line.size() <= 80);
    }
    const json object = must_print_json("show " + name);
    CHECK(object["pin"] == name);
    CHECK(object["size"] == 3 * page);
    CHECK(object["holders"][0]["pid"] == ::getpid());
    CHECK(object["holders"][0]["descriptor"] == device.descriptor());
}

TEST_CASE("pinpin show tells what a process made, and what it has open of others") {
    const orphan lost;
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    const std::string own = pin_name(device, device.must_pin(memory.data(), 4 * page));
    const run_result table = pinpin("show " + std::to_string(::getpid()));
    CHECK(table.code == 0);
    CHECK_THAT(table.output, Contains("VmPin    16 KiB\n") && Contains(own) &&
                                 Contains('(' + std::to_string(lost.pid()) + ')') &&
                                 Catch::EndsWith("\n2 pins, 24 KiB\n"));

    const json object = must_print_json("show " + std::to_string(::getpid()));
    CHECK(object["pid"] == ::getpid());
    CHECK(object["vm_pin"] == 4 * page);
    CHECK(object["vm_lck"] == 0);
    CHECK(object["size"] == 6 * page);
    CHECK(object["pins"].size() == 2);

    // Also a process that is gone is told of, as long as its pins are there.
    const run_result gone = pinpin("show " + std::to_string(lost.pid()));
    CHECK(gone.code == 0);
    CHECK_THAT(gone.output, Contains("the process is gone") && Contains(lost.name()));
    CHECK(must_print_json("show " + std::to_string(lost.pid()))["vm_pin"].is_null());
}

TEST_CASE("pinpin show tells what is in a context") {
    const orphan lost;
    const std::string context = std::to_string(context_of(lost.device()));
    const run_result table = pinpin("show --context " + context);
    CHECK(table.code == 0);
    CHECK_THAT(table.output,
               Contains("opened by process     " + std::to_string(::getpid()) + '\n') &&
                   Contains(lost.name()) && Contains("1 pin, 8 KiB"));
    const json object = must_print_json("show --context " + context);
    CHECK(object["context"] == context_of(lost.device()));
    CHECK(object["pages"] == 2);
    CHECK(object["orphaned"] == false);
    CHECK(object["pins"].size() == 1);
    CHECK(object["holders"].size() == 1);
}

TEST_CASE("pinpin show says when there is nothing, and exits 1") {
    const std::string ours = std::to_string(::getpid());
    const struct {
        std::string arguments;
        std::string sentence;
    } rows[] = {
        {"4000000:1", "there is no pin 4000000:1"},
        {"--context 4000000", "there is no context 4000000"},
        {"4000000", "there is no process 4000000, and no pin that it made"},
        {ours, "there is no pin that process " + ours + " made or holds (its VmPin is 0 B)"},
    };
    for (const auto& row : rows) {
        const run_result text = pinpin("show " + row.arguments);
        CHECK(text.code == 1);
        CHECK(text.output == "pinpin: " + row.sentence + '\n');
        const run_result object = pinpin("show --json " + row.arguments);
        CHECK(object.code == 1);
        CHECK(parsed(object)["error"]["message"] == row.sentence);
    }
}

TEST_CASE("pinpin monitor shows what other processes do, a line each") {
    monitor watching("");
    REQUIRE(monitor::started());
    const mapping memory = mapping::anonymous(2 * page);
    child process([&] {
        const raw_device device;
        const std::uint32_t handle = device.must_pin(memory.data(), 2 * page);
        if (device.unpin(handle) != 0) {
            throw std::runtime_error("unpin");
        }
        device.must_pin(memory.data(), page);
        device.pin(memory.data(), 0);
    });
    const std::string pid = std::to_string(process.pid());
    REQUIRE(process.wait());
    REQUIRE(eventually([] { return monitor::lines().size() == 6; }));
    CHECK(watching.end_by(SIGTERM));

    const std::vector<std::string> lines = monitor::lines();
    for (const std::string& line : lines) {
        CHECK(line.size() <= 80);
    }
    const auto matches = [&](const std::string& line, const char* event, const char* end) {
        INFO(line);
        CHECK_THAT(line, Catch::Matches("[0-9:]{8} .*") && Contains(event) &&
                             Contains(' ' + pid + ' ') && Contains(" root ") &&
                             Catch::EndsWith(end));
    };
    matches(lines[1], " pinned ", " 8 KiB anon");
    matches(lines[2], " unpinned ", " 8 KiB anon unpin");
    matches(lines[3], " pinned ", " 4 KiB anon");
    matches(lines[4], " refused ", " 0 B EINVAL zero_length");
    matches(lines[5], " unpinned ", " 4 KiB anon close");
}

TEST_CASE("pinpin monitor --json prints an object in a line, and ends after a number of them") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    monitor watching("--json --count 5");
    // It does not say when it begins to watch.
    REQUIRE(eventually([&] {
        device.pin(memory.data(), 0);
        return device.unpin(device.must_pin(memory.data(), page)) == 0 &&
               monitor::lines().size() >= 5;
    }));
    CHECK(watching.wait());
    const std::vector<std::string> lines = monitor::lines();
    REQUIRE(lines.size() == 5);
    for (const std::string& line : lines) {
        INFO(line);
        REQUIRE(json::accept(line));
        const json event = json::parse(line);
        CHECK(event["context"] == context_of(device));
        CHECK(event["pid"] == ::getpid());
        const std::string what = event["event"];
        if (what == "refused") {
            CHECK(event["errno"] == "EINVAL");
            CHECK(event["reason"] == "zero_length");
            CHECK(event["length"] == 0);
        } else {
            CHECK((what == "pinned" || what == "unpinned"));
            CHECK(event["size"] == page);
            CHECK(event["kinds"] == json{"anon"});
            CHECK(event.contains("cause") == (what == "unpinned"));
        }
    }
}

TEST_CASE("pinpin monitor shows the events of one process or user only") {
    const mapping memory = mapping::shared_anonymous(page);
    const raw_device device;
    for (const bool by_pid : {false, true}) {
        gate go;
        child user([&] {
            become_ordinary_user();
            go.pass();
            device.must_pin(memory.data(), page);
        });
        const std::string pid = std::to_string(user.pid());
        monitor watching((by_pid ? "--pid " + pid : "--uid " + std::to_string(ordinary_user)) +
                         " --count 1");
        REQUIRE(monitor::started());
        device.must_pin(memory.data(), page);
        go.open();
        REQUIRE(user.wait());
        CHECK(watching.wait());
        const std::vector<std::string> lines = monitor::lines();
        REQUIRE(lines.size() == 2);
        CHECK_THAT(lines[1], Contains(' ' + pid + ' '));
    }
}

TEST_CASE("pinpin monitor ends well by each signal that asks it to, and in time") {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        monitor watching("");
        REQUIRE(monitor::started());
        CHECK(watching.end_by(signal));
    }
    CHECK(pinpin("monitor --for 0.2").code == 0);
    CHECK(pinpin("monitor --json --for 0").output.empty());
}

TEST_CASE("pinpin monitor ends when nobody reads any more") {
    CHECK(shell("pinpin monitor | head -n 1").output ==
          "TIME     EVENT    PIN     PID COMM     USER       SIZE KINDS, WHY\n");
}

TEST_CASE("pinpin monitor heeds signals while its reader does not read, and says what was lost") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const file reader(ends[0]);
    file writer(ends[1]);
    child watching([&] {
        ::dup2(writer.get(), STDOUT_FILENO);
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
        ::execlp("pinpin", "pinpin", "monitor", nullptr);
    });
    writer.close();
    char first = 0;
    REQUIRE(::read(reader.get(), &first, 1) == 1);
    // More than the pipe (64 KiB) and the socket have room for.
    for (int i = 0; i < 20'000; ++i) {
        if (device.unpin(device.must_pin(memory.data(), page)) != 0) {
            FAIL("a pin is gone");
        }
    }
    std::string text;
    const auto read_on = [&] {
        std::vector<char> buffer(1U << 16U);
        const ssize_t got = ::read(reader.get(), buffer.data(), buffer.size());
        text.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return got > 0;
    };
    SECTION("it is told of the loss once it reads") {
        while (text.find(" lost     events were lost") == std::string::npos && read_on()) {
        }
        CHECK_THAT(text, Contains(" lost     events were lost: read faster or filter, and list "
                                  "again\n"));
    }
    REQUIRE(::kill(watching.pid(), SIGINT) == 0);
    CHECK(watching.wait());
}

TEST_CASE("pinpin metrics agrees with pinpin list") {
    const orphan lost;
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    device.must_pin(memory.data(), 4 * page);
    device.pin(memory.data(), 0);

    const json pins = must_print_json("list");
    std::uint64_t size = 0;
    for (const json& pin : pins) {
        size += pin["size"].get<std::uint64_t>();
    }
    const json metrics = must_print_json("metrics");
    CHECK(metric(metrics, "longpin_pins") == pins.size());
    CHECK(metric(metrics, "longpin_pinned_bytes") == size);
    CHECK(metric(metrics, "longpin_contexts") == 2);
    CHECK(metric(metrics, "longpin_orphaned_pins") == 1);
    CHECK(metric(metrics, "longpin_orphaned_bytes") == 2 * page);
    CHECK(metrics["longpin_info"][0]["version"] == read_line("/sys/module/longpin/version"));
    CHECK(metrics["longpin_user_pinned_bytes"] == json{{{"uid", "0"}, {"value", size}}});
    CHECK(metrics["longpin_kind_pins"] ==
          json{{{"kinds", "anon"}, {"value", 1}}, {{"kinds", "shmem"}, {"value", 1}}});

    // What a step adds to the counters.
    device.must_pin(memory.data(), page);
    device.pin(memory.data(), 0);
    const json after = must_print_json("metrics");
    for (const auto& [name, more] : std::vector<std::pair<std::string, std::uint64_t>>{
             {"longpin_pins_made_total", 1}, {"longpin_taken_bytes_total", page}}) {
        CHECK(metric(after, name) == metric(metrics, name) + more);
    }
    const auto refusals = [](const json& all) {
        for (const json& one : all["longpin_refused_total"]) {
            if (one["reason"] == "zero_length") {
                return one["value"].get<std::uint64_t>();
            }
        }
        throw std::runtime_error("zero_length is not counted");
    };
    CHECK(refusals(after) == refusals(metrics) + 1);

    const run_result text = pinpin("metrics");
    CHECK_THAT(text.output, Contains("\nlongpin_pins 3\n") && Catch::EndsWith("\n# EOF\n"));
}

TEST_CASE("pinpin metrics --textfile writes a file for the node exporter, whole or not at all") {
    REQUIRE(shell("rm -rf /tmp/exporter && mkdir /tmp/exporter").code == 0);
    const std::string path = "/tmp/exporter/longpin.prom";
    const run_result first = pinpin("metrics --textfile " + path);
    CHECK(first.code == 0);
    CHECK(first.output.empty());
    const raw_device device;
    REQUIRE(pinpin("metrics --textfile " + path).code == 0);
    const std::vector<std::string> lines = lines_in(path);
    CHECK(std::ranges::count(lines, "longpin_contexts 1") == 1);
    CHECK(std::ranges::count(lines, "# TYPE longpin_pins_made_total counter") == 1);
    CHECK(shell("ls -A /tmp/exporter").output == "longpin.prom\n");
    CHECK_THAT(shell("ls -l " + path).output, Catch::StartsWith("-rw-r--r--"));

    const run_result refused = shell_as_ordinary_user("pinpin metrics --textfile " + path);
    CHECK(refused.code == 1);
    CHECK_THAT(refused.output, Contains("cannot write " + path));
    CHECK(lines_in(path) == lines);

    // A full file system.
    REQUIRE(shell("mount -t tmpfs -o size=4k none /tmp/exporter && : > " + path +
                  " && head -c 4k /dev/zero > /tmp/exporter/full")
                .code == 0);
    const run_result full = pinpin("metrics --textfile " + path);
    CHECK(full.code == 1);
    CHECK_THAT(full.output, Contains("No space left on device"));
    CHECK(shell("ls -A /tmp/exporter; wc -c < " + path).output == "full\nlongpin.prom\n0\n");
    REQUIRE(shell("umount /tmp/exporter && rm -r /tmp/exporter").code == 0);
}

TEST_CASE("pinpin system tells longpin's part of the pinned memory from that of others") {
    const std::string comm = read_line("/proc/self/comm");
    const mapping memory = mapping::anonymous(16 * page);
    const orphan lost;
    const raw_device device;
    device.must_pin(memory.data(), 4 * page);
    REQUIRE(::mlock(memory.at(4 * page), 3 * page) == 0);
    {
        const io_uring_buffer other(memory);
        const json system = must_print_json("system");
        CHECK(row_of(system, ::getpid()) == json{{"pid", ::getpid()},
                                                 {"uid", 0},
                                                 {"user", "root"},
                                                 {"comm", comm},
                                                 {"vm_pin", 20 * page},
                                                 {"vm_lck", 3 * page},
                                                 {"longpin", 4 * page},
                                                 {"other", 16 * page}});
        CHECK(system["orphaned_pins"] == 1);
        CHECK(system["orphaned_size"] == 2 * page);

        const run_result table = pinpin("system");
        CHECK(table.code == 0);
        const std::vector<std::string> lines = lines_of(table.output);
        CHECK(lines.front().find("VmPin") != std::string::npos);
        CHECK(std::ranges::count_if(lines, [&](const std::string& line) {
                  return line.find(std::to_string(::getpid()) + " ") != std::string::npos &&
                         line.find(comm) != std::string::npos && line.ends_with("64 KiB") &&
                         line.find("80 KiB") != std::string::npos &&
                         line.find("12 KiB") != std::string::npos;
              }) == 1);
        CHECK_THAT(table.output,
                   Contains("beside these, longpin holds 8 KiB in 1 pin for processes"));
        for (const std::string& line : lines) {
            CHECK(line.size() <= 80);
        }
    }
    REQUIRE(::munlock(memory.at(4 * page), 3 * page) == 0);
    CHECK(row_of(must_print_json("system"), 1).is_null());
    CHECK(row_of(must_print_json("system --all"), 1)["comm"].is_string());
    CHECK(row_of(must_print_json("system --all"), 2).is_null()); // a kernel thread
}

TEST_CASE("Without the module pinpin says what to do, and system shows the others' memory") {
    REQUIRE(remove_module() == 0);
    for (const char* const command : {"list", "show 1:1", "monitor", "metrics"}) {
        const run_result missing = pinpin(command);
        CHECK(missing.code == 1);
        CHECK_THAT(missing.output, Contains("modprobe longpin"));
    }
    const json error = parsed(pinpin("list --json"))["error"];
    CHECK(error["errno"] == "ENOENT");
    const mapping memory = mapping::anonymous(2 * page);
    {
        const io_uring_buffer other(memory);
        const json row = row_of(must_print_json("system"), ::getpid());
        CHECK(row["longpin"] == 0);
        CHECK(row["other"] == 2 * page);
    }
    REQUIRE(load_module() == 0);
}
