// SPDX-License-Identifier: MIT
// Bad input gets the errno that the contract names, and changes nothing.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"
#include "support/page_table.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <span>

using namespace guest;

namespace {

/// A pin of one page, refused; returns the reason.
std::uint32_t refused_with(const raw_device& device, longpin_pin arguments, int err) {
    CHECK(device.call(LONGPIN_PIN, &arguments) == err);
    CHECK(arguments.out_handle == 0);
    CHECK(device.info().out_max_pins_used == 0);
    CHECK(vm_pin() == 0);
    return arguments.out_reason;
}

longpin_pin pin_of(const mapping& memory) {
    auto arguments = request<longpin_pin>();
    arguments.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    arguments.length = memory.length();
    return arguments;
}

} // namespace

TEST_CASE("PIN of nothing gets EINVAL, reason zero length") {
    const mapping memory = mapping::anonymous(page);
    auto arguments = pin_of(memory);
    arguments.length = 0;
    CHECK(refused_with(raw_device(), arguments, EINVAL) == LONGPIN_REASON_ZERO_LENGTH);
}

TEST_CASE("PIN of a range that wraps around gets EINVAL, reason wraps") {
    const mapping memory = mapping::anonymous(page);
    auto arguments = pin_of(memory);
    arguments.length = ~0ULL;
    CHECK(refused_with(raw_device(), arguments, EINVAL) == LONGPIN_REASON_WRAPS);
    arguments.addr = ~0ULL;
    arguments.length = 2;
    CHECK(refused_with(raw_device(), arguments, EINVAL) == LONGPIN_REASON_WRAPS);
}

TEST_CASE("PIN with an unknown flag gets EINVAL, reason flags") {
    const mapping memory = mapping::anonymous(page);
    const raw_device device;
    const std::uint32_t known = device.info().out_pin_flags;
    for (int bit = 0; bit < 32; bit++) {
        auto arguments = pin_of(memory);
        arguments.flags = 1U << bit;
        if (!(known & arguments.flags)) {
            CHECK(refused_with(device, arguments, EINVAL) == LONGPIN_REASON_FLAGS);
        }
    }
    CHECK(known ==
          (LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD));
}

TEST_CASE("PIN with a reserved member set gets EINVAL, reason reserved") {
    const mapping memory = mapping::anonymous(page);
    auto arguments = pin_of(memory);
    arguments.__reserved = 1;
    CHECK(refused_with(raw_device(), arguments, EINVAL) == LONGPIN_REASON_RESERVED);
}

TEST_CASE("PIN of the last byte of the 64-bit address space gets EFAULT, reason hole") {
    auto arguments = request<longpin_pin>();
    arguments.addr = ~0ULL;
    arguments.length = 1;
    CHECK(refused_with(raw_device(), arguments, EFAULT) == LONGPIN_REASON_HOLE);
}

TEST_CASE("PIN of a length as large as the address space gets EFAULT at the end of the mapping") {
    const mapping memory = mapping::anonymous(2 * page);
    memory.unmap_part(page, page);
    auto arguments = pin_of(memory);
    arguments.length = 1ULL << 62;
    const raw_device device;
    CHECK(device.call(LONGPIN_PIN, &arguments) == EFAULT);
    CHECK(arguments.out_reason == LONGPIN_REASON_HOLE);
    CHECK(arguments.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(page)));
}

TEST_CASE("PIN of kernel addresses gets EFAULT, reason hole") {
    auto arguments = request<longpin_pin>();
    arguments.addr = 0xffff888000000000;
    arguments.length = page;
    CHECK(refused_with(raw_device(), arguments, EFAULT) == LONGPIN_REASON_HOLE);
}

