// SPDX-License-Identifier: MIT
// What others can feel of a user who has subscribed as often as it may, and whose leases are
// revoked without end.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace guest;
using std::chrono::steady_clock;

namespace {

void become_user(uid_t user) {
    must(::setresgid(user, user, user) == 0, "setresgid");
    must(::setresuid(user, user, user) == 0, "setresuid");
    must(::prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
}

/// As many subscriptions as an ordinary user may have.
std::vector<netlink_socket> many_subscriptions() {
    std::vector<netlink_socket> sockets(64);
    for (netlink_socket& socket : sockets) {
        must(socket.get(LONGPIN_CMD_SUBSCRIBE).err == 0, "subscribe");
    }
    return sockets;
}

/// An ordinary user with many subscriptions and leases, which are revoked as often as they can be,
/// until the object goes.
class flood {
public:
    explicit flood(const raw_device& device)
        : flooder_([this, &device] {
              become_user(2000);
              const std::vector<netlink_socket> sockets = many_subscriptions();
              const mapping memory = mapping::small(page);
              std::vector<std::uint32_t> handles(300);
              for (std::uint32_t& handle : handles) {
                  handle = device.must_pin(memory.data(), page, leased);
              }
              for (bool told = false;; told = true) {
                  must(::madvise(memory.data(), page, MADV_DONTNEED) == 0, "madvise");
                  if (!told) {
                      flooding_.open();
                  }
                  for (const std::uint32_t handle : handles) {
                      longpin_repin answer{};
                      must(device.repin(handle, answer) == 0, "repin");
                  }
              }
          }) {
        flooding_.pass();
    }

private:
    gate flooding_;
    child flooder_;
};

/// The least that something takes of many tries, in microseconds.
template <typename Work>
double least(const Work& work) {
    double best = 1e9;
    for (int i = 0; i < 300; i++) {
        const auto start = steady_clock::now();
        work();
        const std::chrono::duration<double, std::micro> took = steady_clock::now() - start;
        best = std::min(best, took.count());
    }
    return best;
}

} // namespace

TEST_CASE("netlink load: the kernel's other work goes on while a user's leases are revoked") {
    const raw_device device;
    const flood others(device);
    // Each read has the kernel run something on each processor's queue, and waits for it.
    const file statistics = open_file("/proc/sys/vm/stat_refresh", O_RDONLY);
    steady_clock::duration longest{};
    for (int i = 0; i < 10; i++) {
        char byte = 0;
        const auto start = steady_clock::now();
        REQUIRE(::pread(statistics.get(), &byte, 1, 0) >= 0);
        longest = std::max(longest, steady_clock::now() - start);
    }
    CHECK(longest < std::chrono::seconds(2));
}

TEST_CASE("netlink load: a user's own revocations come, whatever another's leases do") {
    constexpr std::uint64_t count = 40;
    const raw_device device;
    const flood others(device);
    struct outcome {
        std::uint64_t heard, lost;
    };
    const outcome got = as_ordinary_user([&] {
        outcome result{};
        netlink_socket events;
        must(events.get(LONGPIN_CMD_SUBSCRIBE).err == 0, "subscribe");
        const mapping memory = mapping::small(count * page);
        device.must_pin(memory.data(), count * page, leased);
        for (std::size_t i = 0; i < count; i++) {
            must(::madvise(memory.at(i * page), page, MADV_DONTNEED) == 0, "madvise");
        }
        while (result.heard < count) {
            try {
                const auto event = events.event(5000);
                if (!event) {
                    break;
                }
                if (event->command == LONGPIN_CMD_REVOKED_NTF &&
                    event->attributes.u64(LONGPIN_A_PIN_CHANGED_OFFSET) == result.heard * page) {
                    result.heard++;
                }
            } catch (const std::system_error&) {
                result.lost++;
            }
        }
        return result;
    });
    CHECK(got.heard == count);
    CHECK(got.lost == 0);
}

TEST_CASE("netlink load: subscriptions of others make neither pins nor other sockets slow") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto pin = [&] {
        must(device.unpin(device.must_pin(memory.data(), page)) == 0, "unpin");
    };
    const auto open_and_close = [] { const netlink_socket unrelated; };
    const double pin_before = least(pin);
    const double close_before = least(open_and_close);

    constexpr uid_t users = 150;
    gate subscribed;
    std::vector<std::unique_ptr<child>> others;
    for (uid_t i = 0; i < users; i++) {
        others.push_back(std::make_unique<child>([&, i] {
            become_user(3000 + i);
            const std::vector<netlink_socket> sockets = many_subscriptions();
            subscribed.open();
            ::pause();
        }));
    }
    for (uid_t i = 0; i < users; i++) {
        subscribed.pass();
    }
    const double pin_after = least(pin);
    const double close_after = least(open_and_close);
    others.clear();
    CAPTURE(pin_before, pin_after, close_before, close_after);
    CHECK(pin_after < 3 * pin_before);
    CHECK(close_after < 3 * close_before);
    WARN("pin and unpin " << pin_before << " -> " << pin_after << " us, open and close "
                          << close_before << " -> " << close_after << " us");
}
