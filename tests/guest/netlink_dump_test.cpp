// SPDX-License-Identifier: MIT
// Dumps over many messages, while what they list comes and goes.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/netlink.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <linux/netlink.h>
#include <map>
#include <random>
#include <thread>

using namespace guest;

namespace {

using ids = std::vector<pin_id>;

/// In order, and none twice.
template <typename List>
bool ascending(const List& listed) {
    return std::ranges::adjacent_find(listed, std::greater_equal()) == listed.end();
}

/// A dump that is received datagram by datagram. Small ones, so that it stops often.
class slow_dump {
public:
    explicit slow_dump(std::uint8_t command) {
        socket_.set_room(page);
        socket_.send(longpin_request(command, NLM_F_DUMP).bytes());
    }

    /// Receives the next datagram. False: it was the last one.
    bool next() { return !socket_.receive(answer_); }

    [[nodiscard]] const netlink_answer& answer() const { return answer_; }

private:
    netlink_socket socket_;
    netlink_answer answer_;
};

bool module_is_used() {
    return read_line("/sys/module/longpin/refcnt") != "0";
}

} // namespace

TEST_CASE("netlink dump: it goes on where it was when what it stopped at is gone") {
    std::vector<raw_device> devices(4);
    const mapping memory = mapping::anonymous(page);
    constexpr std::uint32_t each = 200;
    for (const raw_device& device : devices) {
        for (std::uint32_t handle = 1; handle <= each; handle++) {
            REQUIRE(device.must_pin(memory.data(), page) == handle);
        }
    }
    std::map<std::uint32_t, raw_device*> by_context;
    for (raw_device& device : devices) {
        by_context[context_of(device)] = &device;
    }
    // When the dump has come there, pins with odd handles end, and one context as a whole.
    const std::uint32_t closed = context_of(devices[2]);
    std::set<pin_id> survivors;
    for (const auto& [context, device] : by_context) {
        for (std::uint32_t handle = 2; context != closed && handle <= each; handle += 2) {
            survivors.insert({context, handle});
        }
    }

    slow_dump dump(LONGPIN_CMD_PIN_GET);
    std::map<pin_id, int> ended; // in which turn
    int turns = 0;
    for (std::size_t seen = 0; dump.next(); turns++) {
        const ids listed = ids_of(dump.answer());
        REQUIRE(listed.size() > seen);
        const auto count = static_cast<std::uint32_t>(listed.size() - seen);
        for (; seen < listed.size(); seen++) {
            // What ended is not listed; but a datagram is filled when the one before it is read.
            const auto gone = ended.find(listed[seen]);
            CHECK((gone == ended.end() || gone->second >= turns - 1));
        }
        const auto [context, last] = listed.back();
        raw_device& device = *by_context.at(context);
        if (context == closed) {
            device.close();
            for (std::uint32_t handle = 1; handle <= each; handle++) {
                ended.try_emplace({closed, handle}, turns);
            }
            continue;
        }
        for (std::uint32_t handle = last - std::min(last, 5U); handle < last + 3 * count;
             handle++) {
            if (handle % 2 == 1 && device.unpin(handle) == 0) {
                ended[{context, handle}] = turns;
            }
        }
        device.must_pin(memory.data(), page);
    }
    CHECK(dump.answer().err == 0);
    CHECK(turns > 10);
    CHECK(ended.size() > 2 * std::size_t{each});
    const ids listed = ids_of(dump.answer());
    CHECK(ascending(listed));
    CHECK(std::ranges::includes(listed, survivors));
}

TEST_CASE("netlink dump: a context that is open all through it is listed once") {
    std::vector<raw_device> devices(300);
    std::set<std::uint32_t> survivors;
    for (std::size_t i = 0; i < devices.size(); i += 2) {
        survivors.insert(context_of(devices[i]));
    }
    slow_dump dump(LONGPIN_CMD_CONTEXT_GET);
    int turns = 0;
    for (; dump.next(); turns++) {
        // Of those that were just listed and of those that are next every other is closed.
        const std::size_t place = dump.answer().messages.size() / 2 * 2;
        for (std::size_t i = place - std::min<std::size_t>(place, 10); i < place + 60; i += 2) {
            if (i + 1 < devices.size()) {
                devices[i + 1].close();
            }
        }
    }
    CHECK(dump.answer().err == 0);
    CHECK(turns > 3);
    std::vector<std::uint32_t> listed;
    for (const netlink_message& message : dump.answer().messages) {
        listed.push_back(message.attributes.u32(LONGPIN_A_CONTEXT_ID));
    }
    CHECK(ascending(listed));
    CHECK(std::ranges::includes(listed, survivors));
    CHECK(listed.size() < 300);
}

TEST_CASE("netlink dump: it ends however much is added at its end meanwhile") {
    const mapping memory = mapping::anonymous(page);
    std::vector<raw_device> devices(100);
    for (int i = 0; i < 100; i++) {
        devices.back().must_pin(memory.data(), page);
    }
    for (const int command : {LONGPIN_CMD_CONTEXT_GET, LONGPIN_CMD_PIN_GET}) {
        slow_dump dump(static_cast<std::uint8_t>(command));
        for (int turns = 0; dump.next(); turns++) {
            REQUIRE(turns < 20);
            for (int i = 0; i < 50; i++) { // more than a datagram has
                devices[99].must_pin(memory.data(), page);
            }
            devices.emplace_back().must_pin(memory.data(), page);
        }
        CHECK(dump.answer().err == 0);
        CHECK(dump.answer().messages.size() >= 100);
    }
}

