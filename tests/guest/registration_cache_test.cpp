// SPDX-License-Identifier: MIT
// The library's cache of registrations, while memory changes hands behind its back. Whatever it
// returns is of the memory that the process sees: what is written to the one is read from the
// other.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"

#include <longpin/longpin.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace guest;
using longpin::cache_statistics;
using longpin::registration;
using longpin::registration_cache;

namespace {

constexpr int read_write = PROT_READ | PROT_WRITE;

std::span<std::byte> bytes_of(const mapping& memory) {
    return {memory.data(), memory.length()};
}

/// A number that no other call gives.
std::uint64_t unique() {
    static std::atomic<std::uint64_t> last = 0;
    return ++last * 0x9e3779b97f4a7c15U;
}

/// Whether what is written to the memory at its beginning, its middle and its end is read through
/// the pin and, if \p writable, the other way. Threads that do so at once have a \p place each.
/// Returns what is wrong, or "".
std::string difference(const registration& got, bool writable, std::size_t place = 0) {
    const std::size_t length = got.bytes().size();
    for (const std::size_t part : {std::size_t{0}, length / 16 * 8, length - 64}) {
        const std::size_t offset = part + 8 * place;
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): the memory is the test's own
        auto* const word = const_cast<std::byte*>(got.bytes().data()) + offset;
        std::uint64_t written = unique();
        std::uint64_t read = 0;
        std::memcpy(word, &written, sizeof(written));
        const auto bytes = std::as_writable_bytes(std::span(&read, 1));
        if (const auto done = got.pin().try_read(got.offset() + offset, bytes); !done) {
            return done.error().what();
        }
        if (read != written) {
            return "the pin shows another page";
        }
        if (writable) {
            written = unique();
            const auto source = std::as_bytes(std::span(&written, 1));
            if (const auto done = got.pin().try_write(got.offset() + offset, source); !done) {
                return done.error().what();
            }
            std::memcpy(&read, word, sizeof(read));
            if (read != written) {
                return "the memory is another page";
            }
        }
    }
    return "";
}

bool is_of_the_memory(const registration& got, bool writable) {
    return difference(got, writable).empty();
}

bool adds_up(const cache_statistics& counters) {
    return counters.made == counters.entries - counters.retired + counters.evictions +
                                counters.invalidations + counters.superseded &&
           counters.misses == counters.made + counters.refusals;
}

/// The registration of all of \p memory is no more valid once \p change was made behind the cache's
/// back, and the next one is of what is there then.
void check_follows(const mapping& memory, const std::function<void()>& change) {
    for (const bool writable : {false, true}) {
        CAPTURE(writable);
        const registration_cache cache{longpin::device()};
        const auto get = [&] {
            return writable ? cache.get_writable(bytes_of(memory)) : cache.get(bytes_of(memory));
        };
        memory.fill(); // or a write would put a page where a hole of the file is
        registration before = get();
        CHECK(before.valid());
        CHECK(is_of_the_memory(before, writable));
        CHECK(get().pin().handle() == before.pin().handle());
        change();
        CHECK_FALSE(before.valid());
        memory.fill();
        const registration after = get();
        CHECK(after.valid());
        CHECK(after.pin().handle() != before.pin().handle());
        CHECK(is_of_the_memory(after, writable));
        before.reset();
        CHECK(cache.statistics().invalidations == 1);
        CHECK(cache.statistics().entries == 1);
        CHECK(vm_pin() == memory.length());
    }
    CHECK(vm_pin() == 0);
}

void map_over(const mapping& memory, int flags, int descriptor = -1) {
    if (::mmap(memory.data(), memory.length(), read_write, flags | MAP_FIXED, descriptor, 0) ==
        MAP_FAILED) {
        throw std::runtime_error("mmap");
    }
}

file new_memfd(std::size_t size) {
    file data(::memfd_create("cache", MFD_CLOEXEC));
    if (::ftruncate(data.get(), static_cast<off_t>(size)) != 0) {
        throw std::runtime_error("memfd");
    }
    return data;
}

void punch(const file& data, std::size_t size) {
    if (::fallocate(data.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                    static_cast<off_t>(size)) != 0) {
        throw std::runtime_error("fallocate");
    }
}

void cut_and_extend(const file& data, std::size_t size) {
    if (::ftruncate(data.get(), 0) != 0 || ::ftruncate(data.get(), static_cast<off_t>(size)) != 0) {
        throw std::runtime_error("ftruncate");
    }
}

