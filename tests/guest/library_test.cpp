// SPDX-License-Identifier: MIT
// The C++ library against the real module (the unit tests have a fake one).
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iterator>

using namespace guest;

namespace {

std::span<std::byte> bytes_of(const mapping& memory) {
    return {memory.data(), memory.length()};
}

} // namespace

TEST_CASE("library: a pin keeps memory readable and writable after it was unmapped") {
    mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    const longpin::device device;
    longpin::pin pin = device.pin_writable(bytes_of(memory), {.cookie = 42});
    CHECK(pin.footprint().pages == 4);
    CHECK(pin.footprint().kinds == longpin::memory_kind::anon);
    CHECK(pin.query().cookie == 42);
    CHECK(pin.query().writable);
    memory.unmap();

    std::vector<std::byte> copy(4 * page);
    pin.read(0, copy);
    CHECK(has_pattern(copy.data(), copy.size()));
    const std::vector<std::byte> letters(100, std::byte{'x'});
    pin.write(page - 50, letters);
    pin.read(0, copy);
    CHECK(std::memcmp(copy.data() + page - 50, letters.data(), letters.size()) == 0);

    pin.unpin();
    CHECK_FALSE(pin);
    CHECK(vm_pin() == 0);
}

TEST_CASE("library: pins outlive the device object and end with themselves") {
    const mapping memory = mapping::anonymous(4 * page);
    {
        const longpin::pin pin = longpin::device().pin(bytes_of(memory));
        CHECK(vm_pin() == 4 * page);
        CHECK(pin.query().footprint == pin.footprint());
    }
    CHECK(vm_pin() == 0);
}

TEST_CASE("library: the extents of a pin cover it") {
    const mapping memory = mapping::anonymous(500 * page);
    const longpin::pin pin = longpin::device().pin(bytes_of(memory));
    std::uint64_t next = 0;
    for (const longpin::extent& extent : pin.extents()) {
        REQUIRE(extent.offset == next);
        next += extent.length;
    }
    CHECK(next == memory.length());
}

