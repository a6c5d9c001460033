// SPDX-License-Identifier: MIT
// The dry run and the real call never disagree in the same state, though the dry run takes nothing
// and changes nothing: a property, tried on random ranges over memory of every kind.
#include "support/backings.hpp"
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t slot = 8 * page;
constexpr std::size_t slots = 64;

/// Puts something into each slot of an area: memory of a random kind, or nothing.
mapping random_area(std::minstd_rand& random) {
    mapping area = mapping::anonymous(slots * slot);
    const file ext4 = temporary_file(backing("ext4"), slot);
    const file dax = temporary_file(backing("xfs_dax"), slot);
    const file short_file = temporary_file("/dev/shm", 3 * page);
    const auto put = [&](std::byte* at, int protection, int flags, int descriptor) {
        if (::mmap(at, slot, protection, flags | MAP_FIXED, descriptor, 0) == MAP_FAILED) {
            throw std::runtime_error("mmap");
        }
    };
    constexpr int both = PROT_READ | PROT_WRITE;
    for (std::size_t i = 0; i < slots; i++) {
        std::byte* const at = area.at(i * slot);
        switch (random() % 20) { // mostly what can be pinned, or long ranges never could
        case 0: area.unmap_part(i * slot, slot); break;
        case 1: put(at, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1); break;
        case 2: put(at, both, MAP_SHARED, dax.get()); break;
        case 3: put(at, both, MAP_SHARED, short_file.get()); break;
        case 4:
        case 5: put(at, both, MAP_SHARED, ext4.get()); break;
        case 6:
        case 7: put(at, both, MAP_PRIVATE, ext4.get()); break;
        case 8:
        case 9: put(at, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1); break;
        case 10:
        case 11: put(at, both, MAP_SHARED | MAP_ANONYMOUS, -1); break;
        default: break; // anonymous, as it is
        }
    }
    return area;
}

struct tally {
    int allowed, refused, disagreed;
};

tally try_random_ranges(unsigned seed, int rounds) {
    const raw_device device(file(::open("/dev/longpin", O_RDWR | O_CLOEXEC)));
    std::minstd_rand random(seed);
    tally result{};
    for (int area_number = 0; area_number < rounds / 100; area_number++) {
        const mapping area = random_area(random);
        for (int i = 0; i < 100; i++) {
            const std::size_t offset = random() % area.length();
            // Short ranges are allowed more often than long ones.
            const std::size_t most = (area.length() - offset) >> (random() % 6U);
            const std::size_t length = most == 0 ? 1 : 1 + random() % most;
            const std::uint32_t flags = random() % 2 == 0 ? 0 : LONGPIN_PIN_WRITE;

            longpin_pin dry{};
            longpin_pin real{};
            const int dry_err =
                device.pin(area.at(offset), length, flags | LONGPIN_PIN_DRY_RUN, dry);
            const int real_err = device.pin(area.at(offset), length, flags, real);
            const bool agree = dry_err == real_err && dry.out_reason == real.out_reason &&
                               dry.out_bad_addr == real.out_bad_addr &&
                               dry.out_limit == real.out_limit && dry.out_used == real.out_used &&
                               dry.out_asked == real.out_asked && dry.out_kinds == real.out_kinds &&
                               dry.out_pages == real.out_pages && dry.out_handle == 0 &&
                               (dry.out_runs > 0) == (real.out_runs > 0);
            result.disagreed += agree ? 0 : 1;
            (real_err == 0 ? result.allowed : result.refused)++;
            // Some pins stay, so that limits come into it.
            if (real_err == 0 && random() % 4 != 0 && device.unpin(real.out_handle) != 0) {
                throw std::runtime_error("unpin");
            }
        }
    }
    return result;
}

/// Pages of a mapping that are in memory for it: mapped, or in a file's page cache.
std::size_t resident(const mapping& memory) {
    std::vector<unsigned char> pages(memory.length() / page);
    must(::mincore(memory.data(), memory.length(), pages.data()) == 0, "mincore");
    return static_cast<std::size_t>(std::count_if(
        pages.begin(), pages.end(), [](unsigned char one) { return (one & 1U) != 0; }));
}

