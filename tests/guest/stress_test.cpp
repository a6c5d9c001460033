// SPDX-License-Identifier: MIT
// Things that happen at once, thousands of times: no call may give what it can't give, and in the
// end nothing is held, charged or left. That the kernel didn't complain is seen to after the run.
//
// LONGPIN_FUZZ_SEED chooses what the threads do, and when; without it, it is the same each time.
#include "support/child.hpp"
#include "support/dice.hpp"
#include "support/lease.hpp"
#include "support/module.hpp"
#include "support/netlink.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <initializer_list>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

unsigned seed() {
    return fuzz_seed(1);
}

/// What a call gave that it can't give, of any thread; the last one.
class surprises {
public:
    void expect(const char* call, int err, std::initializer_list<int> possible) {
        if (std::ranges::find(possible, err) == possible.end()) {
            const std::scoped_lock lock(lock_);
            count_++;
            last_ = std::string(call) + " gave " + std::to_string(err);
        }
    }

    void check() {
        INFO(last_);
        CHECK(count_ == 0);
    }

private:
    std::mutex lock_;
    int count_ = 0;
    std::string last_;
};

/// Memory that is in the same place for all, and there again after each change of it.
class place {
public:
    explicit place(std::size_t length) : memory_(mapping::anonymous(length)) {}

    [[nodiscard]] std::byte* at(std::size_t offset) const { return memory_.at(offset); }
    [[nodiscard]] std::size_t length() const { return memory_.length(); }

    /// Takes what is there out of the mapping, in one of the ways in which that is done.
    void change(dice& random) const {
        const std::size_t pages = memory_.length() / page;
        const std::size_t first = random.number(0, static_cast<std::uint32_t>(pages - 1));
        const std::size_t length =
            random.number(1, static_cast<std::uint32_t>(pages - first)) * page;
        std::byte* const from = memory_.at(first * page);
        if (random.once_in(2)) {
            ::madvise(from, length, MADV_DONTNEED);
        } else {
            must(::mmap(from, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == from,
                 "mmap");
        }
    }

private:
    mapping memory_;
};

/// Everything as it was when the object was made.
class nothing_left {
public:
    void check() const {
        CHECK(vm_pin() == 0);
        CHECK(pinned_pages() == held_);
        CHECK(raw_device().info().out_max_pages_used == charged_);
    }

private:
    long held_ = pinned_pages();
    std::uint64_t charged_ = raw_device().info().out_max_pages_used;
};

} // namespace

TEST_CASE("stress: one context and its handles, by threads that do all there is") {
    const nothing_left as_before;
    const place memory(32 * page);
    surprises odd;
    {
        // The number of a file that others close is another's at once.
        std::array<std::atomic<int>, 2> descriptors{};
        for (auto& descriptor : descriptors) {
            descriptor = ::open("/dev/longpin", O_RDWR | O_CLOEXEC);
        }
        const auto work = [&](unsigned own) {
            dice random(own);
            std::vector<std::byte> buffer(4 * page);
            for (int round = 0; round < rounds(2500); round++) {
                auto& chosen = random.one_of(descriptors);
                const raw_device device(file(::fcntl(chosen, F_DUPFD_CLOEXEC, 0)));
                const auto handle = random.number(1, 40);
                switch (random.number(0, 9)) {
                case 0:
                case 1:
                case 2: {
                    const std::uint32_t flags =
                        random.once_in(2) ? leased_write : LONGPIN_PIN_WRITE;
                    odd.expect("PIN", device.pin(memory.at(0), memory.length(), flags),
                               {0, EAGAIN, EBADF, ENOMEM});
                    break;
                }
                case 3:
                case 4: odd.expect("UNPIN", device.unpin(handle), {0, ENOENT, EBADF}); break;
                case 5: {
                    longpin_query answer{};
                    odd.expect("QUERY", device.query(handle, answer), {0, ENOENT, EBADF});
                    break;
                }
                case 6:
                    odd.expect("COPY", device.write(handle, 100, buffer.data(), buffer.size()),
                               {0, ENOENT, EBADF, ESTALE});
                    break;
                case 7: {
                    longpin_repin answer{};
                    odd.expect("REPIN", device.repin(handle, answer),
                               {0, ENOENT, EBADF, EOPNOTSUPP, EAGAIN, ENOMEM});
                    break;
                }
                case 8:
                    odd.expect("LET_GO", device.let_go(handle, 0, 8 * page),
                               {0, ENOENT, EBADF, EOPNOTSUPP});
                    break;
                default:
                    if (random.once_in(8)) {
                        ::close(chosen.exchange(::open("/dev/longpin", O_RDWR | O_CLOEXEC)));
                    } else {
                        memory.change(random);
                    }
                }
            }
        };
        std::thread one(work, seed());
        std::thread two(work, seed() + 1);
        one.join();
        two.join();
        for (auto& descriptor : descriptors) {
            ::close(descriptor);
        }
    }
    odd.check();
    as_before.check();
}

