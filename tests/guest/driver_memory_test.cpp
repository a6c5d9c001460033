// SPDX-License-Identifier: MIT
// Memory of others that a process has mapped: whoever counts its mappings must not be deceived by a
// pin that outlives them.
#include "support/bpf_array.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <linux/if_packet.h>
#include <sys/socket.h>

using namespace guest;

namespace {

mapping map_bpf_array() {
    const file array = mappable_array(page);
    return {page, PROT_READ | PROT_WRITE, MAP_SHARED, array.get()};
}

/// The ring of a packet socket.
mapping map_packet_ring() {
    const file socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    must(socket.get() >= 0, "socket");
    tpacket_req ring{};
    ring.tp_block_size = page;
    ring.tp_block_nr = 4;
    ring.tp_frame_size = page / 2;
    ring.tp_frame_nr = 8;
    must(::setsockopt(socket.get(), SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) == 0,
         "PACKET_RX_RING");
    return {4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, socket.get()};
}

} // namespace

TEST_CASE("driver memory: what another driver mapped is pinned for reading only") {
    mapping (*const map)() = GENERATE(map_bpf_array, map_packet_ring);
    const raw_device device;
    const mapping memory = map();
    for (const std::uint32_t dry_run : {0U, LONGPIN_PIN_DRY_RUN}) {
        longpin_pin pin{};
        CHECK(device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE | dry_run, pin) ==
              EOPNOTSUPP);
        CHECK(pin.out_reason == LONGPIN_REASON_DRIVER_MEMORY);
        CHECK(pin.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.data()));
        CHECK(device.pin(memory.data(), memory.length(), dry_run, pin) == 0);
        CHECK(pin.out_pages == memory.length() / page);
    }
    CHECK(device.pin(memory.data(), memory.length(), LONGPIN_PIN_LEASE) == EOPNOTSUPP);
}

TEST_CASE("driver memory: a BPF array is frozen for good, though it is pinned for reading") {
    const raw_device device;
    const file array = mappable_array(page);
    mapping memory(page, PROT_READ | PROT_WRITE, MAP_SHARED, array.get());
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    CHECK(freeze(array) == EBUSY); // it is mapped for writing
    memory.unmap();
    REQUIRE(freeze(array) == 0);
    std::byte copy[page];
    CHECK(device.write(handle, 0, copy, page) == EPERM);
    REQUIRE(device.read(handle, 0, copy, page) == 0);
    CHECK(has_pattern(copy, page));
}
