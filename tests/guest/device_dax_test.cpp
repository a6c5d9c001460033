// SPDX-License-Identifier: MIT
// A device-DAX device does not go away under a pin.
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

using namespace guest;

namespace {

constexpr const char* driver = "/sys/bus/dax/drivers/device_dax/";

std::string device_name(const std::string& name) {
    const std::string path = backing(name);
    return path.substr(path.rfind('/') + 1);
}

} // namespace

TEST_CASE("unbinding a device-DAX device waits for the pin, and goes on when it ends") {
    const std::string name = device_name("devdax_4k");
    const raw_device device;
    mapping memory = map_devdax("devdax_4k", 4 * MiB);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * MiB);
    memory.unmap();

    gate unbound;
    child unbinder([&] {
        write_line(std::string(driver) + "unbind", name);
        unbound.open();
    });
    CHECK_FALSE(unbound.pass_within(1500));
    // The memory is still there for the device that has it.
    std::byte copy[page];
    REQUIRE(device.read(handle, MiB, copy, page) == 0);
    CHECK(has_pattern(copy, page, MiB));

    REQUIRE(device.unpin(handle) == 0);
    CHECK(unbound.pass_within(10000));
    CHECK(unbinder.wait());
    REQUIRE(write_line(std::string(driver) + "bind", name) == 0);
}

TEST_CASE("a device-DAX device can be unbound when its pins have ended") {
    const std::string name = device_name("devdax_2m");
    {
        const raw_device device;
        const mapping memory = map_devdax("devdax_2m", 8 * MiB);
        for (std::size_t i = 0; i < 10; i++) {
            device.must_pin(memory.at(i * page), 4 * MiB);
        }
    }
    gate unbound;
    child unbinder([&] {
        write_line(std::string(driver) + "unbind", name);
        unbound.open();
    });
    CHECK(unbound.pass_within(10000));
    REQUIRE(write_line(std::string(driver) + "bind", name) == 0);
    // It works again.
    const raw_device device;
    const mapping memory = map_devdax("devdax_2m", 4 * MiB);
    CHECK(device.pin(memory.data(), 4 * MiB, LONGPIN_PIN_WRITE) == 0);
}
