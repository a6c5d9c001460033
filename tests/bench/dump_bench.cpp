// SPDX-License-Identifier: MIT
// What a full dump of the pins costs, in instructions of kernel and user space together, a pin: as
// a Markdown table. Fails if that grows with the number of pins.
#include "../guest/support/netlink.hpp"
#include "instructions.hpp"

#include <longpin/inventory.hpp>

#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>

#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/socket.h>

namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t pins_each = 1000; ///< in a context

/// What came over the socket.
struct received {
    std::uint64_t datagrams = 0;
    std::uint64_t pins = 0;
};

/// Receives a whole dump, and looks at the headers alone.
received receive_dump() {
    guest::netlink_socket socket;
    socket.send(guest::longpin_request(LONGPIN_CMD_PIN_GET, NLM_F_DUMP).bytes());
    static std::array<std::byte, 32768> buffer;
    received all;
    for (;;) {
        const ssize_t got = ::recv(socket.descriptor(), buffer.data(), buffer.size(), 0);
        if (got <= 0) {
            throw std::runtime_error("no datagram came");
        }
        all.datagrams++;
        nlmsghdr header{};
        for (std::size_t at = 0; at < static_cast<std::size_t>(got);
             at += (std::size_t{header.nlmsg_len} + 3) / 4 * 4) {
            std::memcpy(&header, buffer.data() + at, sizeof(header));
            if (header.nlmsg_type == NLMSG_DONE) {
                return all;
            }
            all.pins++;
        }
    }
}

/// Prints the table. Returns whether the cost of a pin stays what it is.
bool measure() {
    bench::check_clock();
    void* const memory =
        ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::runtime_error("mmap");
    }
    const longpin::inventory inventory;
    std::puts("| pins | datagrams | received over netlink | listed by longpin::inventory |\n"
              "|---:|---:|---:|---:|");
    std::vector<guest::raw_device> devices;
    std::uint64_t fewest = 0;
    std::uint64_t most = 0;
    for (const std::size_t pins : {1'000UL, 10'000UL, 100'000UL}) {
        while (devices.size() * pins_each < pins) {
            const guest::raw_device& device = devices.emplace_back();
            for (std::size_t i = 0; i < pins_each; i++) {
                device.must_pin(memory, page);
            }
        }
        const received dump = receive_dump();
        if (dump.pins == 0 || dump.pins != pins || inventory.pins().size() != pins) {
            throw std::runtime_error("not all pins are listed, or others as well");
        }
        const std::uint64_t raw = bench::least_instructions(receive_dump) / dump.pins;
        const std::uint64_t listed =
            bench::least_instructions([&] { return inventory.pins(); }) / dump.pins;
        std::printf("| %zu | %llu | %llu | %llu |\n", pins,
                    static_cast<unsigned long long>(dump.datagrams),
                    static_cast<unsigned long long>(raw), static_cast<unsigned long long>(listed));
        std::fflush(stdout);
        most = raw + listed;
        fewest = fewest == 0 ? most : fewest;
    }
    return most < fewest + fewest / 10;
}

} // namespace

int main() {
    try {
        if (measure()) {
            return 0;
        }
        std::fputs("dump_bench: a pin costs more the more there are\n", stderr);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "dump_bench: %s\n", failure.what());
    }
    return 1;
}
