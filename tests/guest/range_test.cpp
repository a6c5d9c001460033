// SPDX-License-Identifier: MIT
// Which bytes a pin covers, and how they are found again.
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <numeric>

using namespace guest;

TEST_CASE("a pin covers the pages that its range touches, wherever the range starts and ends") {
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    memory.fill();
    struct {
        std::size_t offset, length, pages;
    } const ranges[] = {
        {0, 1, 1},    {0, page, 1},     {0, page + 1, 2},     {page - 1, 1, 1}, {page - 1, 2, 2},
        {1, page, 2}, {5, 3 * page, 4}, {8 * page - 1, 1, 1}, {0, 8 * page, 8},
    };
    for (const auto& range : ranges) {
        INFO("offset " << range.offset << ", length " << range.length);
        longpin_pin answer{};
        REQUIRE(device.pin(memory.at(range.offset), range.length, 0, answer) == 0);
        CHECK(answer.out_pages == range.pages);
        CHECK(vm_pin() == range.pages * page);

        longpin_query query{};
        REQUIRE(device.query(answer.out_handle, query) == 0);
        CHECK(query.out_addr == reinterpret_cast<std::uintptr_t>(memory.at(range.offset)));
        CHECK(query.out_length == range.length);
        CHECK(query.out_pages == range.pages);
        CHECK(query.out_runs == answer.out_runs);
        CHECK(query.out_bookkeeping == answer.out_bookkeeping);

        std::vector<std::byte> copy(range.length);
        REQUIRE(device.read(answer.out_handle, 0, copy.data(), copy.size()) == 0);
        CHECK(has_pattern(copy.data(), copy.size(), range.offset));
        REQUIRE(device.unpin(answer.out_handle) == 0);
    }
}

TEST_CASE("the last page that a process can map is pinned, and the one behind it is a hole") {
    const raw_device device;
    // The kernel keeps the page below 2^47 to itself.
    auto* const last = reinterpret_cast<std::byte*>((1ULL << 47U) - 2 * page);
    REQUIRE(::mmap(last, page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == last);
    longpin_pin answer{};
    CHECK(device.pin(last, page, LONGPIN_PIN_WRITE, answer) == 0);
    CHECK(answer.out_pages == 1);
    CHECK(device.pin(last + page - 1, 1, LONGPIN_PIN_WRITE, answer) == 0);
    CHECK(device.pin(last + page - 1, 2, LONGPIN_PIN_WRITE, answer) == EFAULT);
    CHECK(answer.out_reason == LONGPIN_REASON_HOLE);
    CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(last + page));
    REQUIRE(::munmap(last, page) == 0);
}

TEST_CASE("QUERY gives back the cookie and the flags") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    auto arguments = request<longpin_pin>();
    arguments.flags = LONGPIN_PIN_WRITE;
    arguments.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    arguments.length = page;
    arguments.cookie = 0x0123456789abcdef;
    REQUIRE(device.call(LONGPIN_PIN, &arguments) == 0);
    longpin_query query{};
    REQUIRE(device.query(arguments.out_handle, query) == 0);
    CHECK(query.out_cookie == 0x0123456789abcdef);
    CHECK(query.out_pin_flags == LONGPIN_PIN_WRITE);
    CHECK(query.out_kinds == LONGPIN_KIND_ANON);
}

TEST_CASE("extents cover the range without gap or overlap, however many are asked for at once") {
    const raw_device device;
    const mapping memory = mapping::advised(700 * page, MADV_NOHUGEPAGE);
    // Every other page comes later, so that neighbours are not contiguous.
    for (std::size_t i = 0; i < 700; i += 2) {
        *memory.at(i * page) = std::byte{1};
    }
    const std::uint64_t length = 700 * page - 300;
    const std::uint32_t handle = device.must_pin(memory.at(200), length);
    longpin_query query{};
    REQUIRE(device.query(handle, query) == 0);

    for (const std::uint32_t at_once : {1U, 7U, 10000U}) {
        const auto extents = device.extents(handle, at_once);
        CHECK(extents.size() == query.out_runs);
        std::uint64_t offset = 0;
        for (const longpin_extent& extent : extents) {
            REQUIRE(extent.offset == offset);
            REQUIRE(extent.length > 0);
            // Where in a page a byte lies is the same in both address spaces.
            REQUIRE(extent.phys % page == (offset + 200) % page);
            REQUIRE(extent.phys != 0);
            offset += extent.length;
        }
        CHECK(offset == length);
    }
    // More runs than one block of records holds.
    CHECK(query.out_runs > 254);
    CHECK(query.out_bookkeeping < query.out_runs * 17 + 8192);
}

TEST_CASE("memory in one piece costs a few records only", "[devdax]") {
    const raw_device device;
    const mapping memory = map_devdax("devdax_1g", GiB);
    longpin_pin answer{};
    REQUIRE(device.pin(memory.data(), memory.length(), 0, answer) == 0);
    CHECK(answer.out_pages == GiB / page);
    CHECK(answer.out_runs == 1);
    // The debug kernel's locks are larger.
    CHECK(answer.out_bookkeeping < (rounds(10) == 10 ? 512 : 1024));
}

