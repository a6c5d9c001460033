// SPDX-License-Identifier: MIT
// What the library says of threads, for ThreadSanitizer to judge. Catch2's assertions are
// for one thread, so the others count what went wrong.
#include "fake_kernel.hpp"
#include "mapped.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {

constexpr std::size_t threads = 4;
constexpr std::size_t rounds = 100;

/// Counts what a thread found to be wrong. Orders nothing, so that it hides no race.
class mistakes {
public:
    void expect(bool so) noexcept { count_.fetch_add(so ? 0 : 1, std::memory_order_relaxed); }

    [[nodiscard]] int count() const noexcept { return count_.load(std::memory_order_relaxed); }

private:
    std::atomic<int> count_ = 0;
};

/// Runs \p work(i, mistakes) in \p threads threads that begin together. Returns how many
/// mistakes they found.
template <typename Work>
int at_once(Work work) {
    mistakes found;
    std::barrier begin(std::ptrdiff_t{threads});
    {
        std::vector<std::jthread> running;
        running.reserve(threads);
        for (std::size_t i = 0; i < threads; ++i) {
            running.emplace_back([&, i] {
                begin.arrive_and_wait();
                try {
                    work(i, found);
                } catch (const std::exception&) {
                    found.expect(false);
                }
            });
        }
    }
    return found.count();
}

/// Hands pins from thread to thread.
class queue {
public:
    void put(longpin::pin pin) {
        const std::scoped_lock lock(mutex_);
        pins_.push_back(std::move(pin));
        filled_.notify_one();
    }

    longpin::pin take() {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return !pins_.empty(); });
        longpin::pin pin = std::move(pins_.front());
        pins_.pop_front();
        return pin;
    }

private:
    std::mutex mutex_;
    std::condition_variable filled_;
    std::deque<longpin::pin> pins_;
};

} // namespace

TEST_CASE("threads: several threads pin and unpin on one device at once") {
    const fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    CHECK(at_once([&](std::size_t, mistakes& found) {
              std::vector<std::byte> memory(5000);
              for (std::size_t i = 0; i < rounds; ++i) {
                  longpin::pin pin = device.pin_writable(memory);
                  const longpin::pin other = device.pin(memory);
                  found.expect(pin.handle() != other.handle());
                  found.expect(device.info().page_size == 4096);
                  found.expect(std::holds_alternative<longpin::footprint>(device.check(memory)));
                  pin.unpin();
              }
          }) == 0);
    CHECK(kernel.pins.empty());
    CHECK(kernel.count(LONGPIN_UNPIN) == 2 * threads * rounds);
}

TEST_CASE("threads: several threads pin in pieces at once, by threads of their own") {
    const fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    const mapped memory(4 * 512 + 1);
    CHECK(at_once([&](std::size_t, mistakes& found) {
              for (std::size_t i = 0; i < rounds / 10; ++i) {
                  std::uint64_t seen = 0;
                  const auto progress = [&](std::uint64_t done, std::uint64_t) {
                      found.expect(done > seen);
                      seen = done;
                      return true;
                  };
                  const auto pins = longpin::pin_parallel_writable(
                      device, memory.bytes(), {.threads = 3, .progress = progress});
                  found.expect(pins.size() >= 4 && seen == memory.bytes().size());
              }
          }) == 0);
    CHECK(kernel.pins.empty());
}

TEST_CASE("threads: several threads use one pin at once by its const members") {
    const fake_kernel kernel;
    std::vector<std::byte> memory(10 * fake_kernel::page_size, std::byte{1});
    const longpin::pin pin = fake_kernel::open().pin_writable(memory, {.cookie = 5});
    CHECK(at_once([&](std::size_t own, mistakes& found) {
              std::vector<std::byte> bytes(100);
              const auto part = own * bytes.size();
              for (std::size_t i = 0; i < rounds; ++i) {
                  pin.read(part, bytes);
                  found.expect(bytes.front() == std::byte{1});
                  pin.write(part, bytes);
                  found.expect(pin && pin.query().cookie == 5 && pin.length() == memory.size());
                  std::uint64_t next = 0;
                  for (const longpin::extent& extent : pin.extents()) {
                      next = extent.offset + extent.length;
                  }
                  found.expect(next == pin.length());
              }
          }) == 0);
}

TEST_CASE("threads: pins are handed from thread to thread, and each ends once") {
    const fake_kernel kernel;
    std::optional<longpin::device> device = fake_kernel::open();
    std::array<queue, threads> queues;
    // A ring: each thread makes pins for the next, and ends those of the one before.
    CHECK(at_once([&](std::size_t own, mistakes& found) {
              const std::vector<std::byte> memory(1);
              queue& mine = queues.at(own);
              queue& next = queues.at((own + 1) % threads);
              for (std::size_t i = 0; i < rounds; ++i) {
                  next.put(device->pin(memory));
                  const longpin::pin pin = mine.take();
                  found.expect(pin.query().handle == pin.handle());
              }
          }) == 0);
    CHECK(kernel.pins.empty());
    CHECK(kernel.count(LONGPIN_UNPIN) == threads * rounds);
}

