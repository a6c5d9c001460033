// SPDX-License-Identifier: MIT
// The module from the administrator's side: removal, parameters, the device file.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <sys/stat.h>

using namespace guest;

TEST_CASE("the module can't be removed while a context is open") {
    raw_device device;
    CHECK(remove_module() == EWOULDBLOCK); // what the kernel says of any module in use
    const mapping memory = mapping::anonymous(page);
    device.must_pin(memory.data(), page);
    CHECK(remove_module() == EWOULDBLOCK);
    device.close();
    CHECK(remove_module() == 0);
    CHECK(load_module() == 0);
}

TEST_CASE("the module can't be removed while a file of a dead process is on its way") {
    raw_device device;
    gate pinned;
    gate finish;
    child heir([&] {
        const mapping memory = mapping::anonymous(page);
        device.must_pin(memory.data(), page);
        pinned.open();
        finish.pass();
    });
    pinned.pass();
    device.close();
    CHECK(remove_module() == EWOULDBLOCK);
    finish.open();
    CHECK(heir.wait());
    CHECK(remove_module() == 0);
    CHECK(load_module() == 0);
}

TEST_CASE("the device file is root's alone unless a parameter says otherwise") {
    struct stat status {};
    REQUIRE(::stat("/dev/longpin", &status) == 0);
    CHECK(S_ISCHR(status.st_mode));
    CHECK((status.st_mode & 07777) == 0600);
    CHECK(status.st_uid == 0);

    REQUIRE(remove_module() == 0);
    REQUIRE(load_module("device_mode=0666") == 0);
    REQUIRE(::stat("/dev/longpin", &status) == 0);
    CHECK((status.st_mode & 07777) == 0666);
    CHECK(read_line(std::string(module_parameters) + "device_mode") == "0666");
    CHECK(as_ordinary_user([] { return raw_device().info().out_max_pins_used; }) == 0);

    REQUIRE(remove_module() == 0);
    CHECK(load_module("device_mode=07777 2>/dev/null") != 0);
    REQUIRE(load_module() == 0);
}

TEST_CASE("the parameter max_pins caps the pins of a context") {
    const raw_device device;
    const raw_device other;
    const mapping memory = mapping::anonymous(page);
    const module_parameter cap("max_pins", "3");
    CHECK(device.info().out_max_pins_limit == 3);
    std::uint32_t handle = 0;
    for (int i = 0; i < 3; i++) {
        handle = device.must_pin(memory.data(), page);
    }

    longpin_pin answer{};
    for (const std::uint32_t dry_run : {0U, LONGPIN_PIN_DRY_RUN}) {
        CHECK(device.pin(memory.data(), page, dry_run, answer) == ENOMEM);
        CHECK(answer.out_reason == LONGPIN_REASON_MAX_PINS);
        CHECK(answer.out_limit == 3);
        CHECK(answer.out_used == 3);
        CHECK(answer.out_asked == 1);
    }
    CHECK(vm_pin() == 3 * page);
    other.must_pin(memory.data(), page); // its own count
    REQUIRE(device.unpin(handle) == 0);
    CHECK(device.pin(memory.data(), page) == 0);
}

TEST_CASE("a parameter that caps what is pinned is no limit when it is 0") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    device.must_pin(memory.data(), page);
    const module_parameter pins("max_pins", "0");
    const module_parameter user_pages("max_user_pages", "0");
    const module_parameter pages("max_pages", "0");
    const longpin_info info = device.info();
    CHECK(info.out_max_pins_limit == LONGPIN_UNLIMITED);
    CHECK(info.out_max_user_pages_limit == LONGPIN_UNLIMITED);
    CHECK(info.out_max_pages_limit == LONGPIN_UNLIMITED);
    CHECK(device.pin(memory.data(), page) == 0);
}

TEST_CASE("the parameter max_user_pages caps the pages of each user by itself") {
    const raw_device device;
    const raw_device other;
    const mapping memory = mapping::anonymous(8 * page);
    const module_parameter cap("max_user_pages", "5");
    CHECK(device.info().out_max_user_pages_limit == 5 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    CHECK(device.info().out_max_user_pages_used == 4 * page);

    longpin_pin answer{};
    for (const std::uint32_t dry_run : {0U, LONGPIN_PIN_DRY_RUN}) {
        CHECK(other.pin(memory.data(), 2 * page, dry_run, answer) == ENOMEM);
        CHECK(answer.out_reason == LONGPIN_REASON_MAX_USER_PAGES);
        CHECK(answer.out_limit == 5 * page);
        CHECK(answer.out_used == 4 * page);
        CHECK(answer.out_asked == 2 * page);
    }
    CHECK(vm_pin() == 4 * page);

    // Another user has a count of its own.
    const auto [err, used] = as_ordinary_user([&] {
        struct {
            int err;
            std::uint64_t used;
        } got{};
        const mapping own = mapping::anonymous(5 * page);
        got.err = device.pin(own.data(), 5 * page);
        got.used = device.info().out_max_user_pages_used;
        return got;
    });
    CHECK(err == 0);
    CHECK(used == 5 * page);

    CHECK(write_line(std::string(module_parameters) + "max_user_pages", "6") == 0); // at once
    CHECK(other.pin(memory.data(), 2 * page) == 0);
    CHECK(other.pin(memory.data(), page) == ENOMEM);
    REQUIRE(device.unpin(handle) == 0);
    CHECK(other.pin(memory.data(), 4 * page) == 0);
}

TEST_CASE("the parameter max_pages caps the pages of all contexts together") {
    const raw_device device;
    const raw_device other;
    const mapping memory = mapping::anonymous(8 * page);
    const module_parameter cap("max_pages", "10");
    CHECK(device.info().out_max_pages_limit == 10 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 8 * page);

    longpin_pin answer{};
    CHECK(other.pin(memory.data(), 3 * page, 0, answer) == ENOMEM);
    CHECK(answer.out_reason == LONGPIN_REASON_MAX_PAGES);
    CHECK(answer.out_limit == 10 * page);
    CHECK(answer.out_used == 8 * page);
    CHECK(answer.out_asked == 3 * page);
    CHECK(other.pin(memory.data(), 2 * page) == 0);
    REQUIRE(device.unpin(handle) == 0);
    CHECK(other.pin(memory.data(), 8 * page) == 0);
    CHECK(other.pin(memory.data(), 1) == ENOMEM);
}
