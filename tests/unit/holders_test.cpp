// SPDX-License-Identifier: MIT
#include "holders.hpp"

#include <longpin/inventory.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace fs = std::filesystem;
using longpin::holder;
using longpin::detail::find_holders;

namespace {

/// A directory that looks like /proc. Gone in the end.
class fake_proc {
public:
    fake_proc() {
        std::string name = fs::temp_directory_path() / "longpin-proc-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) {
            throw std::runtime_error("mkdtemp");
        }
        root_ = name;
    }
    fake_proc(const fake_proc&) = delete;
    fake_proc& operator=(const fake_proc&) = delete;
    fake_proc(fake_proc&&) = delete;
    fake_proc& operator=(fake_proc&&) = delete;
    ~fake_proc() { fs::remove_all(root_); }

    [[nodiscard]] const fs::path& root() const { return root_; }

    void process(const std::string& pid, const std::string& comm) const {
        fs::create_directories(root_ / pid / "fd");
        fs::create_directories(root_ / pid / "fdinfo");
        write(root_ / pid / "comm", comm + "\n");
    }

    void descriptor(const std::string& pid, const std::string& number, const fs::path& target,
                    const std::string& lines) const {
        fs::create_symlink(target, root_ / pid / "fd" / number);
        write(root_ / pid / "fdinfo" / number, "pos:\t0\nflags:\t02100002\nmnt_id:\t5\n" + lines);
    }

    void context(const std::string& pid, const std::string& number, const std::string& id) const {
        descriptor(pid, number, device,
                   "longpin-context:\t" + id + "\nlongpin-pins:\t2\nlongpin-pages:\t512\n");
    }

    /// A character device, of whatever name: what it is stands in fdinfo.
    static constexpr const char* device = "/dev/null";

private:
    static void write(const fs::path& path, const std::string& text) {
        std::ofstream(path) << text;
    }

    fs::path root_;
};

} // namespace

TEST_CASE("Every holder of every context is found, in the order of contexts and pids") {
    const fake_proc proc;
    proc.process("200", "heir");
    proc.context("200", "5", "3");
    proc.context("200", "6", "12");
    proc.process("30", "a (strange) name");
    proc.context("30", "10", "3");
    CHECK(
        find_holders(proc.root(), {}) ==
        std::vector<holder>{{.pid = 30, .comm = "a (strange) name", .descriptor = 10, .context = 3},
                            {.pid = 200, .comm = "heir", .descriptor = 5, .context = 3},
                            {.pid = 200, .comm = "heir", .descriptor = 6, .context = 12}});
}

TEST_CASE("The holders of one context can be asked for") {
    const fake_proc proc;
    proc.process("1", "one");
    proc.context("1", "5", "3");
    proc.process("2", "two");
    proc.context("2", "5", "4");
    proc.context("2", "6", "3");
    CHECK(find_holders(proc.root(), 4) ==
          std::vector<holder>{{.pid = 2, .comm = "two", .descriptor = 5, .context = 4}});
    CHECK(find_holders(proc.root(), 5).empty());
}

TEST_CASE("A process that has a context by several descriptors is named once, by the lowest") {
    const fake_proc proc;
    proc.process("7", "many");
    for (const char* const number : {"11", "9", "100", "10"}) {
        proc.context("7", number, "3");
    }
    CHECK(find_holders(proc.root(), {}) ==
          std::vector<holder>{{.pid = 7, .comm = "many", .descriptor = 9, .context = 3}});
}

TEST_CASE("Files that are no context are passed over") {
    const fake_proc proc;
    proc.process("7", "other");
    const fs::path regular = proc.root() / "7" / "comm";
    proc.descriptor("7", "0", fake_proc::device, "");
    proc.descriptor("7", "1", regular, "longpin-context:\t3\n"); // no character device
    proc.descriptor("7", "2", fake_proc::device, "longpin-context:\tx\n");
    proc.descriptor("7", "3", fake_proc::device, "longpin-contexts:\t3\n");
    proc.descriptor("7", "4", "/nonexistent", "longpin-context:\t3\n");
    CHECK(find_holders(proc.root(), {}).empty());
}

TEST_CASE("What is no process, has gone or may not be looked into is passed over") {
    const fake_proc proc;
    proc.process("self", "a name that is no pid");
    proc.context("self", "3", "3");
    proc.process("7", "gone");
    proc.context("7", "3", "3");
    fs::remove(proc.root() / "7" / "comm");
    proc.process("8", "without fdinfo");
    proc.context("8", "3", "3");
    fs::remove_all(proc.root() / "8" / "fdinfo");
    proc.process("9", "without descriptors");
    fs::remove_all(proc.root() / "9" / "fd");
    proc.process("10", "last");
    proc.context("10", "3", "3");
    CHECK(find_holders(proc.root(), {}) ==
          std::vector<holder>{{.pid = 10, .comm = "last", .descriptor = 3, .context = 3}});
    CHECK(find_holders(proc.root() / "nonexistent", {}).empty());
}

TEST_CASE("The real /proc is searched without failing") {
    CHECK_NOTHROW(longpin::find_holders());
    CHECK(longpin::find_holders(0).empty()); // no context has that id
}