TEST_CASE("extents can start anywhere in the range") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    const auto whole = device.extents(handle);
    longpin_extent extent{};
    for (const std::uint64_t offset : {1UL, page - 1, page, 3 * page + 17}) {
        auto arguments = request<longpin_extents>();
        arguments.handle = handle;
        arguments.offset = offset;
        arguments.count = 1;
        arguments.buffer = reinterpret_cast<std::uintptr_t>(&extent);
        REQUIRE(device.call(LONGPIN_EXTENTS, &arguments) == 0);
        CHECK(arguments.out_count == 1);
        CHECK(extent.offset == offset);
        CHECK(arguments.out_next == offset + extent.length);
        for (const longpin_extent& around : whole) {
            if (offset >= around.offset && offset < around.offset + around.length) {
                CHECK(extent.phys == around.phys + (offset - around.offset));
                CHECK(extent.length == around.length - (offset - around.offset));
            }
        }
    }
}

TEST_CASE("COPY reads and writes across page and run boundaries") {
    const raw_device device;
    const mapping memory = mapping::anonymous(300 * page);
    memory.fill(1);
    const std::uint32_t handle = device.must_pin(memory.at(50), 299 * page, LONGPIN_PIN_WRITE);
    std::vector<std::byte> copy(5 * page);
    for (const std::uint64_t offset :
         {0UL, 1UL, page - 51, page - 50, 150 * page + 3, 299 * page - copy.size()}) {
        INFO("offset " << offset);
        REQUIRE(device.read(handle, offset, copy.data(), copy.size()) == 0);
        CHECK(has_pattern(copy.data(), copy.size(), offset + 50));
    }
    std::iota(reinterpret_cast<std::uint8_t*>(copy.data()),
              reinterpret_cast<std::uint8_t*>(copy.data()) + copy.size(), std::uint8_t{0});
    REQUIRE(device.write(handle, 1000, copy.data(), copy.size()) == 0);
    CHECK(std::memcmp(memory.at(1050), copy.data(), copy.size()) == 0);
    CHECK(has_pattern(memory.data(), 1050));
    CHECK(has_pattern(memory.at(1050 + copy.size()), page, 1050 + copy.size()));
}

TEST_CASE("overlapping pins are independent, in one context and in two") {
    const raw_device one;
    const raw_device two;
    mapping memory = mapping::anonymous(8 * page);
    memory.fill();
    const std::uint32_t a = one.must_pin(memory.data(), 6 * page);
    const std::uint32_t b = one.must_pin(memory.at(2 * page), 6 * page);
    const std::uint32_t same = one.must_pin(memory.data(), 6 * page);
    const std::uint32_t c = two.must_pin(memory.at(page), 6 * page);
    CHECK(a != b);
    CHECK(a != same);
    CHECK(vm_pin() == 24 * page);

    // A handle means nothing in another context.
    longpin_query is{};
    std::byte byte{};
    CHECK(two.unpin(same) == ENOENT);
    CHECK(two.query(same, is) == ENOENT);
    CHECK(two.read(same, 0, &byte, 1) == ENOENT);

    memory.unmap();
    REQUIRE(one.unpin(a) == 0);
    std::vector<std::byte> copy(6 * page);
    REQUIRE(one.read(b, 0, copy.data(), copy.size()) == 0);
    CHECK(has_pattern(copy.data(), copy.size(), 2 * page));
    REQUIRE(one.unpin(b) == 0);
    REQUIRE(one.read(same, 0, copy.data(), copy.size()) == 0);
    CHECK(has_pattern(copy.data(), copy.size(), 0));
    REQUIRE(two.read(c, 0, copy.data(), copy.size()) == 0);
    CHECK(has_pattern(copy.data(), copy.size(), page));
    CHECK(vm_pin() == 12 * page);
}

TEST_CASE("a range over several mappings of one kind is one pin") {
    const raw_device device;
    const mapping memory = mapping::anonymous(1030 * page);
    memory.fill();
    for (std::size_t i = 0; i < 1030; i += 3) { // each protection change splits the mapping
        REQUIRE(::mprotect(memory.at(i * page), page, PROT_READ) == 0);
    }
    longpin_pin answer{};
    REQUIRE(device.pin(memory.data(), memory.length(), 0, answer) == 0);
    CHECK(answer.out_pages == 1030);
    std::vector<std::byte> copy(memory.length());
    REQUIRE(device.read(answer.out_handle, 0, copy.data(), copy.size()) == 0);
    CHECK(has_pattern(copy.data(), copy.size()));
    CHECK(device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE, answer) == EFAULT);
    CHECK(answer.out_reason == LONGPIN_REASON_NOT_WRITABLE);
}
