// SPDX-License-Identifier: MIT
// Memory that the administrator wants to be able to take out (ZONE_MOVABLE): what is pinned for
// long must not lie in it, and doesn't keep it from being taken out.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/page_table.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace guest;

namespace {

struct physical_range {
    std::uint64_t first = 0, end = 0;

    [[nodiscard]] bool contains(std::uint64_t physical) const {
        return first <= physical && physical < end;
    }
};

/// The block of memory that the layout has for it (dimm), movable for as long as the object lives.
class movable_block {
public:
    movable_block() {
        const std::string memory = "/sys/devices/system/memory/";
        const std::uint64_t size = std::stoull(read_line(memory + "block_size_bytes"), nullptr, 16);
        for (const auto& entry : std::filesystem::directory_iterator(memory)) {
            if (read_line(entry.path() / "state") == "offline") {
                path_ = entry.path();
                must(write_line(path_ + "/state", "online_movable") == 0, "online_movable");
                range_.first = std::stoull(read_line(path_ + "/phys_index"), nullptr, 16) * size;
                range_.end = range_.first + size;
                return;
            }
        }
        throw std::runtime_error("no block of memory is offline");
    }
    movable_block(const movable_block&) = delete;
    movable_block& operator=(const movable_block&) = delete;
    movable_block(movable_block&&) = delete;
    movable_block& operator=(movable_block&&) = delete;
    ~movable_block() { static_cast<void>(take_out()); }

    [[nodiscard]] const physical_range& range() const { return range_; }

    /// 0 or the errno.
    [[nodiscard]] int take_out() const { return write_line(path_ + "/state", "offline"); }

    [[nodiscard]] bool exists() const { return std::filesystem::exists(path_); }

private:
    std::string path_;
    physical_range range_;
};

/// Memory that a device's driver may ask for in one piece, and that others have until then (CMA).
physical_range contiguous_area() {
    const std::filesystem::path areas = "/sys/kernel/debug/cma";
    const std::string path = std::filesystem::directory_iterator(areas)->path();
    const std::uint64_t first = std::stoull(read_line(path + "/base_pfn")) * page;
    return {.first = first, .end = first + std::stoull(read_line(path + "/count")) * page};
}

std::size_t pages_in(const physical_range& range, const mapping& memory) {
    const page_table table;
    std::size_t count = 0;
    for (std::size_t i = 0; i < memory.length(); i += page) {
        count += range.contains(table.physical_address(memory.at(i))) ? 1U : 0U;
    }
    return count;
}

/// Memory of the node: of what is movable, as long as there is any.
mapping map_on_node(int node, std::size_t length) {
    mapping memory = mapping::advised(length, MADV_NOHUGEPAGE);
    const unsigned long nodes = 1UL << static_cast<unsigned>(node);
    must(::syscall(SYS_mbind, memory.data(), length, 2 /* MPOL_BIND */, &nodes, 8UL, 0U) == 0,
         "mbind");
    memory.fill();
    return memory;
}

/// Pins what lies there in part, and looks that no page of it does then; and what else holds then.
void check_moved(
    const physical_range& range, const mapping& memory, std::uint32_t flags,
    const std::function<void()>& then = [] {}) {
    CAPTURE(flags);
    const raw_device device;
    REQUIRE(pages_in(range, memory) > 0);
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), flags);
    for (const longpin_extent& extent : device.extents(handle)) {
        CHECK_FALSE(range.contains(extent.phys));
    }
    CHECK(pages_in(range, memory) == 0);
    CHECK(has_pattern(memory.data(), memory.length(), 0));
    then();
    CHECK(device.unpin(handle) == 0);
}

} // namespace

TEST_CASE("movable memory: what is pinned is moved out of it, and it can be taken out then") {
    const std::uint32_t flags = GENERATE(0U, std::uint32_t{LONGPIN_PIN_WRITE}, leased_write);
    const movable_block block;
    check_moved(block.range(), map_on_node(1, 256 * page), flags,
                [&] { CHECK(block.take_out() == 0); });
}

// The command line makes the area large enough (cma=): the kernel takes from it what is movable
// when it has more than half of what is free.
TEST_CASE("memory for contiguous allocations: what is pinned is moved out of it", "[.cma]") {
    const std::uint32_t flags = GENERATE(0U, std::uint32_t{LONGPIN_PIN_WRITE}, leased_write);
    const physical_range area = contiguous_area();
    mapping memory = map_on_node(0, 16 * MiB);
    if (pages_in(area, memory) == 0) {
        memory = map_on_node(1, 16 * MiB);
    }
    check_moved(area, memory, flags);
}

// The last one: it's gone then.
TEST_CASE("movable memory: it can be unplugged when there are pins elsewhere") {
    const raw_device device;
    const movable_block block;
    const mapping memory = map_on_node(1, 256 * page);
    REQUIRE(pages_in(block.range(), memory) > 0);
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE);
    const std::filesystem::path devices = "/sys/bus/acpi/devices";
    for (const auto& entry : std::filesystem::directory_iterator(devices)) {
        // There is one for each of the machine's slots.
        const bool is_memory = entry.path().filename().string().starts_with("PNP0C80:");
        if (is_memory && read_line(entry.path() / "status") != "0") {
            CHECK(write_line(entry.path() / "eject", "1") == 0);
        }
    }
    CHECK(eventually([&] { return !block.exists(); }));
    CHECK(device.unpin(handle) == 0);
}
