// SPDX-License-Identifier: MIT
//
// What a driver in user space does (as in SPDK or DPDK): memory of huge pages that stays where it
// is, cut into packets, and for each of them the physical address that a device is told. Needs
// CAP_SYS_ADMIN, as physical addresses are nobody else's business; behind an IOMMU, VFIO's
// addresses take their place.
//
//     c++ -std=c++20 userspace_driver.cpp $(pkg-config --cflags --libs longpin)
#include <longpin/longpin.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <vector>

namespace {

/// What a device is told of a packet.
struct descriptor {
    std::uint64_t physical_address;
    std::uint32_t length;
};

/// One for each packet. None may cross from one physically contiguous stretch into another: such
/// packets are left out.
std::vector<descriptor> descriptors(const longpin::pin& memory, std::uint32_t packet) {
    std::vector<descriptor> ring;
    for (const longpin::extent& extent : memory.extents()) {
        if (extent.physical_address == 0) {
            throw std::runtime_error("physical addresses are for CAP_SYS_ADMIN");
        }
        for (std::uint64_t at = 0; at + packet <= extent.length; at += packet) {
            ring.push_back({extent.physical_address + at, packet});
        }
    }
    return ring;
}

} // namespace

int main() try {
    constexpr std::size_t size = 8U << 20U;
    constexpr std::uint32_t packet = 2048;
    constexpr std::size_t third = 3 * std::size_t{packet};

    const longpin::device device;
    const longpin::pinned_buffer pool(device, size, {.huge = longpin::huge_pages::hugetlb_2m});
    const std::vector<descriptor> ring = descriptors(pool.pin(), packet);
    std::cout << longpin::format_size(pool.bytes().size()) << " in " << pool.pin().footprint().runs
              << " contiguous stretches, " << ring.size() << " packets\n";

    // Here the device receives. longpin writes through the pin as it would, and the program finds
    // the packet in its memory.
    const std::byte received{0x2a};
    pool.pin().write(third, std::span(&received, 1));
    std::cout << "packet 3 begins with " << std::to_integer<int>(pool.bytes()[third]) << '\n';
    return 0;

} catch (const std::exception& failure) {

    std::cerr << failure.what() << '\n';
    return 1;
}
