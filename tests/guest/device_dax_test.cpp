// SPDX-License-Identifier: MIT
// A device-DAX device does not go away under a pin.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/module.hpp"
#include "support/peers.hpp"
#include "support/shell.hpp"
#include "support/system_state.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iterator>
#include <unistd.h>

using namespace guest;

namespace {

bool is_bound(const std::string& device) {
    return ::access((dax_driver + device).c_str(), F_OK) == 0;
}

/// Throws if it fails.
void run(const std::string& command) {
    must(shell(command).code == 0, command.c_str());
}

/// How an administrator takes a device away, and brings it back.
struct way {
    const char* name;
    std::function<void(const std::string&device)> take, give;
};

const way ways[] = {
    {"the driver is unbound",
     [](const std::string& device) {
         must(write_line(dax_driver + "unbind", device) == 0, "unbind");
     },
     [](const std::string& device) { must(write_line(dax_driver + "bind", device) == 0, "bind"); }},
    {"ndctl disable-namespace",
     [](const std::string& device) {
         run("ndctl disable-namespace namespace" + device.substr(3)); // daxN.0
     },
     [](const std::string& device) { run("ndctl enable-namespace namespace" + device.substr(3)); }},
    // There is no driver here for what it shall be, of which daxctl complains when it is disabled.
    {"daxctl reconfigure-device",
     [](const std::string& device) {
         shell("daxctl reconfigure-device --no-online --mode=system-ram " + device);
     },
     [](const std::string& device) { run("daxctl enable-device " + device); }},
};

} // namespace

TEST_CASE("a device-DAX device that is taken away waits for the pin, and goes when it ends",
          "[devdax]") {
    const way& unbind = GENERATE(from_range(std::begin(ways), std::end(ways)));
    CAPTURE(unbind.name);
    const std::string name = dax_name("devdax_4k");
    const raw_device device;
    mapping memory = map_devdax("devdax_4k", 4 * MiB);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * MiB);
    memory.unmap();

    gate unbound;
    child unbinder([&] {
        unbind.take(name);
        unbound.open();
    });
    CHECK_FALSE(unbound.pass_within(1500));
    // The memory is still there for the device that has it.
    std::byte copy[page];
    REQUIRE(device.read(handle, MiB, copy, page) == 0);
    CHECK(has_pattern(copy, page, MiB));

    REQUIRE(device.unpin(handle) == 0);
    CHECK(unbound.pass_within(60000));
    CHECK(unbinder.wait());
    CHECK_FALSE(is_bound(name));
    unbind.give(name);
    CHECK(is_bound(name));
}

TEST_CASE("a device-DAX device that is taken away takes its leases back", "[devdax]") {
    const way& unbind = GENERATE(from_range(std::begin(ways), std::end(ways)));
    CAPTURE(unbind.name);
    const std::string name = dax_name("devdax_2m");
    const raw_device device;
    mapping memory = map_devdax("devdax_2m", 4 * MiB);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * MiB, leased_write);

    unbind.take(name);
    CHECK_FALSE(is_bound(name));
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK_FALSE(device.events().empty());
    std::byte byte{};
    CHECK(device.read(handle, MiB, &byte, 1) == ESTALE);
    memory.unmap(); // Linux 6.1 doesn't bear that the device comes again while it is still open
    unbind.give(name);
    CHECK(is_bound(name));
}

TEST_CASE("a device-DAX device that is taken away waits until its leases are let go", "[devdax]") {
    const std::string name = dax_name("devdax_2m");
    const raw_device device;
    const module_parameter limit("max_grace_ms", "30000");
    mapping memory = map_devdax("devdax_2m", 4 * MiB);
    const std::uint32_t handle = must_pin_with_grace(device, memory, 30000);

    const auto began = std::chrono::steady_clock::now();
    child unbinder([&] { ways[0].take(name); });
    const auto events = device.events_within(10000);
    REQUIRE(events.size() == 1);
    CHECK(events[0].type == LONGPIN_EVENT_REVOKING);
    CHECK(events[0].offset == 0);
    CHECK(events[0].length == 4 * MiB);
    std::byte byte{};
    CHECK(device.read(handle, MiB, &byte, 1) == 0);

    REQUIRE(device.let_go(handle, 0, 4 * MiB) == 0);
    CHECK(unbinder.wait());
    CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(25));
    CHECK_FALSE(is_bound(name));
    CHECK(must_query(device, handle).out_pages == 0);
    memory.unmap();
    ways[0].give(name);
    CHECK(is_bound(name));
}

// What happens to a long-term pin of the kernel's own makers. Hidden, and to be run by its name
// (make test-guest FILTER='an RDMA*'): Linux 6.1 crashes when the region is removed.
TEST_CASE("an RDMA region keeps a device-DAX device from being taken away", "[.breaks]") {
    const std::string name = dax_name("devdax_4k");
    add_peer_devices();
    const rdma_peer regions;
    mapping memory = map_devdax("devdax_4k", 4 * MiB);
    ibv_mr* const region = regions.add_region(memory.data(), memory.length(), direction::write);
    REQUIRE(region != nullptr);
    memory.unmap();
    std::printf("unbind: errno %d\n", write_line(dax_driver + "unbind", name));
    std::fflush(stdout);
    rdma_peer::remove_region(region);
    std::printf("the region was removed\n");
}

TEST_CASE("a device-DAX device can be unbound when its pins have ended", "[devdax]") {
    const std::string name = dax_name("devdax_2m");
    {
        const raw_device device;
        const mapping memory = map_devdax("devdax_2m", 8 * MiB);
        for (std::size_t i = 0; i < 10; i++) {
            device.must_pin(memory.at(i * page), 4 * MiB);
        }
    }
    gate unbound;
    child unbinder([&] {
        write_line(dax_driver + "unbind", name);
        unbound.open();
    });
    CHECK(unbound.pass_within(60000));
    REQUIRE(write_line(dax_driver + "bind", name) == 0);
    // It works again.
    const raw_device device;
    const mapping memory = map_devdax("devdax_2m", 4 * MiB);
    CHECK(device.pin(memory.data(), 4 * MiB, LONGPIN_PIN_WRITE) == 0);
}
