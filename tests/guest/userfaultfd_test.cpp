// SPDX-License-Identifier: MIT
// Memory whose pages another thread brings in (userfaultfd), as the target of a live migration has:
// a pin asks that thread for them, as a load or a store would, and for no more.
#include "support/child.hpp"
#include "support/held.hpp"
#include "support/mapping.hpp"
#include "support/repeated.hpp"
#include "support/userfaultfd.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <optional>
#include <poll.h>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t pages = 8;
constexpr std::size_t length = pages * page;
constexpr std::byte brought{0x55};

enum class bring { page, zero_page };

/// Answers the faults of some memory, and counts them.
class handler {
public:
    handler(const mapping& memory, std::uint64_t mode, bring what = bring::page)
        : events_(open_userfaultfd()), what_(what) {
        watch(events_, memory, mode);
        serving_.emplace([this] { serve(); });
    }

    void protect(const mapping& memory) const {
        uffdio_writeprotect area{{reinterpret_cast<std::uintptr_t>(memory.data()), memory.length()},
                                 UFFDIO_WRITEPROTECT_MODE_WP};
        must(::ioctl(events_.get(), UFFDIO_WRITEPROTECT, &area) == 0, "UFFDIO_WRITEPROTECT");
    }

    /// So many faults for reading and for writing, of pages that were missing; of those that are
    /// there and only not mapped; and stores to protected pages.
    std::atomic<unsigned> read = 0, written = 0, minor = 0, unprotected = 0;

private:
    void serve() {
        pollfd ready{events_.get(), POLLIN, 0};
        ::poll(&ready, 1, 20);
        uffd_msg message{};
        if (::read(events_.get(), &message, sizeof(message)) == sizeof(message)) {
            const auto& fault = message.arg.pagefault; // NOLINT(*-union-access)
            answer(fault.address & ~std::uint64_t{page - 1}, fault.flags);
        }
    }

    void answer(std::uint64_t at, std::uint64_t flags) {
        const uffdio_range range{at, page};
        if (flags & UFFD_PAGEFAULT_FLAG_WP) {
            unprotected++;
            uffdio_writeprotect area{range, 0};
            ::ioctl(events_.get(), UFFDIO_WRITEPROTECT, &area);
        } else if (flags & UFFD_PAGEFAULT_FLAG_MINOR) {
            minor++;
            uffdio_continue area{range, 0, 0};
            ::ioctl(events_.get(), UFFDIO_CONTINUE, &area);
        } else {
            (flags & UFFD_PAGEFAULT_FLAG_WRITE ? written : read)++;
            if (what_ == bring::zero_page) {
                uffdio_zeropage area{range, 0, 0};
                ::ioctl(events_.get(), UFFDIO_ZEROPAGE, &area);
            } else {
                alignas(page) std::byte content[page];
                std::memset(content, std::to_integer<int>(brought), page);
                uffdio_copy area{at, reinterpret_cast<std::uintptr_t>(content), page, 0, 0};
                ::ioctl(events_.get(), UFFDIO_COPY, &area);
            }
        }
    }

    file events_;
    bring what_;
    std::optional<repeated> serving_; // the last: it uses the others
};

mapping missing(int protection = PROT_READ | PROT_WRITE) {
    return {length, protection, MAP_PRIVATE | MAP_ANONYMOUS};
}

} // namespace

TEST_CASE("userfaultfd: pages that are missing are asked for as by loads or stores, and pinned") {
    const std::uint32_t write = GENERATE(0U, LONGPIN_PIN_WRITE);
    const std::uint32_t lease = GENERATE(0U, LONGPIN_PIN_LEASE);
    const bring what = GENERATE(bring::page, bring::zero_page);
    CAPTURE(write, lease, what == bring::zero_page);
    const raw_device device;
    const mapping memory = missing();
    const handler faults(memory, UFFDIO_REGISTER_MODE_MISSING, what);
    longpin_pin pin{};
    REQUIRE(device.pin(memory.data(), length, write | lease, pin) == 0);
    CHECK(faults.read == (write ? 0 : pages));
    CHECK(faults.written == (write ? pages : 0));
    std::byte copy[length];
    REQUIRE(device.read(pin.out_handle, 0, copy, length) == 0);
    CHECK(copy[5 * page] == (what == bring::page ? brought : std::byte{0}));
    check_coherent(device, pin.out_handle, memory, length);
    CHECK(faults.read + faults.written == pages);
}

TEST_CASE("userfaultfd: read-only memory whose pages are missing is pinned for reading") {
    const raw_device device;
    const mapping memory = missing(PROT_READ);
    const bring what = GENERATE(bring::page, bring::zero_page);
    const handler faults(memory, UFFDIO_REGISTER_MODE_MISSING, what);
    const std::uint32_t handle = device.must_pin(memory.data(), length);
    CHECK(faults.read == pages);
    CHECK(faults.written == 0);
    memory.protect(PROT_READ | PROT_WRITE);
    check_coherent(device, handle, memory, length);
}

