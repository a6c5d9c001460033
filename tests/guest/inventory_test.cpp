// SPDX-License-Identifier: MIT
// The library's view of who pinned what, against what the tests know to be true.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/netlink.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <fstream>
#include <set>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

using namespace guest;
using Catch::Matchers::Contains;
using longpin::memory_kind;
using longpin::reason;
using std::chrono::steady_clock;

namespace {

/// The only pin of a context.
longpin::pin_record only_pin(const raw_device& device) {
    const auto pins = longpin::inventory().pins({.context = context_of(device)});
    if (pins.size() != 1) {
        throw std::runtime_error("the context has not one pin");
    }
    return pins.front();
}

/// What a context holds, as the list of them says.
std::uint64_t pages_of(const raw_device& device) {
    const auto all = longpin::inventory().contexts();
    const auto found = std::ranges::find(all, context_of(device), &longpin::context_record::id);
    if (found == all.end()) {
        throw std::runtime_error("the context is not listed");
    }
    return found->pages;
}

/// A file with a name, gone in the end.
class named_file {
public:
    named_file(std::string path, std::size_t size) : path_(std::move(path)) {
        std::ofstream(path_) << std::string(size, 'x');
    }
    named_file(const named_file&) = delete;
    named_file& operator=(const named_file&) = delete;
    named_file(named_file&&) = delete;
    named_file& operator=(named_file&&) = delete;
    ~named_file() { ::unlink(path_.c_str()); }

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// What the inventory should say of an open file.
longpin::mapped_file described(const std::string& path, int descriptor, std::uint64_t offset) {
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) {
        throw std::runtime_error("fstat");
    }
    return {.path = path,
            .device_major = major(status.st_dev),
            .device_minor = minor(status.st_dev),
            .inode = status.st_ino,
            .offset = offset};
}

} // namespace

TEST_CASE("inventory: a pin is listed with everything that is true of it") {
    const std::string comm_before = read_line("/proc/self/comm");
    const raw_device device;
    const mapping memory = mapping::anonymous(5 * page);
    REQUIRE(::prctl(PR_SET_NAME, "pins ) (memory") == 0);
    auto request = guest::request<longpin_pin>();
    request.addr = reinterpret_cast<std::uintptr_t>(memory.at(10));
    request.length = 3 * page;
    request.flags = LONGPIN_PIN_WRITE;
    request.cookie = 0xfedcba9876543210;
    const auto before = steady_clock::now();
    REQUIRE(device.call(LONGPIN_PIN, &request) == 0);
    const auto after = steady_clock::now();
    REQUIRE(::prctl(PR_SET_NAME, comm_before.c_str()) == 0);

    const auto asked = steady_clock::now();
    const longpin::pin_record pin = only_pin(device);
    CHECK(pin.age >= asked - after);
    CHECK(pin.age <= steady_clock::now() - before);
    CHECK(pin == longpin::pin_record{.context = context_of(device),
                                     .handle = request.out_handle,
                                     .pid = ::getpid(),
                                     .comm = "pins ) (memory", // as it was then
                                     .uid = 0,
                                     .address = request.addr,
                                     .length = 3 * page,
                                     .cookie = 0xfedcba9876543210,
                                     .writable = true,
                                     .orphaned = false,
                                     .footprint{.kinds = memory_kind::anon,
                                                .pages = 4,
                                                .runs = request.out_runs,
                                                .bookkeeping = request.out_bookkeeping},
                                     .age = pin.age,
                                     .file = std::nullopt});
}

