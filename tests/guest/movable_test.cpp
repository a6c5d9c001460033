// SPDX-License-Identifier: MIT
// Memory that the administrator wants to be able to take out (ZONE_MOVABLE): what is pinned for
// long must not lie in it, and doesn't keep it from being taken out.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/page_table.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace guest;

namespace {

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
                first_ = std::stoull(read_line(path_ + "/phys_index"), nullptr, 16) * size;
                end_ = first_ + size;
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

    [[nodiscard]] bool contains(std::uint64_t physical) const {
        return first_ <= physical && physical < end_;
    }

    /// 0 or the errno.
    [[nodiscard]] int take_out() const { return write_line(path_ + "/state", "offline"); }

    [[nodiscard]] bool exists() const { return std::filesystem::exists(path_); }

private:
    std::string path_;
    std::uint64_t first_ = 0, end_ = 0;
};

/// Memory that a device's driver may ask for in one piece, and that others have until then (CMA).
/// Others have it last: as long as the object lives, hugetlb pages take up what else there is.
class contiguous_area {
public:
    explicit contiguous_area(int node)
        : hugetlb_("/sys/devices/system/node/node" + std::to_string(node) +
                   "/hugepages/hugepages-2048kB/nr_hugepages"),
          before_(read_line(hugetlb_)) {
        const std::filesystem::path areas = "/sys/kernel/debug/cma";
        path_ = std::filesystem::directory_iterator(areas)->path();
        first_ = std::stoull(read_line(path_ + "/base_pfn")) * page;
        end_ = first_ + std::stoull(read_line(path_ + "/count")) * page;
        must(write_line(hugetlb_, "4096") == 0, "nr_hugepages");
    }
    contiguous_area(const contiguous_area&) = delete;
    contiguous_area& operator=(const contiguous_area&) = delete;
    contiguous_area(contiguous_area&&) = delete;
    contiguous_area& operator=(contiguous_area&&) = delete;
    ~contiguous_area() { write_line(hugetlb_, before_); }

    [[nodiscard]] bool contains(std::uint64_t physical) const {
        return first_ <= physical && physical < end_;
    }

    /// Takes all of it, as a driver would, and gives it back. 0 or the errno.
    [[nodiscard]] int take_out() const {
        write_line(hugetlb_, before_); // what else lies there has to go somewhere
        const std::string pages = std::to_string((end_ - first_) / page);
        const int err = write_line(path_ + "/alloc", pages);
        write_line(path_ + "/free", pages);
        return err;
    }

private:
    std::string hugetlb_, before_, path_;
    std::uint64_t first_ = 0, end_ = 0;
};

/// Pages of the mapping in the block or area.
template <typename Area>
std::size_t pages_in(const Area& block, const mapping& memory) {
    const page_table table;
    std::size_t count = 0;
    for (std::size_t i = 0; i < memory.length(); i += page) {
        count += block.contains(table.physical_address(memory.at(i))) ? 1U : 0U;
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

/// Pins what lies there in part, and looks that no page of it does then.
template <typename Area>
void check_moved(const Area& area, const mapping& memory, std::uint32_t flags) {
    CAPTURE(flags);
    const raw_device device;
    REQUIRE(pages_in(area, memory) > 0);
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), flags);
    for (const longpin_extent& extent : device.extents(handle)) {
        CHECK_FALSE(area.contains(extent.phys));
    }
    CHECK(pages_in(area, memory) == 0);
    CHECK(has_pattern(memory.data(), memory.length(), 0));
    CHECK(area.take_out() == 0);
    CHECK(device.unpin(handle) == 0);
}

} // namespace

TEST_CASE("movable memory: what is pinned is moved out of it, and it can be taken out then") {
    const std::uint32_t flags = GENERATE(0U, std::uint32_t{LONGPIN_PIN_WRITE}, leased_write);
    const movable_block block;
    check_moved(block, map_on_node(1, 256 * page), flags);
}

TEST_CASE("memory for contiguous allocations: what is pinned is moved out of it", "[.debug]") {
    const std::uint32_t flags = GENERATE(0U, std::uint32_t{LONGPIN_PIN_WRITE}, leased_write);
    const contiguous_area area(0);
    check_moved(area, map_on_node(0, 16 * MiB), flags);
}

// The last one: it's gone then.
TEST_CASE("movable memory: it can be unplugged when there are pins elsewhere") {
    const raw_device device;
    const movable_block block;
    const mapping memory = map_on_node(1, 256 * page);
    REQUIRE(pages_in(block, memory) > 0);
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