TEST_CASE("threads: the device object may go while threads hold its pins, and its file goes last") {
    const fake_kernel kernel;
    const std::vector<std::byte> memory(1);
    for (std::size_t i = 0; i < rounds; ++i) {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_NONBLOCK) == 0);
        std::optional<longpin::device> device = longpin::device::adopt(ends[1]);
        std::array<std::optional<longpin::pin>, threads> pins;
        for (std::optional<longpin::pin>& pin : pins) {
            pin = device->pin(memory);
        }
        REQUIRE(at_once([&](std::size_t own, mistakes& found) {
                    if (own == 0) {
                        device.reset();
                    }
                    std::optional<longpin::pin>& pin = pins.at(own);
                    found.expect(pin->query().length == 1);
                    pin.reset();
                }) == 0);
        char byte = 0;
        REQUIRE(::read(ends[0], &byte, 1) == 0); // the other end is closed
        ::close(ends[0]);
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("threads: each thread may have a device of its own") {
    const fake_kernel kernel;
    CHECK(at_once([&](std::size_t, mistakes& found) {
              const std::vector<std::byte> memory(1);
              for (std::size_t i = 0; i < rounds; ++i) {
                  longpin::device device = fake_kernel::open();
                  const longpin::pin pin = device.pin(memory);
                  device = fake_kernel::open();
                  found.expect(pin.query().length == 1);
              }
          }) == 0);
    CHECK(kernel.pins.empty());
}

TEST_CASE("threads: one error is read and copied by several threads at once") {
    fake_kernel kernel;
    kernel.fail(LONGPIN_PIN, EOPNOTSUPP, {.why = longpin::reason::fsdax, .bad_address = 4096});
    const std::vector<std::byte> memory(1);
    const auto tried = fake_kernel::open().try_pin(memory);
    REQUIRE_FALSE(tried);
    CHECK(at_once([&](std::size_t, mistakes& found) {
              for (std::size_t i = 0; i < rounds; ++i) {
                  const longpin::error copy = tried.error(); // NOLINT: to copy is the test
                  found.expect(copy.bad_address() == 4096);
                  found.expect(std::string_view(copy.what()) == tried.error().what());
              }
          }) == 0);
}

TEST_CASE("threads: copies of one allocator serve several threads at once") {
    const fake_kernel kernel;
    using allocator = longpin::pinned_allocator<int>;
    std::optional<allocator> first(fake_kernel::open());
    CHECK(at_once([&](std::size_t, mistakes& found) {
              const allocator mine = *first;
              for (std::size_t i = 0; i < rounds; ++i) {
                  const std::vector<int, allocator> numbers(100, 1, mine);
                  found.expect(mine.pin_of(numbers.data()).query().length == 100 * sizeof(int));
              }
          }) == 0);
    first.reset();
    CHECK(kernel.pins.empty());
}

TEST_CASE("threads: each event goes to one of those who read at once, and nobody waits in vain") {
    fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    const auto total = static_cast<std::uint32_t>(threads * rounds);
    std::array<std::set<std::uint32_t>, threads> got;
    std::atomic<std::uint32_t> left = total;
    CHECK(
        at_once([&](std::size_t own, mistakes& found) {
            std::array<longpin::lease_event, 3> buffer;
            for (std::size_t i = 0; i < rounds; ++i) {
                longpin_event event{};
                event.handle = static_cast<std::uint32_t>(own * rounds + i + 1);
                kernel.tell(device.native_handle(), event);
                for (const auto& read : device.read_events(buffer, std::chrono::milliseconds(0))) {
                    found.expect(got.at(own).insert(read.handle).second);
                    left.fetch_sub(1, std::memory_order_relaxed);
                }
            }
            while (left.load(std::memory_order_relaxed) > 0) {
                for (const auto& read : device.read_events(buffer, std::chrono::milliseconds(1))) {
                    found.expect(got.at(own).insert(read.handle).second);
                    left.fetch_sub(1, std::memory_order_relaxed);
                }
            }
        }) == 0);
    std::set<std::uint32_t> all;
    for (auto& some : got) {
        all.merge(some);
    }
    CHECK(all.size() == total);
}

TEST_CASE("threads: a generation is looked at by several threads while it changes") {
    fake_kernel kernel;
    const longpin::device device = fake_kernel::open();
    const longpin::generation generation(device);
    const mapped memory(threads);
    CHECK(at_once([&](std::size_t own, mistakes& found) {
              for (std::size_t i = 0; i < rounds; ++i) {
                  const auto seen = generation.value();
                  const longpin::pin pin = device.pin(memory.pages(own, 1), {.lease = true});
                  kernel.revoke(memory.pages(own, 1));
                  found.expect(generation.value() != seen);
                  found.expect(pin.query().revoked_pages == 1);
              }
          }) == 0);
}

