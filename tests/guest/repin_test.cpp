// SPDX-License-Identifier: MIT
// REPIN while others look: all or nothing, within the limits, and an answer that arrives.
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

/// Private memory, then a page of a file on fs-DAX: a REPIN that takes that page for writing while
/// the file system is frozen stops there, with everything before it taken.
struct stopping_memory {
    static constexpr std::size_t private_pages = 8;
    static constexpr std::size_t pages = private_pages + 1;

    stopping_memory()
        : slow(temporary_file(backing("xfs_dax"), page)),
          memory(mapping::anonymous((pages + 1) * page)) {
        must(::mmap(memory.at(private_pages * page), page, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_FIXED, slow.get(), 0) != MAP_FAILED,
             "mmap");
        for (std::size_t i = 0; i < private_pages; i++) {
            *memory.at(i * page) = std::byte{1};
        }
    }

    /// Takes all pages out of the mapping.
    void drop() const {
        must(::madvise(memory.data(), pages * page, MADV_DONTNEED) == 0, "madvise");
    }

    file slow;
    mapping memory;
};

/// A thread, and its id.
class repinner {
public:
    repinner(const raw_device& device, std::uint32_t handle, std::uint64_t length = 0)
        : thread_([this, &device, handle, length] {
              id_ = pid_t(::syscall(SYS_gettid));
              result_ = device.repin(handle, answer_, 0, length);
          }) {}

    [[nodiscard]] bool stops() const {
        return eventually([&] { return id_ != 0; }) && falls_asleep(id_);
    }

    int join() {
        thread_.join();
        return result_;
    }

    [[nodiscard]] const longpin_repin& answer() const { return answer_; }

private:
    std::atomic<pid_t> id_ = 0;
    int result_ = -1;
    longpin_repin answer_{};
    std::thread thread_; // the last: it uses the others
};

std::size_t extents_length(const raw_device& device, std::uint32_t handle) {
    std::size_t length = 0;
    for (const longpin_extent& extent : device.extents(handle)) {
        length += extent.length;
    }
    return length;
}

/// The last bytes of a page that may not be written to, filled with a request.
template <typename T>
class unwritable {
public:
    explicit unwritable(const T& request)
        : memory_(page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS) {
        *memory_.as<T>() = request;
        memory_.protect(PROT_READ);
    }

    [[nodiscard]] void* get() const { return memory_.data(); }

private:
    mapping memory_;
};

} // namespace

TEST_CASE(
    "repin: nobody sees what a REPIN takes before it succeeds, and nothing of one that fails") {
    const raw_device device;
    const mapping status(page, PROT_READ, MAP_SHARED, device.descriptor());
    const std::atomic_ref counter(status.as<longpin_status>()->generation);
    const stopping_memory data;
    const bool fails = GENERATE(false, true);
    INFO((fails ? "it fails" : "it succeeds"));
    const std::size_t pinned = stopping_memory::pages + (fails ? 1 : 0);
    *data.memory.at(stopping_memory::pages * page) = std::byte{1};
    const std::uint32_t handle = device.must_pin(data.memory.data(), pinned * page, leased_write);
    data.drop();
    if (fails) { // at its last page, which is a hole by then
        data.memory.unmap_part(stopping_memory::pages * page, page);
    }
    (void)device.events();
    const std::uint64_t before = counter;
    REQUIRE(must_query(device, handle).out_pages == 0);

    frozen filesystem(data.slow);
    repinner other(device, handle);
    REQUIRE(other.stops());
    CHECK(must_query(device, handle).out_pages == 0);
    CHECK(must_query(device, handle).out_runs == 0);
    CHECK(must_query(device, handle).out_revoked_pages == pinned);
    CHECK(extents_length(device, handle) == 0);
    std::byte byte{};
    CHECK(device.read(handle, 0, &byte, 1) == ESTALE);
    CHECK(device.write(handle, page, &byte, 1) == ESTALE);

    filesystem.thaw();
    const int result = other.join();
    CHECK(counter == before);
    CHECK(device.events().empty());
    if (fails) {
        CHECK(result == EFAULT);
        CHECK(other.answer().out_reason == LONGPIN_REASON_HOLE);
        CHECK(must_query(device, handle).out_pages == 0);
        CHECK(extents_length(device, handle) == 0);
        CHECK(vm_pin() == 0);
    } else {
        CHECK(result == 0);
        CHECK(other.answer().out_repinned == pinned);
        CHECK(other.answer().out_pages == pinned);
        CHECK(must_query(device, handle).out_pages == pinned);
        CHECK(extents_length(device, handle) == pinned * page);
        CHECK(vm_pin() == pinned * page);
    }
}

TEST_CASE("repin: what is revoked while it is under way is taken again, and nobody is notified") {
    const raw_device device;
    const stopping_memory data;
    const std::uint32_t handle =
        device.must_pin(data.memory.data(), stopping_memory::pages * page, leased_write);
    data.drop();
    (void)device.events();
    frozen filesystem(data.slow);
    repinner other(device, handle);
    REQUIRE(other.stops());
    // Another process's limit doesn't matter here; LET_GO needs no lock of the mapping.
    CHECK(device.let_go(handle, 0, 2 * page) == 0);
    filesystem.thaw();
    REQUIRE(other.join() == 0);
    CHECK(other.answer().out_pages == stopping_memory::pages);
    CHECK(must_query(device, handle).out_pages == stopping_memory::pages);
    CHECK(vm_pin() == stopping_memory::pages * page);
    CHECK(device.events().empty());
}

