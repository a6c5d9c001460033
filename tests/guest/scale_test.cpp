// SPDX-License-Identifier: MIT
// 100,000 pins of 100 processes, and pins of 256 GiB, in a guest of 2 GiB of its own
// (qemu/layouts/large): hidden ([.]) from the run of all others.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/netlink.hpp"
#include "support/shell.hpp"

#include <longpin/inventory.hpp>
#include <longpin/parallel.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <list>
#include <sstream>
#include <string_view>

using namespace guest;

namespace {

constexpr std::uint32_t processes = 100;
constexpr std::uint32_t pins_each = 1000;
constexpr std::size_t pages_each = 64; ///< distinct ones

/// Processes that each hold pins of single pages in a context of their own, until they are killed.
class crowd {
public:
    crowd() : memory_(mapping::shared_anonymous(processes * sizeof(std::uint32_t))) {
        gate ready;
        for (std::uint32_t number = 0; number < processes; number++) {
            members_.emplace_back([&, number] {
                const raw_device device;
                const mapping memory = mapping::anonymous(pages_each * page);
                for (std::uint32_t handle = 1; handle <= pins_each; handle++) {
                    if (device.must_pin(memory.at(handle % pages_each * page), page) != handle) {
                        throw std::runtime_error("not the handle that was expected");
                    }
                }
                memory_.as<std::uint32_t>()[number] = context_of(device);
                ready.open();
                ::pause();
            });
        }
        for (std::uint32_t number = 0; number < processes; number++) {
            if (!ready.pass_within(60000)) {
                throw std::runtime_error("a process of the crowd is missing");
            }
        }
    }

    [[nodiscard]] std::vector<std::uint32_t> contexts() const {
        const auto* const first = memory_.as<std::uint32_t>();
        std::vector<std::uint32_t> sorted(first, first + processes);
        std::ranges::sort(sorted);
        return sorted;
    }

    /// All pins, in the order of a dump.
    [[nodiscard]] std::vector<pin_id> pins() const {
        std::vector<pin_id> all;
        for (const std::uint32_t context : contexts()) {
            for (std::uint32_t handle = 1; handle <= pins_each; handle++) {
                all.push_back({context, handle});
            }
        }
        return all;
    }

private:
    mapping memory_;
    std::list<child> members_;
};

/// Others that pin and unpin, and open and close contexts, all the time.
class bustle {
public:
    bustle()
        : counter_(mapping::shared_anonymous(page)), memory_(mapping::anonymous(page)),
          pinner_([this] {
              const raw_device device;
              for (;; ++count()) {
                  if (device.unpin(device.must_pin(memory_.data(), page)) != 0) {
                      throw std::runtime_error("a pin is gone");
                  }
              }
          }),
          opener_([this] {
              for (;; count() += 10) {
                  const raw_device device;
                  for (int i = 0; i < 10; i++) {
                      device.must_pin(memory_.data(), page);
                  }
              }
          }) {}

    /// Pins made so far.
    [[nodiscard]] std::atomic<std::uint64_t>& count() const {
        return *counter_.as<std::atomic<std::uint64_t>>();
    }

private:
    mapping counter_, memory_;
    child pinner_, opener_;
};

/// Reads a pin as pinpin prints it: "3:17".
bool read_pin(std::istream& text, pin_id& pin) {
    char colon = 0;
    return text >> pin.context >> colon >> pin.handle && colon == ':';
}

/// A number of /proc/meminfo, in bytes.
std::size_t memory_used_for(const std::string& what) {
    std::ifstream lines("/proc/meminfo");
    for (std::string name; lines >> name;) {
        std::size_t kilobytes = 0;
        if (name == what + ':' && lines >> kilobytes) {
            return kilobytes * KiB;
        }
        lines.ignore(4096, '\n');
    }
    throw std::runtime_error("/proc/meminfo has no " + what);
}

std::uint64_t statistic(int attribute) {
    return netlink_socket().get(LONGPIN_CMD_STATS_GET).only().u64(attribute);
}

/// Says how long something took, in the guest's output.
template <typename Work>
auto timed(const char* what, const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    auto result = work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%s: %.2f s\n", what, took.count());
    std::fflush(stdout);
    return result;
}

} // namespace