/// A userfaultfd that is asked for the pages of \p memory, none of which is there.
file missing_pages_of(const mapping& memory) {
    file handler(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    uffdio_register registered{
        .range = {.start = reinterpret_cast<std::uintptr_t>(memory.data()), .len = memory.length()},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
        .ioctls = 0};
    must(::ioctl(handler.get(), UFFDIO_API, &api) == 0, "UFFDIO_API");
    must(::ioctl(handler.get(), UFFDIO_REGISTER, &registered) == 0, "UFFDIO_REGISTER");
    return handler;
}

/// Waits for a question; registers \p source then, and answers with a page of that.
void bring_a_page(const file& handler, const registration_cache& cache, const mapping& source) {
    uffd_msg asked{};
    must(::read(handler.get(), &asked, sizeof(asked)) == sizeof(asked), "read");
    const registration staging = cache.get_writable(bytes_of(source));
    const auto& fault = asked.arg.pagefault; // NOLINT(*-union-access)
    uffdio_copy brought{.dst = fault.address & ~std::uint64_t{page - 1},
                        .src = staging.pin().address() + staging.offset(),
                        .len = page,
                        .mode = 0,
                        .copy = 0};
    must(::ioctl(handler.get(), UFFDIO_COPY, &brought) == 0, "UFFDIO_COPY");
}

} // namespace

TEST_CASE("cache: a registration ends with munmap, and the next is of what is mapped then") {
    const mapping memory = mapping::anonymous(8 * page);
    check_follows(memory, [&] {
        ::munmap(memory.data(), memory.length());
        map_over(memory, MAP_PRIVATE | MAP_ANONYMOUS);
    });
}

TEST_CASE("cache: a registration ends when something is mapped over it") {
    const mapping memory = mapping::anonymous(8 * page);
    const file data = new_memfd(8 * page);
    bool anonymous = false;
    check_follows(memory, [&] {
        if (std::exchange(anonymous, !anonymous)) {
            map_over(memory, MAP_PRIVATE | MAP_ANONYMOUS);
        } else {
            map_over(memory, MAP_SHARED, data.get());
        }
    });
}

TEST_CASE("cache: a registration ends with MADV_DONTNEED") {
    const mapping memory = mapping::anonymous(8 * page);
    check_follows(memory, [&] { ::madvise(memory.at(3 * page), page, MADV_DONTNEED); });
}

TEST_CASE("cache: a registration ends with mremap to another place") {
    const mapping memory = mapping::anonymous(8 * page);
    const mapping place = mapping::anonymous(8 * page);
    check_follows(memory, [&] {
        ::mremap(memory.data(), memory.length(), memory.length(), MREMAP_MAYMOVE | MREMAP_FIXED,
                 place.data());
        map_over(memory, MAP_PRIVATE | MAP_ANONYMOUS);
    });
}

TEST_CASE("cache: a registration of a memfd ends with a hole, and with truncate") {
    const file data = new_memfd(8 * page);
    const mapping memory(8 * page, read_write, MAP_SHARED, data.get());
    check_follows(memory, [&] { punch(data, page); });
    check_follows(memory, [&] { cut_and_extend(data, 8 * page); });
}

TEST_CASE("cache: a registration of a file on fs-DAX ends with a hole, and with truncate") {
    const std::string on = GENERATE("xfs_dax", "ext4_dax");
    CAPTURE(on);
    const file data = temporary_file(backing(on), 16 * page);
    const mapping memory(16 * page, read_write, MAP_SHARED, data.get());
    check_follows(memory, [&] { punch(data, page); });
    check_follows(memory, [&] { cut_and_extend(data, 16 * page); });
}

TEST_CASE("cache: neither mprotect nor fork nor msync ends a registration") {
    const file data = new_memfd(8 * page);
    const mapping shared(8 * page, read_write, MAP_SHARED, data.get());
    const mapping anonymous = mapping::anonymous(8 * page);
    const registration_cache cache{longpin::device()};
    for (const mapping* const memory : {&shared, &anonymous}) {
        const registration got = cache.get_writable(bytes_of(*memory));
        memory->protect(PROT_READ);
        memory->protect(read_write);
        ::msync(memory->data(), memory->length(), MS_SYNC);
        CHECK(in_child([&] {
            std::memset(anonymous.data(), 0x55, anonymous.length()); // the child's own
            return true;
        }));
        CHECK(got.valid());
        CHECK(is_of_the_memory(got, true));
    }
    CHECK(cache.statistics().invalidations == 0);
}

