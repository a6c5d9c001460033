// SPDX-License-Identifier: MIT
// The dry run and the real call never disagree in the same state: a property, tried on random
// ranges over memory of every kind.
#include "support/child.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

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
                               dry.out_pages == real.out_pages && dry.out_runs == real.out_runs &&
                               dry.out_bookkeeping == real.out_bookkeeping && dry.out_handle == 0;
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

} // namespace

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