TEST_CASE("repin: a yield of pages that are held does not let it pass a limit") {
    constexpr std::size_t pages = 4096;
    constexpr std::size_t held = 512;
    constexpr std::size_t limit = pages * page;
    const raw_device device;
    const std::size_t most = in_child([&] {
        set_memlock_limit((pages + held) * page);
        become_ordinary_user();
        const mapping memory = mapping::small((pages + held) * page);
        const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), leased_write);
        // Many gaps take long to be counted. All that is missing would pass the limit.
        for (std::size_t i = 0; i < pages; i += 2) {
            must(device.let_go(handle, i * page, page) == 0, "LET_GO");
        }
        rlimit memlock{};
        must(::getrlimit(RLIMIT_MEMLOCK, &memlock) == 0, "getrlimit");
        memlock.rlim_cur = limit;
        must(::setrlimit(RLIMIT_MEMLOCK, &memlock) == 0, "setrlimit");

        std::atomic<int> round = 0;
        std::atomic<bool> done = false;
        std::thread yielder([&] {
            for (int seen = 0; !done;) {
                if (round != seen) {
                    seen = round;
                    for (int spins = (seen * 37) % 4000; spins > 0; spins--) {
                        std::atomic_signal_fence(std::memory_order_seq_cst);
                    }
                    (void)device.let_go(handle, pages * page, held * page);
                }
            }
        });
        std::size_t seen = 0;
        for (int i = 0; i < 300 && seen <= limit; i++) {
            longpin_repin answer{};
            (void)device.repin(handle, answer, pages * page); // what was yielded
            round++;
            (void)device.repin(handle, answer);
            seen =
                std::max({seen, vm_pin(), std::size_t(must_query(device, handle).out_pages * page),
                          std::size_t(device.info().out_memlock_used)});
        }
        done = true;
        yielder.join();
        (void)device.unpin(handle);
        return seen;
    });
    CHECK(most <= limit);
}

TEST_CASE("repin: an answer that can't be delivered leaves REPIN and LET_GO undone") {
    const raw_device device;
    const mapping memory = mapping::small(8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased_write);

    auto let_go = request<longpin_let_go>();
    let_go.handle = handle;
    let_go.length = 4 * page;
    CHECK(device.call(LONGPIN_LET_GO, unwritable(let_go).get()) == EFAULT);
    CHECK(must_query(device, handle).out_pages == 8);
    CHECK(vm_pin() == 8 * page);

    REQUIRE(device.let_go(handle, 0, 4 * page) == 0);
    const long before = pinned_pages();
    auto repin = request<longpin_repin>();
    repin.handle = handle;
    CHECK(device.call(LONGPIN_REPIN, unwritable(repin).get()) == EFAULT);
    CHECK(must_query(device, handle).out_pages == 4);
    CHECK(vm_pin() == 4 * page);
    CHECK(pinned_pages() == before);
    CHECK(device.events().empty());

    longpin_repin answer{};
    CHECK(device.repin(handle, answer) == 0);
    CHECK(answer.out_repinned == 4);
}

TEST_CASE("repin: what it took becomes one run with what was held") {
    const raw_device device;
    const mapping memory = map_devdax("devdax_4k", 64 * page);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 64 * page, leased_write);
    const longpin_query whole = must_query(device, handle);
    for (const auto& [first, pages] :
         {std::pair(0UL, 5UL), std::pair(20UL, 7UL), std::pair(63UL, 1UL)}) {
        REQUIRE(device.let_go(handle, first * page, pages * page) == 0);
        longpin_repin answer{};
        REQUIRE(device.repin(handle, answer, first * page, pages * page) == 0);
        REQUIRE(answer.out_repinned == pages);
        const longpin_query again = must_query(device, handle);
        CHECK(again.out_runs == whole.out_runs);
        CHECK(again.out_bookkeeping == whole.out_bookkeeping);
        CHECK(device.extents(handle).size() == whole.out_runs);
    }
}

TEST_CASE("repin: of threads that end a pin and yield its pages, each page is given back once") {
    const raw_device device;
    for (int round = 0; round < 200; round++) {
        const mapping memory = mapping::small(8 * page);
        const std::uint32_t handle = device.must_pin(memory.data(), 8 * page, leased);
        std::atomic<int> ready = 0;
        auto let_go = request<longpin_let_go>();
        let_go.handle = handle;
        let_go.length = 8 * page;
        int yielded = -1;
        std::thread other([&] {
            ready++;
            while (ready < 2) {
            }
            yielded = device.call(LONGPIN_LET_GO, &let_go);
        });
        ready++;
        while (ready < 2) {
        }
        const int unpinned = device.unpin(handle);
        other.join();
        CHECK(unpinned == 0);
        // Either it was first, and gave all of them back, or the pin had ended.
        CHECK((yielded == ENOENT || (yielded == 0 && let_go.out_pages > 0)));
        CHECK(vm_pin() == 0);
    }
}