TEST_CASE("stress: UNPIN and close against what takes a lease back") {
    const nothing_left as_before;
    const place memory(64 * page);
    surprises odd;
    {
        dice changes(seed());
        const repeated changer([&] { memory.change(changes); });
        dice random(seed() + 1);
        for (int round = 0; round < rounds(3000); round++) {
            const raw_device device;
            longpin_pin pin{};
            const int err = device.pin(memory.at(0), memory.length(), leased_write, pin);
            odd.expect("PIN", err, {0, EAGAIN});
            if (err == 0 && random.once_in(2)) {
                odd.expect("UNPIN", device.unpin(pin.out_handle), {0});
            }
        }
    }
    odd.check();
    as_before.check();
}

TEST_CASE("stress: LET_GO and REPIN against what takes a lease back") {
    const nothing_left as_before;
    const place memory(64 * page);
    surprises odd;
    {
        const raw_device device;
        longpin_pin pin{};
        REQUIRE(device.pin(memory.at(0), memory.length(), leased_write, pin) == 0);
        dice changes(seed());
        const repeated changer([&] { memory.change(changes); });
        dice other(seed() + 1);
        const repeated letting_go([&] {
            const auto first = other.number(0, 63);
            odd.expect("LET_GO", device.let_go(pin.out_handle, first * page, (64 - first) * page),
                       {0});
        });
        for (int round = 0; round < rounds(3000); round++) {
            longpin_repin answer{};
            odd.expect("REPIN", device.repin(pin.out_handle, answer), {0, EAGAIN});
        }
    }
    odd.check();
    as_before.check();
}

TEST_CASE("stress: dumps against contexts and pins that come and go, and processes that end") {
    const nothing_left as_before;
    const mapping memory = mapping::anonymous(4 * page);
    {
        dice random(seed());
        const repeated comer([&] {
            const raw_device device;
            for (auto pins = random.number(0, 40); pins > 0; pins--) {
                device.pin(memory.data(), page);
            }
        });
        const repeated mortal([&] {
            child process([&] {
                const raw_device device;
                for (int i = 0; i < 20; i++) {
                    device.must_pin(memory.data(), 4 * page, leased_write);
                }
            });
            process.wait();
        });
        netlink_socket socket;
        for (int round = 0; round < rounds(300); round++) {
            socket.dump(round % 2 == 0 ? LONGPIN_CMD_PIN_GET : LONGPIN_CMD_CONTEXT_GET);
            read_line("/proc/self/fdinfo/0");
        }
    }
    as_before.check();
}