TEST_CASE("cache: what can't be leased is refused with the kernel's reason") {
    const file data = temporary_file(backing("ext4"), 4 * page);
    const mapping shared(4 * page, read_write, MAP_SHARED, data.get());
    const mapping own(4 * page, read_write, MAP_PRIVATE, data.get());
    const registration_cache cache{longpin::device()};
    for (const mapping* const memory : {&shared, &own}) {
        const auto tried = cache.try_get(bytes_of(*memory));
        REQUIRE_FALSE(tried);
        CHECK(tried.error().reason() == longpin::reason::lease_memory);
    }
    CHECK(cache.statistics() == cache_statistics{.misses = 2, .refusals = 2});
    CHECK(vm_pin() == 0);
}

TEST_CASE("cache: a registration is made while another one waits for its file system") {
    const file data = temporary_file(backing("xfs_dax"), 4 * page);
    const mapping said = mapping::shared_anonymous(2 * page);
    auto* const waiting = said.as<std::atomic<pid_t>>();
    gate started;
    gate go;
    gate done;
    child process([&] {
        const mapping waits(4 * page, read_write, MAP_SHARED, data.get());
        const mapping other = mapping::anonymous(4 * page);
        other.fill();
        const registration_cache cache(longpin::device(), {.merge_limit = 0});
        std::array<gate, 2> ready;
        std::array<gate, 2> begin;
        std::array<bool, 2> good{};
        // As long as the one waits, in a page fault, nothing can be mapped in the process, not even
        // for a stack or for what malloc() hands out: the threads are there before, and have
        // registered and mapped what they take.
        const auto work = [&](std::size_t own, const mapping& memory) {
            cache.get_writable(bytes_of(said).subspan(own * page, page)).reset();
            ready.at(own).open();
            begin.at(own).pass();
            if (own == 0) {
                *waiting = ::gettid();
            }
            const registration got = cache.get_writable(bytes_of(memory));
            if (own == 1) {
                done.open();
            }
            good.at(own) = got.pin().length() == memory.length();
        };
        std::jthread first([&] { work(0, waits); });
        std::jthread second([&] { work(1, other); });
        ready[0].pass();
        ready[1].pass();
        started.open();
        go.pass();
        begin[0].open();
        go.pass();
        begin[1].open();
        first.join();
        second.join();
        if (!good[0] || !good[1]) {
            throw std::runtime_error("not what was asked for");
        }
    });
    started.pass();
    frozen filesystem(data);
    go.open();
    CHECK(eventually([&] { return *waiting != 0; }));
    CHECK(falls_asleep(*waiting));
    go.open();
    CHECK(done.pass_within(10000));
    filesystem.thaw();
    CHECK(process.wait());
}

TEST_CASE("cache: a userfaultfd handler registers the buffer that it brings pages in by") {
    const bool writable = GENERATE(false, true);
    gate done;
    // In a child: what waits for ever is killed with it.
    child process([&] {
        const mapping missing = mapping::anonymous(4 * page);
        const mapping staging = mapping::anonymous(page);
        staging.fill();
        const registration_cache cache{longpin::device()};
        const file handler = missing_pages_of(missing);
        std::jthread brings([&] {
            for (int brought = 0; brought < 4; ++brought) {
                bring_a_page(handler, cache, staging);
            }
        });
        const registration got =
            writable ? cache.get_writable(bytes_of(missing)) : cache.get(bytes_of(missing));
        brings.join();
        if (!got.valid() || std::memcmp(missing.at(3 * page), staging.data(), page) != 0 ||
            !is_of_the_memory(got, writable)) {
            throw std::runtime_error("not of the memory");
        }
        done.open();
    });
    CHECK(done.pass_within(20000));
}

