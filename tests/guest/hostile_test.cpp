// SPDX-License-Identifier: MIT
// An ordinary user who may open the device, and means harm. What else holds such a one back is
// tested where it belongs.
#include "support/child.hpp"
#include "support/dice.hpp"
#include "support/kernel_log.hpp"
#include "support/lease.hpp"
#include "support/memory_cgroup.hpp"
#include "support/module.hpp"
#include "support/page_table.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <sched.h>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using namespace guest;

namespace {

constexpr std::uint32_t pin_flags =
    LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD;

} // namespace

TEST_CASE("hostile: root of a user namespace has its user's limit, and sees no physical address") {
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    struct answer {
        bool is_root;
        int too_much, enough;
        std::uint64_t physical;
    };
    const answer seen = in_child([&] {
        set_memlock_limit(4 * page);
        become_ordinary_user();
        must(::unshare(CLONE_NEWUSER) == 0, "unshare");
        must(write_line("/proc/self/setgroups", "deny") == 0, "setgroups");
        must(write_line("/proc/self/uid_map", "0 1000 1") == 0, "uid_map");
        must(write_line("/proc/self/gid_map", "0 1000 1") == 0, "gid_map");
        longpin_pin pin{};
        answer said{::getuid() == 0, device.pin(memory.data(), 5 * page, 0), 0, 0};
        said.enough = device.pin(memory.data(), 4 * page, 0, pin);
        said.physical = device.extents(pin.out_handle).at(0).phys;
        return said;
    });
    CHECK(seen.is_root);
    CHECK(seen.too_much == ENOMEM);
    CHECK(seen.enough == 0);
    CHECK(seen.physical == 0);
}

TEST_CASE("hostile: a hundred GiB are refused before a page of them is touched") {
    const raw_device device;
    const mapping memory(100 * GiB, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    const auto refused = [&] {
        longpin_pin pin{};
        return device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE, pin) == ENOMEM
                   ? pin.out_reason
                   : 0;
    };
    CHECK(as_ordinary_user(refused) == LONGPIN_REASON_MEMLOCK);
    const module_parameter cap("max_pages", "1000");
    CHECK(refused() == LONGPIN_REASON_MAX_PAGES);
    CHECK(physical_address(memory.data()) == 0);
}

TEST_CASE("hostile: a request that changes while it is read is one of those that it was") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    const mapping words = mapping::anonymous(page);
    auto* const pin = words.as<longpin_pin>();
    const auto start = reinterpret_cast<std::uintptr_t>(memory.data());
    const module_parameter cap("max_pins", "300");
    constexpr std::uint32_t rounds = 20000;
    std::vector<std::uint32_t> made;
    {
        dice other(1);
        const repeated changer([&] {
            volatile longpin_pin* const changing = pin;
            constexpr std::uint32_t sizes[] = {
                sizeof(longpin_pin), sizeof(longpin_pin), 8, 4096, 5000, ~0U};
            changing->size = other.one_of(sizes);
            changing->flags = other.once_in(2) ? LONGPIN_PIN_WRITE : ~pin_flags;
            changing->addr = other.once_in(2) ? start : ~0ULL - page;
            changing->length = other.once_in(2) ? page : ~0ULL;
            changing->__reserved = other.once_in(3) ? 1 : 0;
        });
        // And on until some have been let through, should the changer seldom get a processor.
        for (std::uint32_t round = 0; round < rounds || (made.size() < 20 && round < 100 * rounds);
             round++) {
            const int err = device.call(LONGPIN_PIN, pin);
            CHECK((err == 0 || err == EINVAL || err == E2BIG || err == EFAULT || err == ENOMEM ||
                   err == EOPNOTSUPP));
            if (err == 0) {
                made.push_back(pin->out_handle);
            }
        }
    }
    // A number may have been read while it was half written, but what was checked is what was done.
    std::uint64_t pages = 0;
    for (const std::uint32_t handle : made) {
        longpin_query is{};
        REQUIRE(device.query(handle, is) == 0);
        CHECK(is.out_pin_flags == LONGPIN_PIN_WRITE);
        CHECK(is.out_pages == (is.out_addr + is.out_length - 1) / page - is.out_addr / page + 1);
        pages += is.out_pages;
    }
    CHECK(vm_pin() == pages * page);
    CHECK(!made.empty());
}

TEST_CASE("hostile: nothing that an ordinary user asks for is in the kernel's log") {
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    const kernel_log log;
    const int granted = as_ordinary_user([&] {
        dice random(1);
        int count = 0;
        for (int round = 0; round < 5000; round++) {
            std::vector<std::byte> arguments = random.some(256);
            const std::uint32_t size = random.number(0, 200);
            std::memcpy(arguments.data(), &size, sizeof(size));
            device.call(_IO(LONGPIN_IOC_TYPE, random.number(0, 9)), arguments.data());
            device.pin(memory.at(random.number(0, 7) * page), random.number(0, 1U << 20U),
                       random.number(0, ~0U));
            // And what is granted: a pin, used, taken back, and given up.
            const std::size_t place = random.number<std::size_t>(0, 6) * page;
            longpin_pin pin{};
            if (device.pin(memory.at(place), 2 * page, leased_write, pin) == 0) {
                count++;
                device.read(pin.out_handle, 0, arguments.data(), arguments.size());
                device.write(pin.out_handle, page, arguments.data(), arguments.size());
                ::madvise(memory.at(place), page, MADV_DONTNEED);
                static_cast<void>(device.events());
                longpin_repin answer{};
                device.repin(pin.out_handle, answer);
                static_cast<void>(device.unpin(pin.out_handle));
            }
        }
        return count;
    });
    CHECK(granted == 5000);
    // What the kernel says once of a machine whose processors are busy elsewhere is not the user's
    // doing.
    std::istringstream lines(log.text());
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        CHECK(line.find("hrtimer: interrupt took") != std::string::npos);
    }
}

TEST_CASE("hostile: what pins are kept in is charged to the memory cgroup") {
    const memory_cgroup cgroup;
    struct shape {
        std::uint64_t pins;
        std::size_t runs;
    };
    // Once most of it is the pin itself, and once its runs.
    for (const shape of : {shape{5000, 1}, shape{100, 300}}) {
        CAPTURE(of.pins, of.runs);
        struct answer {
            std::uint64_t charged, bookkeeping;
        };
        const answer got = in_child([&] {
            const mapping memory = mapping::runs(of.runs);
            cgroup.join();
            const raw_device device;
            const std::uint32_t first = device.must_pin(memory.data(), memory.length());
            const std::uint64_t before = cgroup.stat("kernel");
            for (std::uint64_t i = 0; i < of.pins; i++) {
                device.must_pin(memory.data(), memory.length());
            }
            return answer{cgroup.stat("kernel") - before,
                          must_query(device, first).out_bookkeeping};
        });
        CHECK(got.charged >= of.pins * got.bookkeeping);
    }
}
