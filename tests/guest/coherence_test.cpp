// SPDX-License-Identifier: MIT
// A pin holds the page that the process sees, also later.
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <cstring>

using namespace guest;

namespace {

/// What the process writes after a pin for reading is seen through the pin.
void check_later_write_is_seen(const mapping& memory) {
    const raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length());
    std::memset(memory.data(), 0x61, memory.length());
    std::vector<char> copy(memory.length());
    REQUIRE(device.read(handle, 0, copy.data(), copy.size()) == 0);
    CHECK(copy == std::vector<char>(memory.length(), 0x61));
}

} // namespace

TEST_CASE("a pin for reading of untouched anonymous memory sees what is written later") {
    check_later_write_is_seen(mapping::anonymous(8 * page));
}

TEST_CASE("a pin for reading of memory that was only read so far sees what is written later") {
    const mapping memory = mapping::anonymous(8 * page);
    for (std::size_t i = 0; i < 8; i++) { // maps the shared zero page
        REQUIRE(*static_cast<volatile std::byte*>(memory.at(i * page)) == std::byte{0});
    }
    check_later_write_is_seen(memory);
}

TEST_CASE("a pin for reading of an untouched private file mapping sees what is written later") {
    const file data = temporary_file(backing("ext4"), 8 * page);
    check_later_write_is_seen({8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, data.get()});
}

TEST_CASE("a pin for reading of a read-only private mapping sees what is written later") {
    const file data = temporary_file(backing("xfs"), 8 * page);
    const mapping memory(8 * page, PROT_READ, MAP_PRIVATE, data.get());
    const raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length());
    memory.protect(PROT_READ | PROT_WRITE);
    std::memset(memory.data(), 0x61, memory.length());
    std::vector<char> copy(memory.length());
    REQUIRE(device.read(handle, 0, copy.data(), copy.size()) == 0);
    CHECK(copy == std::vector<char>(memory.length(), 0x61));
}

TEST_CASE("a pin for reading of a read-only private hugetlb mapping sees what is written later") {
    const bool of_a_file = GENERATE(false, true);
    CAPTURE(of_a_file);
    const file data(::memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB));
    must(::ftruncate(data.get(), 2 * MiB) == 0, "ftruncate");
    const mapping shared(2 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    shared.fill();
    const mapping memory =
        of_a_file ? mapping(2 * MiB, PROT_READ, MAP_PRIVATE, data.get())
                  : mapping(2 * MiB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);
    const raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length());
    memory.protect(PROT_READ | PROT_WRITE);
    memory.fill(2);
    std::vector<std::byte> copy(memory.length());
    REQUIRE(device.read(handle, 0, copy.data(), copy.size()) == 0);
    // Before 6.2 the pin holds the file's page.
    const bool parted = of_a_file && running_kernel() < kernel_version{6, 2};
    CHECK(has_pattern(copy.data(), copy.size(), 0, parted ? 1 : 2));
}

TEST_CASE("memory that was write-protected for a while stays what the pin holds") {
    const std::uint32_t flags = GENERATE(0U, LONGPIN_PIN_WRITE);
    const bool by_mprotect = GENERATE(true, false);
    CAPTURE(flags, by_mprotect);
    const raw_device device;
    const mapping memory = mapping::small(8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), flags);
    if (by_mprotect) {
        memory.protect(PROT_READ);
        memory.protect(PROT_READ | PROT_WRITE);
    } else {
        must(write_line("/proc/self/clear_refs", "4") == 0, "clear_refs"); // soft-dirty
    }
    memory.fill(2);
    std::byte copy[8 * page];
    REQUIRE(device.read(handle, 0, copy, sizeof(copy)) == 0);
    CHECK(has_pattern(copy, sizeof(copy), 0, 2));
}

TEST_CASE("writing to a pin of a private file mapping leaves the file as it is") {
    const file data = temporary_file(backing("ext4"), page);
    const mapping shared(page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    shared.fill();
    const mapping memory(page, PROT_READ | PROT_WRITE, MAP_PRIVATE, data.get());
    const raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), page, LONGPIN_PIN_WRITE);
    const std::vector<char> zeros(page);
    REQUIRE(device.write(handle, 0, zeros.data(), page) == 0);
    CHECK(std::memcmp(memory.data(), zeros.data(), page) == 0);
    CHECK(has_pattern(shared.data(), page));
}

TEST_CASE("a pin for reading of a shared file mapping sees what others write to the file") {
    const file data = temporary_file(backing("ext4"), 4 * page);
    const mapping memory(4 * page, PROT_READ, MAP_SHARED, data.get());
    const raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    const mapping writer(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    writer.fill();
    std::byte copy[4 * page];
    REQUIRE(device.read(handle, 0, copy, sizeof(copy)) == 0);
    CHECK(has_pattern(copy, sizeof(copy)));
}

TEST_CASE("after a fork the pin stays with the pages of the process that made it") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    memory.fill(1);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, LONGPIN_PIN_WRITE);
    gate written;
    child forked([&] {
        memory.fill(2);
        written.open();
    });
    written.pass();
    memory.fill(3);
    std::byte copy[4 * page];
    REQUIRE(device.read(handle, 0, copy, sizeof(copy)) == 0);
    CHECK(has_pattern(copy, sizeof(copy), 0, 3));
    CHECK(forked.wait());
}

TEST_CASE("MADV_DONTNEED parts the process from the pin, which keeps the old pages") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    REQUIRE(::madvise(memory.data(), 4 * page, MADV_DONTNEED) == 0);
    CHECK(*memory.as<std::uint64_t>() == 0);
    std::byte copy[4 * page];
    REQUIRE(device.read(handle, 0, copy, sizeof(copy)) == 0);
    CHECK(has_pattern(copy, sizeof(copy)));
}

TEST_CASE("pages of a pin for writing are written back to their swap file or tmpfs as dirty") {
    // What a device wrote must not be lost when the page leaves memory: shmem pages that are
    // not dirty may be dropped. The pin marks them on release; /proc/self/pagemap can't tell,
    // /proc/kpageflags can.
    const file flags = open_file("/proc/kpageflags", 0);
    const raw_device device;
    for (const std::uint32_t lease : {0U, LONGPIN_PIN_LEASE}) {
        const mapping memory = mapping::shared_anonymous(page);
        REQUIRE(*static_cast<volatile std::byte*>(memory.data()) == std::byte{0});
        const std::uint32_t handle =
            device.must_pin(memory.data(), page, LONGPIN_PIN_WRITE | lease);
        const std::uint64_t frame = device.extents(handle).at(0).phys / page;
        REQUIRE(device.unpin(handle) == 0);
        std::uint64_t bits = 0;
        REQUIRE(::pread(flags.get(), &bits, sizeof(bits), static_cast<off_t>(frame * 8)) == 8);
        constexpr std::uint64_t dirty = 1U << 4; // KPF_DIRTY
        CHECK((bits & dirty) != 0);
    }
}