TEST_CASE("cache: a child gets nothing of its parent's, however it was made") {
    const mapping memory = mapping::anonymous(8 * page);
    const registration_cache cache{longpin::device()};
    const registration got = cache.get_writable(bytes_of(memory));
    const bool by_clone = GENERATE(false, true);
    const mapping said = mapping::shared_anonymous(page);
    const auto work = [&] {
        const auto tried = cache.try_get(bytes_of(memory));
        const registration_cache own{longpin::device()};
        const registration mine = own.get_writable(bytes_of(memory));
        *said.as<bool>() = !tried && tried.error().code().value() == EPERM && !got.valid() &&
                           mine.valid() && is_of_the_memory(mine, true);
    };
    if (by_clone) {
        const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
        if (child == 0) {
            work();
            ::_exit(0);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
    } else {
        child process(work);
        REQUIRE(process.wait());
    }
    CHECK(*said.as<bool>());
    CHECK(got.valid());
    CHECK(is_of_the_memory(got, true));
    CHECK(vm_pin() == 8 * page);
}

namespace {

/// Memory in parts that are changed one by one, each under its lock: who has it shared may look at
/// the part, and finds it mapped. The cache knows nothing of the locks.
class changing_memory {
public:
    static constexpr std::size_t parts = 8;
    static constexpr std::size_t part_length = 4 * page;

    changing_memory() {
        for (auto& data : data_) {
            data = new_memfd(part_length);
        }
    }

    [[nodiscard]] std::span<std::byte> bytes(std::size_t first, std::size_t count) const {
        return {memory_.at(first * part_length), count * part_length};
    }

    [[nodiscard]] std::shared_mutex& lock_of(std::size_t part) { return locks_.at(part); }

    /// Changes a part, by what \p how says.
    void change(std::size_t part, unsigned how) {
        const std::scoped_lock lock(locks_.at(part));
        std::byte* const at = memory_.at(part * part_length);
        switch (how % 7) {
        case 0:
            ::munmap(at, part_length);
            std::this_thread::yield();
            map(at, MAP_PRIVATE | MAP_ANONYMOUS);
            break;
        case 1: map(at, MAP_PRIVATE | MAP_ANONYMOUS); break;
        case 2: map(at, MAP_SHARED, data_.at(part).get()); break;
        case 3: ::madvise(at, part_length, MADV_DONTNEED); break;
        case 4: ::madvise(at + page, page, MADV_DONTNEED); break;
        case 5: // away, and something new; into a place that is there, since a
                // new one could be in a hole of another thread's change
            ::mremap(at, part_length, part_length, MREMAP_MAYMOVE | MREMAP_FIXED,
                     aside_.at(part * part_length));
            map(at, MAP_PRIVATE | MAP_ANONYMOUS);
            break;
        default: punch(data_.at(part), part_length);
        }
    }

private:
    static void map(void* at, int flags, int descriptor = -1) {
        if (::mmap(at, part_length, read_write, flags | MAP_FIXED, descriptor, 0) == MAP_FAILED) {
            throw std::runtime_error("mmap");
        }
    }

    mapping memory_ = mapping::anonymous(parts * part_length);
    mapping aside_ = mapping::anonymous(parts * part_length);
    std::array<file, parts> data_;
    std::array<std::shared_mutex, parts> locks_;
};

/// What the threads of a run saw.
struct sightings {
    std::atomic<int> valid = 0;   ///< registrations that were valid when nothing was changed
    std::atomic<int> changed = 0; ///< those that were not
    std::atomic<int> wrong = 0;   ///< valid, and not of the memory, and valid still
    std::atomic<int> taken = 0;   ///< valid, and not of the memory, and no more valid then
    std::atomic<int> failed = 0;  ///< lookups that failed, of memory that was mapped
    std::mutex lock;              ///< of failure and different
    std::string failure;          ///< what one of them said
    std::string different;        ///< what was wrong, last
    std::atomic<int> children = 0;
    std::atomic<int> deceived = 0; ///< children that got something, or saw another's memory

    /// Looks at a registration that was valid, while nobody changes its memory.
    void look_at(const registration& got, bool writable, std::size_t place) {
        const std::string found = difference(got, writable, place);
        valid++;
        if (!found.empty()) {
            (got.valid() ? wrong : taken)++;
            const std::scoped_lock saying(lock);
            different = found;
        }
    }
};

/// Looks up parts, now with their locks and now without, and checks what is valid.
void look_up(changing_memory& memory, const registration_cache& cache, sightings& seen,
             std::atomic<bool>& done, unsigned seed) {
    std::minstd_rand random(seed);
    std::vector<registration> kept;
    while (!done) {
        const std::size_t part = random() % changing_memory::parts;
        const bool writable = random() % 2 == 0;
        const bool locked = random() % 2 == 0;
        std::shared_lock lock(memory.lock_of(part), std::defer_lock);
        if (locked) {
            lock.lock();
        }
        const auto bytes = memory.bytes(part, 1);
        auto got = writable ? cache.try_get_writable(bytes) : cache.try_get(bytes);
        if (!locked) {
            lock.lock(); // it may have changed in between
        }
        if (!got) {
            // Unmapped just then; or changed again and again, which another part may be too.
            if (locked && got.error().code().value() != EAGAIN) {
                seen.failed++;
                const std::scoped_lock saying(seen.lock);
                seen.failure = got.error().what();
            }
            continue;
        }
        if (got->valid()) {
            seen.look_at(*got, writable, seed);
        } else {
            seen.changed++;
        }
        lock.unlock();
        if (random() % 4 == 0) {
            kept.push_back(std::move(*got));
        }
        if (kept.size() > 8) {
            // What was kept is of the memory still, or says that it is not.
            for (const registration& old : kept) {
                const auto index =
                    static_cast<std::size_t>(old.bytes().data() - memory.bytes(0, 1).data()) /
                    changing_memory::part_length;
                const std::shared_lock at_rest(memory.lock_of(index));
                if (old.valid()) {
                    seen.look_at(old, false, seed);
                }
            }
            kept.clear();
        }
    }
}

/// Makes children, which find nothing in the cache and write to memory of their own.
void fork_children(changing_memory& memory, const registration_cache& cache, sightings& seen,
                   std::atomic<bool>& done) {
    while (!done) {
        const std::size_t part = static_cast<std::size_t>(seen.children) % changing_memory::parts;
        // Mapped for as long as the child is to copy it. The child's copy of the lock stays held.
        const std::shared_lock lock(memory.lock_of(part));
        const auto bytes = memory.bytes(part, 1);
        const auto got = cache.try_get_writable(bytes);
        const pid_t child = ::fork();
        if (child == 0) {
            // No allocation: another thread may hold the allocator, but glibc's fork() sees to
            // that.
            const auto tried = cache.try_get(bytes);
            const bool right =
                !tried && tried.error().code().value() == EPERM && (!got || !got->valid());
            ::_exit(right ? 0 : 1);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        seen.children++;
        seen.deceived += status == 0 ? 0 : 1;
        if (got && got->valid()) {
            seen.look_at(*got, true, 0);
        }
    }
}

} // namespace

TEST_CASE("cache: what is valid is of the memory, whatever threads do to it behind its back") {
    // Of a huge page the kernel may name more than what was changed.
    REQUIRE(::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    for (const std::uint64_t merge_limit : {std::uint64_t{0}, std::uint64_t{1} << 20U}) {
        CAPTURE(merge_limit);
        changing_memory memory;
        sightings seen;
        {
            // Few entries, so that some are evicted too.
            const registration_cache cache(longpin::device(),
                                           {.max_entries = 6, .merge_limit = merge_limit});
            std::atomic<bool> done = false;
            std::vector<std::jthread> threads;
            for (unsigned i = 1; i <= 2; ++i) {
                threads.emplace_back([&, i] { look_up(memory, cache, seen, done, i); });
                threads.emplace_back([&, i] {
                    std::minstd_rand random(100 + i);
                    while (!done) {
                        const auto part =
                            static_cast<std::size_t>(random() % changing_memory::parts);
                        memory.change(part, static_cast<unsigned>(random()));
                        for (auto spins = random() % 20000; spins > 0; spins--) {
                            std::atomic_signal_fence(std::memory_order_seq_cst);
                        }
                    }
                });
            }
            threads.emplace_back([&] { fork_children(memory, cache, seen, done); });
            const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(10);
            const auto enough = [&] {
                return seen.valid >= 3000 && seen.changed >= 20 && seen.children >= 20 &&
                       cache.statistics().invalidations > 100;
            };
            while (!enough() && std::chrono::steady_clock::now() < deadline) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
            done = true;
            threads.clear();
            const cache_statistics counters = cache.statistics();
            CHECK(adds_up(counters));
            CHECK(counters.hits > 100);
            CHECK(counters.invalidations > 100);
            // The threads change nothing that is looked at; but the kernel may move it, and where a
            // change beside it divides a mapping, the kernel names the 2 MiB around.
            CHECK(seen.taken <= static_cast<long>(counters.invalidations / 50));
            CHECK(counters.retired == 0);
            CHECK(counters.entries <= 6);
        }
        CAPTURE(seen.failure, seen.different);
        CHECK(seen.wrong == 0);
        CHECK(seen.failure.empty());
        CHECK(seen.failed == 0);
        CHECK(seen.deceived == 0);
        CHECK(seen.valid >= 3000);
        CHECK(seen.changed >= 20);
        CHECK(seen.children >= 20);
        CHECK(vm_pin() == 0);
    }
    ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}