/// Memory that is the process's own, in KiB.
long own_memory() {
    return number_after("/proc/self/status", "RssAnon:");
}

bool is_written_to(const std::byte* address) {
    const file pagemap = open_file("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    std::uint64_t entry = 0;
    const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(address) / page * 8);
    must(::pread(pagemap.get(), &entry, 8, at) == 8, "pagemap");
    return (entry >> 55 & 1U) != 0; // soft-dirty
}

/// A pin moves pages out of memory that has to be movable (CMA, on the debug kernel), and then they
/// lie elsewhere.
void move_to_where_pins_stay(const raw_device& device, const mapping& memory) {
    REQUIRE(device.unpin(device.must_pin(memory.data(), memory.length())) == 0);
}

std::uint32_t dry_run(const raw_device& device, const mapping& memory, std::uint32_t flags = 0) {
    longpin_pin answer{};
    REQUIRE(device.pin(memory.data(), memory.length(), flags | LONGPIN_PIN_DRY_RUN, answer) == 0);
    CHECK(answer.out_pages == memory.length() / page);
    return static_cast<std::uint32_t>(answer.out_runs);
}

} // namespace

TEST_CASE("a dry run of a private mapping of a file copies nothing of it") {
    const raw_device device;
    const file data = temporary_file(backing("xfs"), 16 * MiB);
    mapping(16 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, data.get()).fill();
    const int protection = GENERATE(PROT_READ, PROT_READ | PROT_WRITE);
    const mapping memory(16 * MiB, protection, MAP_PRIVATE, data.get());
    const bool touched = GENERATE(false, true);
    CAPTURE(protection, touched);
    for (std::size_t at = 0; touched && at < memory.length(); at += page) {
        (void)*static_cast<volatile std::byte*>(memory.at(at));
    }
    const long before = own_memory();
    dry_run(device, memory);
    CHECK(own_memory() - before < 1024);
    // It still shows what is written to the file.
    const char text = 'N';
    REQUIRE(::pwrite(data.get(), &text, 1, 5 * page) == 1);
    CHECK(*memory.at(5 * page) == std::byte{'N'});
}