TEST_CASE("scale: 100,000 pins are all listed, and once, while others come and go", "[.]") {
    const std::size_t slab_before = memory_used_for("Slab");
    const long held_before = pinned_pages();
    {
        const crowd members = timed("100 processes make 1000 pins each", [] { return crowd(); });
        const std::vector<pin_id> expected = members.pins();
        CHECK(statistic(LONGPIN_A_STATS_PINS) == expected.size());
        CHECK(statistic(LONGPIN_A_STATS_PAGES) == expected.size());
        CHECK(statistic(LONGPIN_A_STATS_CONTEXTS) == processes);
        CHECK(pinned_pages() == held_before + static_cast<long>(expected.size()));

        const bustle others;
        REQUIRE(eventually([&] { return others.count() > 0; }));
        for (int round = 0; round < 3; round++) {
            const std::uint64_t before = others.count();
            const netlink_answer answer =
                timed("a full dump", [] { return netlink_socket().dump(LONGPIN_CMD_PIN_GET); });
            CHECK(others.count() > before);
            CHECK(answer.err == 0);
            const std::vector<pin_id> listed = ids_of(answer);
            CHECK(std::ranges::adjacent_find(listed, std::greater_equal()) == listed.end());
            CHECK(std::ranges::includes(listed, expected));
        }

        // The same by the library.
        std::size_t found = 0;
        const std::vector<longpin::pin_record> listed =
            timed("the library's listing", [] { return longpin::inventory().pins(); });
        for (const longpin::pin_record& pin : listed) {
            if (found < expected.size() && pin_id{pin.context, pin.handle} == expected[found]) {
                found++;
            }
        }
        CHECK(found == expected.size());

        // And by pinpin.
        const run_result shown =
            timed("pinpin list", [] { return pinpin("list --no-header --columns pin"); });
        CHECK(shown.code == 0);
        std::istringstream lines(shown.output);
        found = 0;
        for (pin_id pin; found < expected.size() && read_pin(lines, pin);) {
            found += static_cast<std::size_t>(pin == expected[found]);
        }
        CHECK(found == expected.size());

        std::vector<std::uint32_t> full;
        const netlink_answer contexts = netlink_socket().dump(LONGPIN_CMD_CONTEXT_GET);
        for (const netlink_message& context : contexts.messages) {
            if (context.attributes.u64(LONGPIN_A_CONTEXT_PINS) == pins_each &&
                context.attributes.u64(LONGPIN_A_CONTEXT_PAGES) == pins_each) {
                full.push_back(context.attributes.u32(LONGPIN_A_CONTEXT_ID));
            }
        }
        CHECK(full == members.contexts());
    }
    // The processes are gone, and all that they had with them.
    CHECK(statistic(LONGPIN_A_STATS_PINS) == 0);
    CHECK(statistic(LONGPIN_A_STATS_PAGES) == 0);
    CHECK(statistic(LONGPIN_A_STATS_BOOKKEEPING) == 0);
    CHECK(statistic(LONGPIN_A_STATS_CONTEXTS) == 0);
    CHECK(pinned_pages() == held_before);
    CHECK(eventually([&] { return memory_used_for("Slab") < slab_before + 8 * MiB; }));
}

TEST_CASE("scale: devices that are much larger than RAM are pinned in one call", "[.]") {
    const long held_before = pinned_pages();
    for (const char* const name : {"devdax_2m", "devdax_1g"}) {
        INFO(name);
        const std::size_t length = name == std::string_view("devdax_2m") ? 256 * GiB : 64 * GiB;
        const mapping memory = map_devdax(name, length);
        const raw_device device;
        const std::uint32_t handle =
            timed(name, [&] { return device.must_pin(memory.data(), length, LONGPIN_PIN_WRITE); });
        const longpin_query query = must_query(device, handle);
        CHECK(query.out_pages == length / page);
        CHECK(query.out_kinds == LONGPIN_KIND_DEVDAX);
        // The device is one physical range, and so is the record of it.
        CHECK(query.out_runs == 1);
        CHECK(query.out_bookkeeping < 1 * KiB);

        for (const std::size_t offset : {std::size_t{0}, length / 2, length - 8}) {
            const std::uint64_t word = pattern(7, offset);
            REQUIRE(device.write(handle, offset, &word, sizeof(word)) == 0);
            CHECK(std::memcmp(memory.at(offset), &word, sizeof(word)) == 0);
        }
        CHECK(device.unpin(handle) == 0);
        CHECK(vm_pin() == 0);

        std::uint64_t seen = 0;
        const std::vector<longpin::pin> pieces = timed("in pieces of 1 GiB, by two threads", [&] {
            return longpin::pin_parallel_writable(
                longpin::device(), {memory.data(), length},
                {.threads = 2, .progress = [&](std::uint64_t done, std::uint64_t total) {
                     seen = done;
                     return total == length;
                 }});
        });
        CHECK(seen == length);
        CHECK(pieces.size() >= length / GiB);
        CHECK(pieces.size() <= length / GiB + 1); // the ends may be parts of a piece
        CHECK(vm_pin() == length);
    }
    CHECK(pinned_pages() == held_before);
}