TEST_CASE("netlink dump: while pins and contexts come and go it misses none and lists none twice") {
    constexpr std::size_t contexts = 16;
    constexpr int each = 128;
    const mapping memory = mapping::anonymous(page);
    const mapping counter = mapping::shared_anonymous(page);
    auto* const opened = counter.as<std::atomic<unsigned>>();

    // Another process opens contexts and leaves pins in them.
    const child other([&] {
        for (;; ++*opened) {
            const raw_device device;
            for (int i = 0; i < 20; i++) {
                device.must_pin(memory.data(), page);
            }
        }
    });
    for (int round = 0; round < 12; round++) {
        const std::vector<raw_device> devices(contexts);
        std::set<pin_id> survivors;
        std::vector<std::pair<const raw_device*, std::uint32_t>> doomed;
        for (const raw_device& device : devices) {
            const std::uint32_t context = context_of(device);
            for (int i = 0; i < each; i++) {
                survivors.insert({context, device.must_pin(memory.data(), page)});
                doomed.emplace_back(&device, device.must_pin(memory.data(), page));
            }
        }
        std::ranges::shuffle(doomed, std::minstd_rand(static_cast<unsigned>(round) + 1));

        // One thread ends what lies between the survivors, one makes and ends pins behind them.
        std::atomic<bool> done = false;
        std::atomic<std::size_t> ended = 0;
        std::atomic<int> failures = 0;
        std::thread unpinner([&] {
            for (const auto& [device, handle] : doomed) {
                failures += static_cast<int>(device->unpin(handle) != 0);
                ended++;
            }
        });
        std::thread pinner([&] {
            for (std::size_t i = 0; !done; i++) {
                const raw_device& device = devices[i % contexts];
                failures += device.unpin(device.must_pin(memory.data(), page));
            }
        });

        netlink_socket socket;
        socket.set_room(round % 2 == 0 ? page : 8 * page);
        while (ended < doomed.size()) {
            const netlink_answer answer = socket.dump(LONGPIN_CMD_PIN_GET);
            const ids listed = ids_of(answer);
            CHECK(answer.err == 0);
            CHECK(ascending(listed));
            CHECK(std::ranges::includes(listed, survivors));
        }
        done = true;
        unpinner.join();
        pinner.join();
        CHECK(failures == 0);
    }
    CHECK(*opened > 0);
}

TEST_CASE("netlink dump: while processes that hold pins are killed it misses no other's pin") {
    const raw_device before;
    const mapping memory = mapping::anonymous(page);
    const pin_id first{context_of(before), before.must_pin(memory.data(), page)};
    for (int round = 0; round < 10; round++) {
        gate pinned;
        const auto work = [&] {
            const raw_device own;
            for (int i = 0; i < 500; i++) {
                own.must_pin(memory.data(), page);
            }
            pinned.open();
            ::pause();
        };
        const child one(work);
        const child two(work);
        pinned.pass();
        pinned.pass();
        const raw_device behind;
        const pin_id last{context_of(behind), behind.must_pin(memory.data(), page)};

        slow_dump dump(LONGPIN_CMD_PIN_GET);
        for (int turns = 0; dump.next(); turns++) {
            if (turns == round) {
                ::kill(one.pid(), SIGKILL); // goes while the dump goes on
                ::kill(two.pid(), SIGKILL);
            }
        }
        CHECK(dump.answer().err == 0);
        const ids listed = ids_of(dump.answer());
        CHECK(ascending(listed));
        REQUIRE_FALSE(listed.empty());
        CHECK(listed.front() == first);
        CHECK(listed.back() == last);
    }
}

TEST_CASE("netlink dump: one that is given up half-way holds nothing") {
    REQUIRE_FALSE(module_is_used());
    const mapping memory = mapping::anonymous(page);
    for (int round = 0; round < 50; round++) {
        raw_device device;
        for (int i = 0; i < 100; i++) {
            device.must_pin(memory.data(), page);
        }
        slow_dump dump(LONGPIN_CMD_PIN_GET);
        REQUIRE(dump.next());
        device.close();
        REQUIRE(module_is_used()); // by the dump
    }
    CHECK_FALSE(module_is_used());
}

TEST_CASE("netlink dump: the module can't be removed under one, and under a subscriber it can") {
    netlink_socket subscriber;
    REQUIRE(subscriber.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    const mapping memory = mapping::anonymous(page);
    {
        raw_device device;
        for (int i = 0; i < 50; i++) {
            device.must_pin(memory.data(), page);
        }
        const slow_dump dump(LONGPIN_CMD_PIN_GET);
        device.close();
        CHECK(remove_module() == EWOULDBLOCK);
    }
    REQUIRE(remove_module() == 0);
    CHECK(find_family(LONGPIN_FAMILY_NAME).err == ENOENT);

    // The next module knows nothing of the subscription.
    REQUIRE(load_module() == 0);
    while (subscriber.event(0)) {
    }
    const raw_device device;
    device.must_pin(memory.data(), page);
    CHECK_FALSE(subscriber.event(200));
    REQUIRE(subscriber.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    device.must_pin(memory.data(), page);
    CHECK(subscriber.event());
}