TEST_CASE("PIN of memory that may not be read gets EFAULT, reason not readable") {
    const mapping memory(4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    CHECK(refused_with(raw_device(), pin_of(memory), EFAULT) == LONGPIN_REASON_NOT_READABLE);
}

TEST_CASE("PIN beyond the end of a file gets EFAULT at its first page that is not there") {
    const file data = temporary_file("/dev/shm", 3 * page);
    const mapping memory(8 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    const raw_device device;
    const long held_before = pinned_pages();
    auto arguments = pin_of(memory);
    CHECK(device.call(LONGPIN_PIN, &arguments) == EFAULT);
    CHECK(arguments.out_reason == LONGPIN_REASON_FAULT);
    CHECK(arguments.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(3 * page)));
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("a structure that can't be read gets EFAULT") {
    const raw_device device;
    CHECK(device.call(LONGPIN_PIN, nullptr) == EFAULT);
    CHECK(device.call(LONGPIN_INFO, reinterpret_cast<void*>(0xffff888000000000)) == EFAULT);
}

TEST_CASE("PIN whose answer can't be written gets EFAULT and leaves nothing pinned") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    const mapping arguments = mapping::anonymous(page);
    *arguments.as<longpin_pin>() = pin_of(memory);
    arguments.protect(PROT_READ);
    const long held_before = pinned_pages();
    CHECK(device.call(LONGPIN_PIN, arguments.data()) == EFAULT);
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
    CHECK(device.info().out_max_pins_used == 0);
}

TEST_CASE("a handle that was never given or was given up gets ENOENT") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t gone = device.must_pin(memory.data(), page);
    REQUIRE(device.unpin(gone) == 0);

    for (const std::uint32_t handle : {0U, gone, gone + 1, 0x7fffffffU, 0x80000000U, ~0U}) {
        INFO("handle " << handle);
        longpin_query query{};
        std::byte byte{};
        auto extents = request<longpin_extents>();
        extents.handle = handle;
        CHECK(device.unpin(handle) == ENOENT);
        CHECK(device.query(handle, query) == ENOENT);
        CHECK(device.read(handle, 0, &byte, 1) == ENOENT);
        CHECK(device.call(LONGPIN_EXTENTS, &extents) == ENOENT);
    }
}

TEST_CASE("a handle is not given out again soon") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t first = device.must_pin(memory.data(), page);
    REQUIRE(device.unpin(first) == 0);
    for (int i = 0; i < 100; i++) {
        const std::uint32_t next = device.must_pin(memory.data(), page);
        REQUIRE(next != first);
        REQUIRE(device.unpin(next) == 0);
    }
}

TEST_CASE("flags and reserved members of every other ioctl get EINVAL") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    const auto refused = [&](unsigned long command, auto arguments, auto spoil) {
        spoil(arguments);
        return device.call(command, &arguments);
    };
    const auto with_handle = [&](auto arguments) {
        arguments.handle = handle;
        return arguments;
    };
    const auto info = request<longpin_info>();
    const auto unpin = with_handle(request<longpin_unpin>());
    const auto query = with_handle(request<longpin_query>());
    const auto copy = with_handle(request<longpin_copy>());
    const auto extents = with_handle(request<longpin_extents>());
    const auto bad_flag = [](auto& arguments) { arguments.flags = 1U << 31; };
    const auto reserved = [](auto& arguments) { arguments.__reserved = 1; };

    CHECK(refused(LONGPIN_INFO, info, bad_flag) == EINVAL);
    CHECK(refused(LONGPIN_UNPIN, unpin, bad_flag) == EINVAL);
    CHECK(refused(LONGPIN_UNPIN, unpin, reserved) == EINVAL);
    CHECK(refused(LONGPIN_QUERY, query, bad_flag) == EINVAL);
    CHECK(refused(LONGPIN_QUERY, query, reserved) == EINVAL);
    CHECK(refused(LONGPIN_COPY, copy, bad_flag) == EINVAL);
    CHECK(refused(LONGPIN_COPY, copy, reserved) == EINVAL);
    CHECK(refused(LONGPIN_EXTENTS, extents, bad_flag) == EINVAL);
    CHECK(refused(LONGPIN_EXTENTS, extents, reserved) == EINVAL);
    CHECK(device.unpin(handle) == 0); // it is still there
}

TEST_CASE("COPY outside of the pin gets EINVAL, and a copy of nothing too") {
    const raw_device device;
    const mapping memory = mapping::anonymous(2 * page);
    std::byte buffer[2 * page];
    const std::uint64_t length = page + 10;
    const std::uint32_t handle = device.must_pin(memory.at(5), length, LONGPIN_PIN_WRITE);

    CHECK(device.read(handle, 0, buffer, length) == 0);
    CHECK(device.read(handle, 0, buffer, length + 1) == EINVAL);
    CHECK(device.read(handle, length - 1, buffer, 1) == 0);
    CHECK(device.read(handle, length, buffer, 1) == EINVAL);
    CHECK(device.read(handle, 1, buffer, length) == EINVAL);
    CHECK(device.read(handle, ~0ULL, buffer, 2) == EINVAL);
    CHECK(device.read(handle, 2, buffer, ~0ULL - 1) == EINVAL);
    CHECK(device.read(handle, 0, buffer, 0) == EINVAL);
    CHECK(device.write(handle, length, buffer, 1) == EINVAL);
}