TEST_CASE("inventory: a lease is listed as one, with its grace and what was taken back from it") {
    const longpin::inventory inventory;
    const auto before = inventory.statistics();
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    auto request = guest::request<longpin_pin>();
    request.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    request.length = 8 * page;
    request.flags = LONGPIN_PIN_LEASE;
    request.grace_ms = 33;
    REQUIRE(device.call(LONGPIN_PIN, &request) == 0);
    CHECK(only_pin(device).lease);
    CHECK(only_pin(device).grace == std::chrono::milliseconds(33));
    CHECK(only_pin(device).state == longpin::pin_state::held);
    memory.unmap_part(0, 3 * page);
    CHECK(only_pin(device).state == longpin::pin_state::partly_revoked);
    CHECK(only_pin(device).revoked_pages == 3);
    CHECK(only_pin(device).footprint.pages == 5);
    memory.unmap_part(3 * page, 5 * page);
    CHECK(only_pin(device).state == longpin::pin_state::revoked);
    CHECK(only_pin(device).revoked_pages == 8);

    const auto after = inventory.statistics();
    CHECK(after.revocations == before.revocations + 2);
    CHECK(after.pages_revoked == before.pages_revoked + 8);
    CHECK(after.repins == before.repins);
}

TEST_CASE("inventory: of a lease the sums count what it holds now, and REPIN") {
    const longpin::inventory inventory;
    const auto before = inventory.statistics();
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, LONGPIN_PIN_LEASE);
    const auto check_held = [&](std::uint64_t pages) {
        CHECK(inventory.statistics().pages == before.pages + pages);
        CHECK(inventory.statistics().runs == before.runs + only_pin(device).footprint.runs);
        CHECK(pages_of(device) == pages);
    };
    check_held(8);
    REQUIRE(::madvise(memory.at(2 * page), 3 * page, MADV_DONTNEED) == 0);
    check_held(5);
    longpin_repin answer{};
    REQUIRE(device.repin(handle, answer) == 0);
    check_held(8);
    REQUIRE(device.repin(handle, answer) == 0); // there is nothing to do
    CHECK(inventory.statistics().repins == before.repins + 1);
    REQUIRE(device.let_go(handle, 0, 8 * page) == 0);
    check_held(0);
    REQUIRE(device.unpin(handle) == 0);
    CHECK(inventory.statistics().pages == before.pages);
}