TEST_CASE("library: the extents of a fragmented pin are listed one by one, over many calls") {
    // One page, mapped again and again: no two pages of the range are neighbours.
    constexpr std::size_t pages = 1000;
    const file data = temporary_file("/dev/shm", page);
    const mapping memory(pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    for (std::size_t offset = 0; offset < memory.length(); offset += page) {
        REQUIRE(::mmap(memory.at(offset), page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                       data.get(), 0) != MAP_FAILED);
    }
    const longpin::pin pin = longpin::device().pin(bytes_of(memory).subspan(1));
    CHECK(pin.footprint().runs == pages);
    std::uint64_t next = 0;
    std::uint64_t count = 0;
    for (const longpin::extent& extent : pin.extents()) {
        REQUIRE(extent.offset == next);
        REQUIRE(extent.physical_address % page == (count == 0 ? 1 : 0));
        next += extent.length;
        count++;
    }
    CHECK(next == pin.length());
    CHECK(count == pages);
}

TEST_CASE("library: extents that the caller has room for are listed from where it says") {
    const mapping memory = mapping::anonymous(4 * page);
    const longpin::pin pin = longpin::device().pin(bytes_of(memory));
    std::vector<longpin::extent> room(1);
    const auto listed = pin.try_extents(page + 1, room);
    REQUIRE(listed);
    CHECK(listed->extents.size() == 1);
    CHECK(room[0].offset == page + 1);
    CHECK(pin.try_extents(pin.length(), room)->extents.empty());
    CHECK(pin.try_extents(pin.length() + 1, room).error().code().value() == EINVAL);
}

TEST_CASE("library: fs-DAX is refused with an error that explains itself") {
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    try {
        const longpin::pin pin = longpin::device().pin(bytes_of(memory));
        FAIL("it was pinned");
    } catch (const longpin::error& refused) {
        CHECK(refused.code().value() == EOPNOTSUPP);
        CHECK(refused.reason() == longpin::reason::fsdax);
        CHECK(refused.bad_address() == reinterpret_cast<std::uintptr_t>(memory.data()));
        CHECK_THAT(refused.what(), Catch::Contains("device-DAX"));
    }
    const longpin::check_result answer = longpin::device().check(bytes_of(memory));
    CHECK(std::get<longpin::error>(answer).reason() == longpin::reason::fsdax);
}

TEST_CASE("library: fs-DAX is refused without an exception to who forbids them") {
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    const auto device = longpin::device::try_open();
    REQUIRE(device);
    const auto tried = device->try_pin_writable(bytes_of(memory));
    REQUIRE_FALSE(tried);
    CHECK(tried.error().code().value() == EOPNOTSUPP);
    CHECK(tried.error().reason() == longpin::reason::fsdax);
    CHECK(tried.error().bad_address() == reinterpret_cast<std::uintptr_t>(memory.data()));
    CHECK(device->try_check(bytes_of(memory)).error().reason() == longpin::reason::fsdax);
}

TEST_CASE("library: the limit is explained with its figures") {
    const longpin::device device;
    const mapping sentence = mapping::shared_anonymous(page);
    const auto [reason, limit, used, asked] = as_ordinary_user([&] {
        struct {
            longpin::reason reason;
            std::uint64_t limit, used, asked;
        } got{};
        set_memlock_limit(8 * page);
        const mapping memory = mapping::anonymous(16 * page);
        const longpin::pin first = device.pin(bytes_of(memory).first(6 * page));
        try {
            const longpin::pin second = device.pin(bytes_of(memory).first(3 * page));
        } catch (const longpin::error& refused) {
            got = {refused.reason(), refused.limit().value(), refused.used().value(),
                   refused.asked().value()};
            std::strncpy(sentence.as<char>(), refused.what(), page - 1);
        }
        return got;
    });
    CHECK(reason == longpin::reason::memlock);
    CHECK(limit == 8 * page);
    CHECK(used == 6 * page);
    CHECK(asked == 3 * page);
    CHECK_THAT(sentence.as<char>(), Catch::Contains("RLIMIT_MEMLOCK allows 32 KiB for user 1000") &&
                                        Catch::Contains("24 KiB") && Catch::Contains("12 KiB"));
}

TEST_CASE("library: a device that was passed on is adopted with its pins") {
    const mapping memory = mapping::anonymous(page);
    longpin::pin pin = longpin::device().pin(bytes_of(memory));
    const std::uint32_t handle = pin.detach(); // and with it goes the file, and the pin
    CHECK(handle != 0);
    CHECK(vm_pin() == 0);

    raw_device raw;
    raw.must_pin(memory.data(), page);
    const longpin::device adopted =
        longpin::device::adopt(::fcntl(raw.descriptor(), F_DUPFD_CLOEXEC, 0));
    raw.close();
    CHECK(adopted.info().pins.used == 1);
    CHECK(vm_pin() == page);
}

TEST_CASE("library: a pinned buffer is pinned memory for as long as it lives", "[thp]") {
    struct row {
        longpin::huge_pages huge;
        std::size_t size;
        longpin::memory_kind kind;
        std::uint64_t most_runs;
    };
    constexpr std::size_t huge = 2U << 20U;
    const auto [kind_of_pages, size, kind, most_runs] = GENERATE(
        row{longpin::huge_pages::none, 10 * page, longpin::memory_kind::anon, 10},
        row{longpin::huge_pages::transparent, 2 * huge, longpin::memory_kind::anon, 2},
        row{longpin::huge_pages::hugetlb_2m, huge + page, longpin::memory_kind::hugetlb, 2});
    const longpin::device device;
    {
        const longpin::pinned_buffer buffer(device, size, {.huge = kind_of_pages, .cookie = 9});
        CHECK(buffer.bytes().size() == size);
        CHECK(vm_pin() == size);
        const longpin::pin_info info = buffer.pin().query();
        CHECK(info.footprint.kinds == kind);
        CHECK(info.footprint.runs <= most_runs);
        CHECK(info.cookie == 9);
        CHECK(info.writable);

        std::vector<std::byte> bytes(2, std::byte{5});
        buffer.pin().write(size - 2, bytes);
        CHECK(buffer.bytes()[size - 1] == std::byte{5});
        buffer.bytes()[size - 1] = std::byte{6};
        buffer.pin().read(size - 2, bytes);
        CHECK(bytes[1] == std::byte{6});
    }
    CHECK(vm_pin() == 0);
    CHECK(device.info().pins.used == 0);
}

TEST_CASE("library: a buffer of more huge pages than there are says so, and leaves nothing") {
    const longpin::device device;
    const auto tried = longpin::pinned_buffer::try_make(device, std::size_t{1} << 40U,
                                                        {.huge = longpin::huge_pages::hugetlb_2m});
    REQUIRE_FALSE(tried);
    CHECK(tried.error().code().value() == ENOMEM);
    CHECK_THAT(tried.error().what(), Catch::Contains("1 TiB of 2 MiB huge page memory") &&
                                         Catch::Contains("reserve more"));
    CHECK(vm_pin() == 0);
}

TEST_CASE("library: a buffer beyond the limit is refused, and leaves nothing mapped") {
    const longpin::device device;
    const auto [reason, mapped_more] = as_ordinary_user([&] {
        set_memlock_limit(8 * page);
        const auto mappings = [] {
            std::ifstream maps("/proc/self/maps");
            return std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
        };
        struct {
            longpin::reason reason;
            std::ptrdiff_t mapped_more;
        } got{};
        const auto before = mappings();
        const auto tried = longpin::pinned_buffer::try_make(device, 64U << 20U);
        got.reason = tried ? longpin::reason::none : tried.error().reason();
        got.mapped_more = mappings() - before;
        return got;
    });
    CHECK(reason == longpin::reason::memlock);
    CHECK(mapped_more == 0);
}

TEST_CASE("library: a vector's elements stay pinned while it grows, and no longer than it") {
    const longpin::pinned_allocator<std::uint64_t> allocator{longpin::device()};
    {
        std::vector<std::uint64_t, longpin::pinned_allocator<std::uint64_t>> numbers(allocator);
        numbers.reserve(page);
        CHECK(vm_pin() == page * sizeof(std::uint64_t));
        for (std::uint64_t i = 0; i < 3 * page; i++) {
            numbers.push_back(i);
        }
        std::uint64_t last = 0;
        const longpin::pin& pin = allocator.pin_of(numbers.data());
        pin.read((numbers.size() - 1) * sizeof(last), std::as_writable_bytes(std::span(&last, 1)));
        CHECK(last == 3 * page - 1);
        CHECK(vm_pin() == numbers.capacity() * sizeof(last));
    }
    CHECK(vm_pin() == 0);
}

TEST_CASE("library: a range that is pinned in pieces is held as a whole, or not at all") {
    constexpr std::size_t piece = 2 * MiB;
    mapping memory = mapping::advised(16 * piece, MADV_NOHUGEPAGE);
    const longpin::device device;
    const long held_before = pinned_pages();
    {
        std::uint64_t seen = 0;
        const auto pins = longpin::pin_parallel_writable(
            device, bytes_of(memory),
            {.threads = 4, .progress = [&](std::uint64_t done, std::uint64_t total) {
                 seen = done;
                 return done <= total;
             }});
        CHECK(pins.size() == 16);
        CHECK(seen == memory.length());
        CHECK(vm_pin() == memory.length());
        memory.fill();
        std::vector<std::byte> copy(page);
        for (const longpin::pin& pin : pins) {
            pin.read(0, copy);
            CHECK(has_pattern(copy.data(), copy.size(),
                              pin.address() - reinterpret_cast<std::uintptr_t>(memory.data())));
        }
    }
    CHECK(vm_pin() == 0);

    const file fsdax = temporary_file(backing("xfs_dax"), page);
    REQUIRE(::mmap(memory.at(7 * piece), page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   fsdax.get(), 0) == memory.at(7 * piece));
    memory.unmap_part(12 * piece, page);
    const auto refused =
        longpin::try_pin_parallel_writable(device, bytes_of(memory), {.threads = 4});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().reason() == longpin::reason::fsdax);
    CHECK(refused.error().bad_address() == reinterpret_cast<std::uintptr_t>(memory.at(7 * piece)));
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
    CHECK(device.info().pins.used == 0);
}