TEST_CASE("COPY to a pin for reading gets EPERM and writes nothing") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    const std::uint64_t word = 0;
    CHECK(device.write(handle, 0, &word, sizeof(word)) == EPERM);
    CHECK(has_pattern(memory.data(), page));
}

TEST_CASE("COPY with a buffer that is not there gets EFAULT") {
    const raw_device device;
    const mapping memory = mapping::anonymous(4 * page);
    const mapping read_only(page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, LONGPIN_PIN_WRITE);
    CHECK(device.read(handle, 0, nullptr, page) == EFAULT);
    CHECK(device.write(handle, 0, nullptr, page) == EFAULT);
    CHECK(device.read(handle, 0, read_only.data(), page) == EFAULT);
    CHECK(device.read(handle, 0, reinterpret_cast<void*>(0xffff888000000000), page) == EFAULT);
    CHECK(has_pattern(memory.data(), 4 * page));
}

TEST_CASE("COPY into a pin from a buffer that ends half-way leaves the rest as it was") {
    const raw_device device;
    const mapping memory = mapping::anonymous(2 * page);
    memory.fill(1);
    const mapping source = mapping::anonymous(2 * page);
    source.fill(2);
    source.unmap_part(page, page);
    const std::uint32_t handle = device.must_pin(memory.data(), 2 * page, LONGPIN_PIN_WRITE);
    CHECK(device.write(handle, 0, source.at(page - 64), page) == EFAULT);
    CHECK(has_pattern(memory.at(64), 2 * page - 64, 64, 1));
    CHECK(has_pattern(source.at(page - 64), 64, page - 64, 2));
}

TEST_CASE("COPY says how far it got, be it all, half or nothing of what was asked for") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page, LONGPIN_PIN_WRITE);
    const mapping buffer = mapping::anonymous(4 * page);
    buffer.fill();
    buffer.unmap_part(3 * page, page);
    for (const std::uint32_t flags : {0U, LONGPIN_COPY_WRITE}) {
        auto arguments = request<longpin_copy>();
        arguments.flags = flags;
        arguments.handle = handle;
        arguments.offset = 10;
        arguments.buffer = reinterpret_cast<std::uintptr_t>(buffer.data());
        arguments.length = 2 * page;
        CHECK(device.call(LONGPIN_COPY, &arguments) == 0);
        CHECK(arguments.out_copied == 2 * page);
        arguments.length = 4 * page - 10;
        CHECK(device.call(LONGPIN_COPY, &arguments) == EFAULT);
        CHECK(arguments.out_copied == 3 * page);
        arguments.length = 4 * page;
        CHECK(device.call(LONGPIN_COPY, &arguments) == EINVAL);
        CHECK(arguments.out_copied == 0);
    }
    // An answer that can't be delivered is found out before anything is copied. A caller that
    // doesn't know of out_copied may keep its request where nothing can be written to.
    memory.fill(1);
    const mapping unwritable(page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    auto* const arguments = unwritable.as<longpin_copy>();
    *arguments = request<longpin_copy>();
    arguments->flags = LONGPIN_COPY_WRITE;
    arguments->handle = handle;
    const mapping source = mapping::anonymous(page);
    source.fill(2);
    arguments->buffer = reinterpret_cast<std::uintptr_t>(source.data());
    arguments->length = page;
    unwritable.protect(PROT_READ);
    CHECK(device.call(LONGPIN_COPY, arguments) == EFAULT);
    CHECK(has_pattern(memory.data(), page, 0, 1));
    unwritable.protect(PROT_READ | PROT_WRITE);
    arguments->size = offsetof(longpin_copy, out_copied);
    unwritable.protect(PROT_READ);
    CHECK(device.call(LONGPIN_COPY, arguments) == 0);
    CHECK(has_pattern(memory.data(), page, 0, 2));
}

TEST_CASE("EXTENTS says how far it got when its buffer ends half-way") {
    const raw_device device;
    constexpr std::size_t pages = 400; // every other one, listed by 64
    const mapping memory = mapping::small(pages * page);
    const mapping buffer = mapping::anonymous(2 * page);
    buffer.unmap_part(page, page);
    auto arguments = request<longpin_extents>();
    arguments.handle = device.must_pin(memory.data(), memory.length(), leased);
    for (std::size_t i = 0; i < pages; i += 2) {
        REQUIRE(device.let_go(arguments.handle, i * page, page) == 0);
    }
    arguments.count = pages;
    arguments.buffer = reinterpret_cast<std::uintptr_t>(buffer.data());
    CHECK(device.call(LONGPIN_EXTENTS, &arguments) == EFAULT);
    REQUIRE(arguments.out_count > 0);
    CHECK(arguments.out_count <= page / sizeof(longpin_extent));
    const auto& last = buffer.as<longpin_extent>()[arguments.out_count - 1];
    CHECK(arguments.out_next == last.offset + last.length);
}