TEST_CASE("inventory: the file behind a pin is the one that was mapped, at the first pinned byte",
          "[devdax]") {
    const raw_device device;
    SECTION("a file of ext4") {
        const named_file named(backing("ext4") + "/a file", 8 * page);
        const file data = open_file(named.path(), O_RDWR);
        const mapping memory(6 * page, PROT_READ, MAP_SHARED, data.get(), 2 * page);
        device.must_pin(memory.at(page + 100), 10);
        const auto pin = only_pin(device);
        CHECK(pin.file == described(named.path(), data.get(), 3 * page + 100));
        CHECK(pin.footprint.kinds == memory_kind::file);
        CHECK_FALSE(pin.writable);
    }
    SECTION("a memfd") {
        const file data(::memfd_create("ring", MFD_CLOEXEC));
        REQUIRE(::ftruncate(data.get(), 4 * page) == 0);
        const mapping memory(4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        device.must_pin(memory.data(), 4 * page);
        const auto pin = only_pin(device);
        CHECK(pin.file == described("/memfd:ring (deleted)", data.get(), 0));
        CHECK(pin.footprint.kinds == memory_kind::shmem);
    }
    SECTION("a device-DAX device") {
        const std::string path = backing("devdax_2m");
        const mapping memory = map_devdax("devdax_2m", 4 * MiB);
        device.must_pin(memory.at(2 * MiB), 2 * MiB, LONGPIN_PIN_WRITE);
        const auto pin = only_pin(device);
        CHECK(pin.file == described(path, open_file(path, O_RDWR).get(), 2 * MiB));
        CHECK(pin.footprint.kinds == memory_kind::devdax);
    }
    SECTION("a file that begins inside the range") {
        const file data = temporary_file("/dev/shm", 4 * page);
        const mapping memory = mapping::anonymous(4 * page);
        REQUIRE(::mmap(memory.at(2 * page), page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                       data.get(), page) != MAP_FAILED);
        device.must_pin(memory.data(), 4 * page);
        const auto pin = only_pin(device);
        REQUIRE(pin.file);
        CHECK_THAT(pin.file->path, Contains("/dev/shm/longpin-") && Contains(" (deleted)"));
        CHECK(pin.file == described(pin.file->path, data.get(), page));
        CHECK(pin.footprint.kinds == (memory_kind::anon | memory_kind::shmem));
    }
}

TEST_CASE("inventory: pins are listed by every filter, and by all of them together") {
    const raw_device one;
    const raw_device two;
    const mapping anonymous = mapping::anonymous(page);
    const mapping shared = mapping::shared_anonymous(page);
    const std::uint32_t first = one.must_pin(anonymous.data(), page);
    const std::uint32_t second = one.must_pin(shared.data(), page);
    const std::uint32_t third = two.must_pin(anonymous.data(), page);
    gate pinned;
    child user([&] {
        become_ordinary_user();
        const mapping memory = mapping::shared_anonymous(page);
        two.must_pin(memory.data(), page);
        pinned.open();
        ::pause();
    });
    pinned.pass();

    // "1:2" is the second pin of the context one.
    const longpin::inventory inventory;
    const auto listed = [&](const longpin::pin_filter& filter) {
        std::string all;
        for (const longpin::pin_record& pin : inventory.pins(filter)) {
            all += (all.empty() ? "" : " ") +
                   std::string(pin.context == context_of(one) ? "1:" : "2:") +
                   std::to_string(pin.handle);
        }
        return all;
    };
    REQUIRE(first == 1);
    REQUIRE(second == 2);
    REQUIRE(third == 1);
    CHECK(listed({}) == "1:1 1:2 2:1 2:2");
    CHECK(listed({.context = context_of(two)}) == "2:1 2:2");
    CHECK(listed({.handle = 2}) == "1:2 2:2");
    CHECK(listed({.pid = ::getpid()}) == "1:1 1:2 2:1");
    CHECK(listed({.pid = user.pid()}) == "2:2");
    CHECK(listed({.uid = 0}) == "1:1 1:2 2:1");
    CHECK(listed({.uid = ordinary_user}) == "2:2");
    CHECK(listed({.kinds = memory_kind::shmem}) == "1:2 2:2");
    CHECK(listed({.kinds = memory_kind::shmem | memory_kind::anon}) == "1:1 1:2 2:1 2:2");
    CHECK(listed({.kinds = memory_kind::devdax}).empty());
    CHECK(listed({.context = context_of(one),
                  .handle = 2,
                  .pid = ::getpid(),
                  .uid = 0,
                  .kinds = memory_kind::shmem | memory_kind::file}) == "1:2");
    CHECK(listed({.context = context_of(one), .uid = ordinary_user}).empty());
    CHECK(listed({.handle = 3}).empty());
}

TEST_CASE("inventory: a filter that the module refuses is an error that says why") {
    const longpin::inventory inventory;
    for (const longpin::pin_filter& filter :
         {longpin::pin_filter{.context = 0}, longpin::pin_filter{.handle = 0},
          longpin::pin_filter{.pid = 0}}) {
        const auto listed = inventory.try_pins(filter);
        REQUIRE_FALSE(listed);
        CHECK(listed.error().code().value() == ERANGE);
        CHECK_THAT(listed.error().what(),
                   Contains("cannot list the pins") && Contains("begin at 1"));
    }
    CHECK_NOTHROW(inventory.pins()); // and the next request is undisturbed
}

TEST_CASE("inventory: one pin is found by its context and handle, or is not there") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    const longpin::inventory inventory;
    const auto found = inventory.find_pin(context_of(device), handle);
    REQUIRE(found);
    longpin::pin_record listed = only_pin(device);
    listed.age = found->age;
    CHECK(*found == listed);
    CHECK_FALSE(inventory.find_pin(context_of(device), handle + 1));
    CHECK_FALSE(inventory.find_pin(context_of(device) + 1, handle));
    REQUIRE(device.unpin(handle) == 0);
    CHECK_FALSE(inventory.find_pin(context_of(device), handle));
}