TEST_CASE("userfaultfd: a write is asked for only where the holder may write") {
    const raw_device device;
    const std::uint32_t lease = GENERATE(0U, LONGPIN_PIN_LEASE);
    CAPTURE(lease);
    const mapping memory = missing();
    memory.fill();
    const handler faults(memory, UFFDIO_REGISTER_MODE_WP);
    faults.protect(memory);
    const std::uint32_t reading = device.must_pin(memory.data(), length, lease);
    CHECK(faults.unprotected == 0);
    const std::uint32_t writing = device.must_pin(memory.data(), length, lease | LONGPIN_PIN_WRITE);
    CHECK(faults.unprotected == pages);
    check_coherent(device, reading, memory, length);
    check_coherent(device, writing, memory, length);
}

TEST_CASE("userfaultfd: protected memory that a child shares is pinned for reading") {
    const raw_device device;
    const mapping memory = missing();
    memory.fill();
    gate forked;
    gate over;
    child sharing([&] {
        forked.open();
        over.pass();
    });
    forked.pass();
    const handler faults(memory, UFFDIO_REGISTER_MODE_WP);
    faults.protect(memory);
    const std::uint32_t handle = device.must_pin(memory.data(), length);
    CHECK(faults.unprotected == 0);
    check_coherent(device, handle, memory, length);
    over.open();
    CHECK(sharing.wait());
}

TEST_CASE("userfaultfd: shared memory whose pages are there and not mapped is pinned") {
    const std::uint32_t flags = GENERATE(0U, LONGPIN_PIN_WRITE, LONGPIN_PIN_LEASE);
    CAPTURE(flags);
    const raw_device device;
    const file data(::memfd_create("minor", MFD_CLOEXEC));
    must(::ftruncate(data.get(), length) == 0, "ftruncate");
    const mapping filled(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    filled.fill();
    const mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    const handler faults(memory, UFFDIO_REGISTER_MODE_MINOR);
    const std::uint32_t handle = device.must_pin(memory.data(), length, flags);
    CHECK(faults.minor == pages);
    std::byte copy[length];
    REQUIRE(device.read(handle, 0, copy, length) == 0);
    CHECK(has_pattern(copy, length));
}

TEST_CASE("userfaultfd: a dry run asks nobody") {
    const raw_device device;
    const mapping memory = missing();
    const handler faults(memory, UFFDIO_REGISTER_MODE_MISSING);
    for (const std::uint32_t flags : {0U, LONGPIN_PIN_WRITE}) {
        longpin_pin pin{};
        CHECK(device.pin(memory.data(), length, flags | LONGPIN_PIN_DRY_RUN, pin) == 0);
        CHECK(pin.out_pages == pages);
    }
    CHECK(faults.read + faults.written == 0);
}

TEST_CASE("userfaultfd: who waits for a page in a pin can be killed, and nothing is left") {
    const std::uint32_t flags = GENERATE(0U, LONGPIN_PIN_WRITE, LONGPIN_PIN_LEASE);
    CAPTURE(flags);
    const long held = pinned_pages();
    const mapping over = mapping::shared_anonymous(page);
    gate asking;
    child process([&] {
        const file events = open_userfaultfd(); // nobody reads it
        const mapping memory = missing();
        watch(events, memory, UFFDIO_REGISTER_MODE_MISSING);
        const raw_device device;
        asking.open();
        *over.as<int>() = 1 + device.pin(memory.data(), length, flags);
    });
    asking.pass();
    ::usleep(200'000);
    CHECK(*over.as<int>() == 0); // it waits
    process.kill();
    CHECK(*over.as<int>() == 0);
    CHECK(eventually([&] { return pinned_pages() == held; }));
}

TEST_CASE(
    "userfaultfd: while a pin waits for its pages, others of the process are made and ended") {
    const raw_device device;
    const mapping memory = missing();
    const mapping other = mapping::anonymous(length);
    const file events = open_userfaultfd();
    watch(events, memory, UFFDIO_REGISTER_MODE_MISSING);
    int err = -1;
    std::thread waiting([&] { err = device.pin(memory.data(), length); });
    // As a handler would that has to register what it fills.
    pollfd ready{events.get(), POLLIN, 0};
    CHECK(::poll(&ready, 1, 10'000) == 1);
    for (const std::uint32_t flags : {0U, LONGPIN_PIN_WRITE, LONGPIN_PIN_LEASE}) {
        const std::uint32_t handle = device.must_pin(other.data(), length, flags);
        CHECK(device.unpin(handle) == 0);
    }
    const mapping new_one = mapping::anonymous(length); // the mmap lock is free for writers
    uffdio_zeropage zero{{reinterpret_cast<std::uintptr_t>(memory.data()), length}, 0, 0};
    CHECK(::ioctl(events.get(), UFFDIO_ZEROPAGE, &zero) == 0);
    waiting.join();
    CHECK(err == 0);
}
