// SPDX-License-Identifier: MIT
#include "held.hpp"

#include "page_table.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

namespace guest {

void check_coherent(const raw_device& device, std::uint32_t handle, const mapping& memory,
                    std::size_t length) {
    std::memset(memory.data(), 0x61, length);
    std::vector<std::byte> copy(length);
    REQUIRE(device.read(handle, 0, copy.data(), length) == 0);
    CHECK(std::memcmp(copy.data(), memory.data(), length) == 0);
}

held::held(const mapping& memory, std::uint32_t flags)
    : handle_(device_.must_pin(memory.data(), memory.length(), flags)), flags_(flags) {}

void held::check_coherent(std::byte* address) const {
    const page_table table;
    std::size_t apart = 0;
    std::size_t length = 0;
    for (const longpin_extent& extent : device_.extents(handle_)) {
        for (std::size_t i = 0; i < extent.length; i += page) {
            std::byte* const here = address + extent.offset + i;
            *static_cast<volatile std::byte*>(here); // brought in, if it was not
            apart += table.physical_address(here) != extent.phys + i ? 1U : 0U;
        }
        length += extent.length;
    }
    CHECK(apart == 0);

    // And the content, both ways.
    std::vector<std::byte> copy(length);
    std::memset(address, ++round_, length);
    REQUIRE(device_.read(handle_, 0, copy.data(), length) == 0);
    CHECK(std::memcmp(copy.data(), address, length) == 0);
    if ((flags_ & LONGPIN_PIN_WRITE) != 0) {
        std::memset(copy.data(), ++round_, length);
        REQUIRE(device_.write(handle_, 0, copy.data(), length) == 0);
        CHECK(std::memcmp(copy.data(), address, length) == 0);
    }
}

} // namespace guest
