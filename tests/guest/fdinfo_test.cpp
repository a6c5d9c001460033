// SPDX-License-Identifier: MIT
// /proc/PID/fdinfo of an open /dev/longpin: which context it is, and what that holds.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include <catch2/catch.hpp>

#include <fstream>
#include <regex>
#include <sstream>

using namespace guest;

namespace {

std::string text(const std::string& process, int descriptor) {
    std::ifstream lines("/proc/" + process + "/fdinfo/" + std::to_string(descriptor));
    std::ostringstream whole;
    whole << lines.rdbuf();
    return whole.str();
}

struct held {
    std::uint64_t pins, pages;

    bool operator==(const held&) const = default;
};

held held_by(const raw_device& device, const std::string& process = "self") {
    return {fdinfo(process, device.descriptor(), "longpin-pins"),
            fdinfo(process, device.descriptor(), "longpin-pages")};
}

} // namespace

TEST_CASE("fdinfo has the context, its pins and its pages behind the usual lines") {
    const raw_device device;
    const mapping memory = mapping::anonymous(16 * page);
    device.must_pin(memory.data(), 16 * page);
    device.must_pin(memory.at(100), page);
    const std::string shown = text("self", device.descriptor());
    INFO(shown);
    CHECK(std::regex_match(shown, std::regex("pos:\t0\n"
                                             "flags:\t[0-7]+\n"
                                             "mnt_id:\t[0-9]+\n"
                                             "ino:\t[0-9]+\n"
                                             "longpin-context:\t[1-9][0-9]*\n"
                                             "longpin-pins:\t2\n"
                                             "longpin-pages:\t18\n")));
}

TEST_CASE("fdinfo counts the pins and the pages as they come and go") {
    const raw_device device;
    const raw_device other;
    const mapping memory = mapping::anonymous(8 * page);
    CHECK(held_by(device) == held{0, 0});
    const std::uint32_t first = device.must_pin(memory.data(), 8 * page);
    CHECK(held_by(device) == held{1, 8});
    const std::uint32_t second = device.must_pin(memory.data(), 2 * page);
    CHECK(held_by(device) == held{2, 10});
    CHECK(held_by(other) == held{0, 0});
    CHECK(context_of(device) != context_of(other));

    // Neither a dry run nor a refusal holds anything.
    REQUIRE(device.pin(memory.data(), page, LONGPIN_PIN_DRY_RUN) == 0);
    REQUIRE(device.pin(nullptr, page) != 0);
    CHECK(held_by(device) == held{2, 10});
    REQUIRE(device.unpin(first) == 0);
    CHECK(held_by(device) == held{1, 2});
    REQUIRE(device.unpin(second) == 0);
    CHECK(held_by(device) == held{0, 0});
}

TEST_CASE("fdinfo of another process shows the same context, whoever made the pins") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    gate pinned;
    gate finish;
    child heir([&] {
        device.must_pin(memory.data(), 4 * page);
        pinned.open();
        finish.pass();
    });
    pinned.pass();
    device.must_pin(memory.data(), page);
    const std::string process = std::to_string(heir.pid());
    CHECK(held_by(device) == held{2, 5});
    CHECK(held_by(device, process) == held{2, 5});
    CHECK(fdinfo(process, device.descriptor(), "longpin-context") == context_of(device));
    finish.open();
    REQUIRE(heir.wait());
    CHECK(held_by(device) == held{2, 5}); // its pin is an orphan, and held all the same
}

TEST_CASE("fdinfo finds the one who has the file of an orphan") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t handle = in_child([&] { return device.must_pin(memory.data(), page); });
    const netlink_attributes pin =
        netlink_socket()
            .get(LONGPIN_CMD_PIN_GET,
                 {{LONGPIN_A_PIN_CONTEXT, context_of(device)}, {LONGPIN_A_PIN_HANDLE, handle}})
            .only();
    REQUIRE(pin.has(LONGPIN_A_PIN_ORPHANED));
    CHECK(fdinfo(std::to_string(::getpid()), device.descriptor(), "longpin-context") ==
          pin.u32(LONGPIN_A_PIN_CONTEXT));
}

TEST_CASE("fdinfo of another's process is not for an ordinary user") {
    const raw_device device;
    const std::string root = std::to_string(::getpid());
    const auto [others, own] = as_ordinary_user([&] {
        struct {
            bool others, own;
        } empty{};
        empty.others = text(root, device.descriptor()).empty();
        empty.own = text("self", device.descriptor()).empty();
        return empty;
    });
    CHECK(others);
    CHECK_FALSE(own);
}