TEST_CASE("inventory: a context is listed with what it holds, from its opening to its end") {
    const longpin::inventory inventory;
    const auto before = steady_clock::now();
    raw_device device;
    const auto after = steady_clock::now();
    const std::uint32_t id = context_of(device);
    const mapping memory = mapping::anonymous(3 * page);
    device.must_pin(memory.data(), page);
    device.must_pin(memory.data(), 3 * page);

    const auto find = [&]() -> std::optional<longpin::context_record> {
        const auto all = inventory.contexts();
        const auto found = std::ranges::find(all, id, &longpin::context_record::id);
        return found == all.end() ? std::nullopt : std::optional(*found);
    };
    const auto asked = steady_clock::now();
    const auto context = find();
    REQUIRE(context);
    CHECK(context->age >= asked - after);
    CHECK(context->age <= steady_clock::now() - before);
    CHECK(*context == longpin::context_record{.id = id,
                                              .pid = ::getpid(),
                                              .comm = read_line("/proc/self/comm"),
                                              .uid = 0,
                                              .orphaned = false,
                                              .pins = 2,
                                              .pages = 4,
                                              .age = context->age});
    const raw_device other;
    const auto all = inventory.contexts();
    CHECK(std::ranges::is_sorted(all, std::ranges::less_equal(), &longpin::context_record::id));
    CHECK(std::ranges::count(all, ::getpid(), &longpin::context_record::pid) == 2);
    device.close();
    CHECK_FALSE(find());
}