TEST_CASE("a dry run brings nothing in, nor makes anything of a hole") {
    const raw_device device;
    for (const std::uint32_t flags : {0U, LONGPIN_PIN_WRITE}) {
        const mapping anonymous = mapping::anonymous(4 * MiB);
        CHECK(dry_run(device, anonymous, flags) == 1);
        CHECK(resident(anonymous) == 0);

        const file data(::memfd_create("hole", MFD_CLOEXEC));
        must(::ftruncate(data.get(), 4 * MiB) == 0, "ftruncate");
        const mapping memory(4 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        dry_run(device, memory, flags);
        struct stat status {};
        REQUIRE(::fstat(data.get(), &status) == 0);
        CHECK(status.st_blocks == 0);

        const file dax(::open((backing("xfs_dax") + "/hole").c_str(),
                              O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        must(::ftruncate(dax.get(), 4 * MiB) == 0, "ftruncate");
        const mapping blocks(4 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, dax.get());
        dry_run(device, blocks, leased | flags);
        REQUIRE(::fstat(dax.get(), &status) == 0);
        CHECK(status.st_blocks == 0);
    }
}

TEST_CASE("a dry run for writing leaves pages as clean as they are") {
    const raw_device device;
    for (const char* const name : {"memfd", "anonymous, 4 KiB pages"}) {
        const mapping memory = memory_backing_named(name).map();
        must(write_line("/proc/self/clear_refs", "4") == 0, "clear_refs"); // soft-dirty
        REQUIRE_FALSE(is_written_to(memory.data()));
        dry_run(device, memory, LONGPIN_PIN_WRITE);
        CHECK_FALSE(is_written_to(memory.data()));
        CHECK(device.pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE) == 0);
        CHECK(is_written_to(memory.data())); // as a real call does
    }
}

TEST_CASE("a dry run for writing tells a file system of no write") {
    const raw_device device;
    for (const char* const filesystem : dax_filesystems) {
        const dax_file data(filesystem, 4 * MiB);
        must(::fsync(data.descriptor.get()) == 0, "fsync");
        struct stat before {};
        struct stat after {};
        REQUIRE(::fstat(data.descriptor.get(), &before) == 0);
        const mapping memory(4 * MiB, PROT_READ | PROT_WRITE, MAP_SHARED, data.descriptor.get());
        dry_run(device, memory, leased_write);
        REQUIRE(::fstat(data.descriptor.get(), &after) == 0);
        CHECK(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
        CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec);
    }
}

TEST_CASE("a dry run knows the runs of memory that is there", "[devdax]") {
    const raw_device device;
    for (const char* const name :
         {"anonymous, 4 KiB pages", "anonymous, huge pages", "memfd", "hugetlb 2 MiB, shared",
          "device-DAX 2 MiB", "device-DAX 4 KiB"}) {
        CAPTURE(name);
        if (std::ranges::count(memory_backings(), name, &memory_backing::name) == 0) {
            continue;
        }
        const mapping memory = memory_backing_named(name).map();
        memory.fill();
        move_to_where_pins_stay(device, memory);
        longpin_pin dry{};
        longpin_pin real{};
        REQUIRE(device.pin(memory.data(), memory.length(), LONGPIN_PIN_DRY_RUN, dry) == 0);
        REQUIRE(device.pin(memory.data(), memory.length(), 0, real) == 0);
        CHECK(dry.out_runs == real.out_runs);
        CHECK((dry.out_runs > 4 || dry.out_bookkeeping == real.out_bookkeeping));
    }
    const mapping scattered = mapping::runs(64);
    CHECK(dry_run(device, scattered) == 64);
}

TEST_CASE("a dry run finds the end of a file") {
    const raw_device device;
    for (const std::string& directory :
         {std::string("/dev/shm"), backing("ext4"), backing("xfs_dax")}) {
        CAPTURE(directory);
        const file data = temporary_file(directory, 3 * page + 1);
        const std::uint32_t lease = directory == backing("xfs_dax") ? leased : 0;
        const mapping memory(8 * page, PROT_READ, MAP_SHARED, data.get());
        for (const std::uint32_t dry : {LONGPIN_PIN_DRY_RUN, 0U}) {
            longpin_pin answer{};
            CHECK(device.pin(memory.at(10), 8 * page - 10, lease | dry, answer) == EFAULT);
            CHECK(answer.out_reason == LONGPIN_REASON_FAULT);
            CHECK(answer.out_bad_addr == reinterpret_cast<std::uintptr_t>(memory.at(4 * page)));
            CHECK(device.pin(memory.at(5 * page + 10), page, lease | dry, answer) == EFAULT);
            CHECK(answer.out_bad_addr ==
                  reinterpret_cast<std::uintptr_t>(memory.at(5 * page + 10)));
            CHECK(device.pin(memory.data(), 4 * page, lease | dry) == 0);
        }
    }
    const file empty = temporary_file("/dev/shm", 1);
    must(::ftruncate(empty.get(), 0) == 0, "ftruncate");
    const mapping memory(page, PROT_READ, MAP_SHARED, empty.get());
    for (const std::uint32_t dry : {LONGPIN_PIN_DRY_RUN, 0U}) {
        CHECK(device.pin(memory.data(), page, dry) == EFAULT);
    }
}

TEST_CASE("the dry run and the real call agree on random ranges, for root") {
    const auto [allowed, refused, disagreed] = in_child([] { return try_random_ranges(1, 2000); });
    CHECK(disagreed == 0);
    CHECK(allowed > 100);
    CHECK(refused > 100);
}

TEST_CASE("the dry run and the real call agree on random ranges, at the limit of a user") {
    REQUIRE(::chmod("/dev/longpin", 0666) == 0);
    const auto [allowed, refused, disagreed] = as_ordinary_user([] {
        set_memlock_limit(200 * page);
        return try_random_ranges(2, 2000);
    });
    REQUIRE(::chmod("/dev/longpin", 0600) == 0);
    CHECK(disagreed == 0);
    CHECK(allowed > 20);
    CHECK(refused > 100);
}