TEST_CASE("stress: forks against pins") {
    const nothing_left as_before;
    const mapping memory = mapping::anonymous(32 * page);
    memory.fill();
    surprises odd;
    {
        const raw_device device;
        dice random(seed());
        const repeated pinner([&] {
            longpin_pin pin{};
            const std::uint32_t flags = random.once_in(2) ? leased : LONGPIN_PIN_WRITE;
            const int err = device.pin(memory.data(), memory.length(), flags, pin);
            odd.expect("PIN", err, {0, EAGAIN});
            if (err == 0) {
                const auto offset = random.number(0, 31) * page;
                const std::uint64_t written = random.number(0, ~0U);
                std::uint64_t read = 0;
                std::memcpy(memory.at(offset), &written, 8);
                odd.expect("COPY", device.read(pin.out_handle, offset, &read, 8), {0});
                odd.expect("COPY, compared", read == written ? 0 : -1, {0});
                odd.expect("UNPIN", device.unpin(pin.out_handle), {0});
            }
        });
        for (int round = 0; round < rounds(500); round++) {
            const pid_t process = ::fork();
            if (process == 0) {
                *memory.at(7 * page) = std::byte{1};
                ::_exit(0);
            }
            ::waitpid(process, nullptr, 0);
        }
    }
    odd.check();
    as_before.check();
}

TEST_CASE("stress: pages that break while they are pinned, or before") {
    const nothing_left as_before;
    // Each round takes a page away from the guest, and may kill who uses it.
    for (int round = 0; round < 40; round++) {
        child process([&] {
            const mapping memory = mapping::anonymous(8 * page);
            memory.fill();
            const raw_device device;
            const auto pin = [&] {
                for (const std::uint32_t flags : {leased_write, std::uint32_t{LONGPIN_PIN_WRITE}}) {
                    device.pin(memory.data(), memory.length(), flags);
                }
            };
            constexpr int soft_offline = 101; // in linux/mman.h, which can't be had with sys/mman.h
            const auto breaks = [&] {
                ::madvise(memory.at(3 * page), page, round % 2 == 0 ? MADV_HWPOISON : soft_offline);
            };
            if (round % 3 == 0) {
                pin();
                breaks();
            } else if (round % 3 == 1) {
                breaks();
                pin();
            } else {
                std::thread breaker(breaks);
                pin();
                breaker.join();
            }
            std::byte buffer[page];
            device.read(1, 3 * page, buffer, page);
        });
        process.wait();
    }
    as_before.check();
}

TEST_CASE("stress: a program that pins is killed at any moment") {
    const nothing_left as_before;
    const dax_file data("xfs_dax", 64 * page);
    dice random(seed());
    for (int round = 0; round < rounds(1000); round++) {
        const pid_t process = ::fork();
        if (process == 0) {
            dice own(seed() + static_cast<unsigned>(round));
            const place memory(256 * page);
            const raw_device device;
            for (;;) {
                longpin_pin pin{};
                longpin_repin answer{};
                const std::uint32_t flags = own.once_in(2) ? leased_write : LONGPIN_PIN_WRITE;
                if (own.once_in(3)) {
                    device.pin(data.memory.data(), data.memory.length(), leased_write, pin);
                } else {
                    device.pin(memory.at(0), memory.length(), flags, pin);
                }
                memory.change(own);
                device.repin(pin.out_handle, answer);
                if (own.once_in(2)) {
                    static_cast<void>(device.unpin(pin.out_handle));
                }
            }
        }
        ::usleep(random.number(0, 8000));
        ::kill(process, SIGKILL);
        ::waitpid(process, nullptr, 0);
    }
    as_before.check();
}

TEST_CASE("stress: the module goes and comes while files are opened") {
    std::atomic<int> opened = 0;
    {
        const repeated opener([&] {
            const file device(::open("/dev/longpin", O_RDWR | O_CLOEXEC));
            opened += device.get() >= 0 ? 1 : 0;
        });
        int removed = 0;
        // It has to come between two openings.
        for (int round = 0; round < 100000 && removed < rounds(60); round++) {
            const int err = remove_module();
            REQUIRE((err == 0 || err == EWOULDBLOCK));
            if (err == 0) {
                removed++;
                REQUIRE(load_module() == 0);
            }
        }
        CHECK(removed > 0);
    }
    CHECK(opened > 0);
}