TEST_CASE("threads: a cache serves several threads while memory is taken back under it") {
    fake_kernel kernel;
    kernel.event_limit = GENERATE(3U, 100000U);
    constexpr std::size_t own_pages = 8;
    const mapped memory((threads + 1) * own_pages);
    // Every thread maps and unmaps pages of its own, and knows what they hold; lookups of all go
    // everywhere. The last pages are taken back by nobody.
    {
        const longpin::registration_cache cache(
            fake_kernel::open(), {.max_entries = 6, .merge_limit = 4 * fake_kernel::page_size});
        CHECK(at_once([&](std::size_t own, mistakes& found) {
                  std::minstd_rand random(static_cast<unsigned>(own) + 1);
                  const auto below = [&](std::size_t end) { return random() % end; };
                  std::vector<longpin::registration> used;
                  for (std::size_t i = 0; i < 10 * rounds; ++i) {
                      const std::size_t first = own * own_pages + below(own_pages);
                      const std::size_t count = 1 + below((own + 1) * own_pages - first);
                      switch (below(6)) {
                      case 0:
                      case 1: {
                          auto got = cache.get_writable(memory.pages(first, count));
                          // Of this thread's pages, nobody else takes any back; but what was made
                          // of them and a neighbour's may be gone.
                          std::byte byte{};
                          const auto read = got.pin().try_read(got.offset(), std::span(&byte, 1));
                          found.expect(read || read.error().code().value() == ESTALE);
                          found.expect(read || !got.valid());
                          used.push_back(std::move(got));
                          break;
                      }
                      case 2: kernel.revoke(memory.pages(first, count)); break;
                      case 3:
                          if (!used.empty()) {
                              used.erase(used.begin());
                          }
                          break;
                      case 4: {
                          const auto anybodys =
                              cache.get(memory.pages(threads * own_pages + below(own_pages), 1));
                          found.expect(anybodys.valid());
                          break;
                      }
                      default:
                          if (!used.empty()) {
                              // What is valid can't have become so.
                              const bool before = used.front().valid();
                              const bool now = used.front().valid();
                              found.expect(before || !now);
                          }
                      }
                      if (used.size() > 4) {
                          used.clear();
                      }
                  }
              }) == 0);
        const longpin::cache_statistics counters = cache.statistics();
        CHECK(counters.made == counters.entries - counters.retired + counters.evictions +
                                   counters.invalidations + counters.superseded);
        CHECK(counters.misses == counters.made + counters.refusals);
        CHECK(counters.retired == 0);
        CHECK(counters.entries <= 6);
        CHECK(counters.entries == kernel.pins.size());
        CHECK(counters.invalidations > 0);
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("threads: of those who look for the same memory at once, one pins it at a time") {
    fake_kernel kernel;
    const mapped memory(2);
    const bool refused = GENERATE(false, true);
    for (std::size_t i = 0; i < rounds; ++i) {
        const longpin::registration_cache cache(fake_kernel::open());
        std::atomic<int> pinning = 0;
        std::atomic<int> most = 0;
        kernel.while_pinning = [&](const longpin_pin&) {
            most = std::max<int>(most, ++pinning);
            std::this_thread::yield();
            --pinning;
        };
        kernel.fail(LONGPIN_PIN, refused ? EFAULT : 0);
        REQUIRE(at_once([&](std::size_t own, mistakes& found) {
                    const auto got = cache.try_get(memory.pages(0, own % 2 == 0 ? 2 : 1));
                    found.expect(got ? !refused && got->valid() : refused);
                }) == 0);
        // Half of them ask for more than others do, who don't wait for these if they came first.
        CHECK(most <= 2);
        const longpin::cache_statistics counters = cache.statistics();
        CHECK(counters.hits + counters.misses == threads);
        CHECK(counters.refusals == (refused ? threads : 0));
        CHECK(counters.made <= 2);
        CHECK(counters.entries == kernel.pins.size());
    }
    CHECK(kernel.pins.empty());
}

TEST_CASE("threads: one registration is looked at by several threads, and let go of by one") {
    fake_kernel kernel;
    const mapped memory(2);
    for (std::size_t i = 0; i < rounds; ++i) {
        const longpin::registration_cache cache(fake_kernel::open(), {.merge_limit = 0});
        std::optional<longpin::registration> shared = cache.get(memory.pages(0, 1));
        std::barrier looked(std::ptrdiff_t{threads});
        REQUIRE(at_once([&](std::size_t own, mistakes& found) {
                    if (own == 0) {
                        kernel.revoke(memory.pages(0, 1));
                        found.expect(!shared->valid());
                    } else {
                        static_cast<void>(shared->valid());
                        found.expect(shared->pin().length() == fake_kernel::page_size);
                    }
                    looked.arrive_and_wait();
                    if (own == 1) {
                        shared.reset();
                    } else {
                        found.expect(cache.get(memory.pages(1, 1)).valid());
                    }
                }) == 0);
        CHECK(kernel.pins.size() == 1);
    }
}