TEST_CASE("EXTENTS beyond the end gets EINVAL, at the end nothing is left") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    auto arguments = request<longpin_extents>();
    arguments.handle = device.must_pin(memory.data(), 100);
    arguments.offset = 101;
    CHECK(device.call(LONGPIN_EXTENTS, &arguments) == EINVAL);
    arguments.offset = 100;
    CHECK(device.call(LONGPIN_EXTENTS, &arguments) == 0);
    CHECK(arguments.out_count == 0);
    CHECK(arguments.out_next == 100);
}

TEST_CASE("EXTENTS with a buffer that is not there gets EFAULT") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    auto arguments = request<longpin_extents>();
    arguments.handle = device.must_pin(memory.data(), 100);
    arguments.count = 1;
    CHECK(device.call(LONGPIN_EXTENTS, &arguments) == EFAULT);
}

TEST_CASE("EXTENTS and read write their elements, whole, and nothing else") {
    const raw_device device;
    const mapping memory = mapping::runs(3);
    constexpr auto untouched = std::byte{0xa5};
    std::vector<std::byte> buffer(10 * sizeof(longpin_extent), untouched);
    const auto is_rest_untouched = [&](std::size_t written) {
        return std::ranges::all_of(std::span(buffer).subspan(written),
                                   [](std::byte byte) { return byte == untouched; });
    };
    auto arguments = request<longpin_extents>();
    arguments.handle = device.must_pin(memory.data(), memory.length(), LONGPIN_PIN_LEASE);
    arguments.count = 8;
    arguments.buffer = reinterpret_cast<std::uintptr_t>(buffer.data());
    REQUIRE(device.call(LONGPIN_EXTENTS, &arguments) == 0);
    REQUIRE(arguments.out_count == 3);
    CHECK(is_rest_untouched(3 * sizeof(longpin_extent)));
    for (std::size_t i = 0; i < 3; i++) {
        longpin_extent extent{};
        std::memcpy(&extent, &buffer[i * sizeof(extent)], sizeof(extent));
        CHECK(extent.offset == i * page);
        CHECK(extent.length == page);
        CHECK(extent.phys == physical_address(memory.at(i * page)));
    }

    std::ranges::fill(buffer, untouched);
    REQUIRE(::madvise(memory.at(page), page, MADV_REMOVE) == 0);
    REQUIRE(::read(device.descriptor(), buffer.data(), buffer.size()) == sizeof(longpin_event));
    CHECK(is_rest_untouched(sizeof(longpin_event)));
    longpin_event event{};
    std::memcpy(&event, buffer.data(), sizeof(event));
    CHECK(event.size == sizeof(event));
    CHECK(event.type == LONGPIN_EVENT_REVOKED);
    CHECK(event.handle == arguments.handle);
    CHECK(event.cause == LONGPIN_CAUSE_INVALIDATE);
    CHECK(event.cookie == 0);
    CHECK(event.offset == page);
    CHECK(event.length == page);
    CHECK(event.lost == 0);
    CHECK(event.time > 0);
}

TEST_CASE("an ordinary user may not open the device") {
    const int err =
        as_ordinary_user([] { return ::open("/dev/longpin", O_RDWR | O_CLOEXEC) < 0 ? errno : 0; });
    CHECK(err == EACCES);
}

TEST_CASE("a fatal signal ends a long pin, and nothing stays pinned") {
    const raw_device device;
    // Sparse memory that takes seconds to bring in, in a process that is killed meanwhile.
    const std::size_t length = 2 * GiB;
    const long held_before = pinned_pages();
    gate started;
    child pinner([&] {
        const mapping memory = mapping::anonymous(length);
        ::madvise(memory.data(), length, MADV_NOHUGEPAGE);
        started.open();
        device.pin(memory.data(), length);
    });
    started.pass();
    REQUIRE(eventually([&] { return vm_pin(pinner.pid()) != 0; })); // charged: it is under way
    const long under_way = pinned_pages();
    pinner.kill();
    CHECK(under_way - held_before < static_cast<long>(length / page));
    CHECK(pinned_pages() == held_before);
    CHECK(device.info().out_max_pins_used == 0);
    CHECK(device.info().out_max_pages_used == 0);
}