TEST_CASE("inventory: the statistics count what is held, what was done and what was refused") {
    const longpin::inventory inventory;
    const longpin::statistics before = inventory.statistics();
    const auto start = steady_clock::now();
    const mapping memory = mapping::anonymous(4 * page);
    const mapping hole(page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
    const file data = temporary_file(backing("xfs_dax"), page);
    const mapping storage(page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
    longpin_pin answer{};
    {
        const raw_device device;
        REQUIRE(device.pin(memory.data(), 4 * page, 0, answer) == 0);
        const std::uint64_t runs = answer.out_runs;
        const std::uint64_t bookkeeping = answer.out_bookkeeping;
        device.must_pin(memory.data(), page);
        REQUIRE(device.pin(memory.data(), page, LONGPIN_PIN_DRY_RUN) == 0);
        REQUIRE(device.pin(hole.data(), page, LONGPIN_PIN_DRY_RUN) == EFAULT);
        REQUIRE(device.pin(hole.data(), page) == EFAULT);
        REQUIRE(device.pin(storage.data(), page) == EOPNOTSUPP);
        REQUIRE(device.pin(storage.data(), page) == EOPNOTSUPP);

        const longpin::statistics now = inventory.statistics();
        CHECK(now.contexts == before.contexts + 1);
        CHECK(now.pins == before.pins + 2);
        CHECK(now.pages == before.pages + 5);
        CHECK(now.runs == before.runs + runs + 1);
        CHECK(now.bookkeeping > before.bookkeeping + bookkeeping);
        CHECK(now.peak_pages >= now.pages);
        CHECK(now.pins_made == before.pins_made + 2);
        CHECK(now.pages_taken == before.pages_taken + 5);
        CHECK(now.pinning_time > before.pinning_time);
        CHECK(now.pinning_time - before.pinning_time < steady_clock::now() - start);
        CHECK(now.dry_runs == before.dry_runs + 2);
        auto refused = before.refused;
        refused[reason::not_readable] += 1;
        refused[reason::fsdax] += 2;
        CHECK(now.refused == refused);
    }
    const longpin::statistics after = inventory.statistics();
    CHECK(after.contexts == before.contexts);
    CHECK(after.pins == before.pins);
    CHECK(after.pages == before.pages);
    CHECK(after.runs == before.runs);
    CHECK(after.bookkeeping == before.bookkeeping);
    CHECK(after.pins_made == before.pins_made + 2);
    CHECK(after.pages_taken == before.pages_taken + 5);
}

TEST_CASE("inventory: the peak is the most that was held at once, and stays", "[devdax]") {
    const longpin::inventory inventory;
    const mapping memory = map_devdax("devdax_2m", 64 * MiB);
    std::uint64_t held = 0;
    {
        const raw_device device;
        const std::uint64_t peak = inventory.statistics().peak_pages;
        while ((held = inventory.statistics().pages) <= peak) {
            device.must_pin(memory.data(), memory.length());
        }
        CHECK(inventory.statistics().peak_pages == held);
    }
    const raw_device device;
    device.must_pin(memory.data(), 2 * MiB);
    CHECK(inventory.statistics().pages < held);
    CHECK(inventory.statistics().peak_pages == held);
}

TEST_CASE("inventory: a listing of many messages is complete and in order, whoever stops in it") {
    constexpr std::uint32_t count = 3000;
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    for (std::uint32_t i = 0; i < count; i++) {
        device.must_pin(memory.data(), page);
    }
    const longpin::pin_filter filter{.context = context_of(device)};
    const longpin::inventory inventory;
    const auto listed_well = [&] {
        std::uint32_t next = 1;
        inventory.for_each_pin(
            filter, [&](const longpin::pin_record& pin) { next += pin.handle == next ? 1 : 0; });
        return next == count + 1 && inventory.pins(filter).size() == count;
    };
    CHECK(listed_well());
    // The rest of a listing that a visitor ended is in nobody's way.
    for (const std::uint32_t stop : {1U, 2U, count / 2, count}) {
        CAPTURE(stop);
        CHECK_THROWS_WITH(inventory.for_each_pin(filter,
                                                 [&](const longpin::pin_record& pin) {
                                                     if (pin.handle == stop) {
                                                         throw std::runtime_error("enough");
                                                     }
                                                 }),
                          "enough");
        CHECK(inventory.find_pin(context_of(device), 5)->handle == 5);
        CHECK(listed_well());
    }
}

TEST_CASE("inventory: of a pin whose process is gone the heir of the file is found") {
    const raw_device device;
    child pinner([&] {
        const mapping memory = mapping::anonymous(page);
        device.must_pin(memory.data(), page);
    });
    const pid_t gone = pinner.pid();
    REQUIRE(pinner.wait());

    const longpin::pin_record pin = only_pin(device);
    CHECK(pin.orphaned);
    CHECK(pin.pid == gone);
    CHECK(longpin::find_holders(pin.context) ==
          std::vector<longpin::holder>{{.pid = ::getpid(),
                                        .comm = read_line("/proc/self/comm"),
                                        .descriptor = device.descriptor(),
                                        .context = pin.context}});
    const auto contexts = longpin::inventory().contexts();
    const auto context = std::ranges::find(contexts, pin.context, &longpin::context_record::id);
    REQUIRE(context != contexts.end());
    CHECK_FALSE(context->orphaned); // who opened it is here
}

TEST_CASE("inventory: a context whose opener is gone is an orphan, with its pins") {
    const mapping number = mapping::shared_anonymous(page);
    gate pinned;
    child opener([&] {
        const raw_device device;
        const mapping memory = mapping::anonymous(page);
        device.must_pin(memory.data(), page);
        *number.as<int>() = device.descriptor();
        pinned.open();
        ::pause();
    });
    pinned.pass();
    const raw_device heir(copy_descriptor(opener.pid(), *number.as<int>()));
    const std::uint32_t id = context_of(heir);
    const pid_t gone = opener.pid();

    const auto orphaned = [&] {
        const auto contexts = longpin::inventory().contexts();
        const auto context = std::ranges::find(contexts, id, &longpin::context_record::id);
        REQUIRE(context != contexts.end());
        CHECK(context->pid == gone);
        CHECK(context->orphaned == only_pin(heir).orphaned);
        return context->orphaned;
    };
    CHECK_FALSE(orphaned());
    std::set<pid_t> holders;
    for (const longpin::holder& holder : longpin::find_holders(id)) {
        holders.insert(holder.pid);
    }
    CHECK(holders == std::set{gone, ::getpid()});
    opener.kill();
    CHECK(orphaned());
    CHECK(longpin::find_holders(id).size() == 1);
}

TEST_CASE("inventory: holders are found whatever the device is called where they opened it") {
    const std::string path = "/dev/shm/of another name";
    struct stat device {};
    REQUIRE(::stat("/dev/longpin", &device) == 0);
    REQUIRE(::mknod(path.c_str(), S_IFCHR | 0600, device.st_rdev) == 0);
    const raw_device opened(open_file(path, O_RDWR));
    ::unlink(path.c_str());
    const raw_device again(file(::dup(opened.descriptor())));
    const auto holders = longpin::find_holders(context_of(opened));
    REQUIRE(holders.size() == 1);
    CHECK(holders.front().pid == ::getpid());
    CHECK(holders.front().descriptor == opened.descriptor());
}

TEST_CASE("inventory: an ordinary user sees its own pins and contexts, and the sums of all") {
    const raw_device of_root;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t handle = of_root.must_pin(memory.data(), page);
    const std::uint32_t context = context_of(of_root);
    struct view {
        std::size_t pins, own_pins, of_root, contexts, holders;
        bool found;
        std::uint64_t sum;
    };
    const view seen = as_ordinary_user([&] {
        const mapping own = mapping::anonymous(page);
        of_root.must_pin(own.data(), page); // a pin of the user's in a context of root's
        const longpin::inventory inventory;
        const auto pins = inventory.pins();
        return view{
            .pins = pins.size(),
            .own_pins = inventory.pins({.uid = ordinary_user}).size(),
            .of_root = inventory.pins({.uid = 0}).size(),
            .contexts = inventory.contexts().size(),
            .holders = longpin::find_holders(context).size(),
            .found = inventory.find_pin(context, handle).has_value(),
            .sum = inventory.statistics().pins,
        };
    });
    CHECK(seen.pins == 1);
    CHECK(seen.own_pins == 1);
    CHECK(seen.of_root == 0);
    CHECK(seen.contexts == 0);
    CHECK(seen.holders == 1); // itself: it may not look into root's processes
    CHECK_FALSE(seen.found);
    CHECK(seen.sum == 2);
}

TEST_CASE("inventory: one that was moved from throws, and can be assigned again") {
    longpin::inventory first;
    longpin::inventory second = std::move(first);
    CHECK_NOTHROW(second.pins());
    CHECK_THROWS_AS(first.pins(), std::logic_error);         // NOLINT: on purpose
    CHECK_THROWS_AS(first.contexts(), std::logic_error);     // NOLINT
    CHECK_THROWS_AS(first.find_pin(1, 1), std::logic_error); // NOLINT
    CHECK_THROWS_AS(first.statistics(), std::logic_error);   // NOLINT
    first = std::move(second);
    CHECK_NOTHROW(first.pins());
}

TEST_CASE("inventory: it outlives the module, and finds it again when it is back") {
    const longpin::inventory inventory;
    REQUIRE(remove_module() == 0);
    for (const auto& failure :
         {inventory.try_pins().error(), inventory.try_contexts().error(),
          inventory.try_find_pin(1, 1).error(), inventory.try_statistics().error(),
          longpin::inventory::try_open().error()}) {
        CHECK(failure.code().value() == ENOENT);
        CHECK_THAT(failure.what(), Contains("modprobe longpin"));
    }
    REQUIRE(load_module() == 0);
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    device.must_pin(memory.data(), page);
    CHECK(inventory.pins({.pid = ::getpid()}).size() == 1);
    CHECK_FALSE(inventory.find_pin(context_of(device), 1000));
    CHECK(inventory.statistics().pins_made == 1);
}
