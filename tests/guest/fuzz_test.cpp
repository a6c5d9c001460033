// SPDX-License-Identifier: MIT
// Random calls, of longpin and of all that changes mappings, against a model of what has to be so
// after each: what is pinned, which pages, and what is charged for them.
//
// LONGPIN_FUZZ_SEED chooses the seed, and LONGPIN_FUZZ_MINUTES how long it goes on, seed after
// seed; without them it is short, and the same each time (qemu/run --append LONGPIN_FUZZ_SEED=1).
#include "support/child.hpp"
#include "support/dice.hpp"
#include "support/lease.hpp"
#include "support/netlink.hpp"
#include "support/page_table.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <linux/falloc.h>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

constexpr std::size_t huge = 2 * MiB;
constexpr std::size_t area_size = 12 * huge;
constexpr std::size_t file_size = 4 * huge;
/// DAX is mapped below it only: up to Linux 6.4 MADV_COLD and MADV_PAGEOUT of what DAX has mapped
/// by a huge page damage the mapping ("bad pmd"), and tell no MMU notifier. The kernel's own
/// mistake.
constexpr std::size_t dax_end = 8 * huge;
constexpr std::size_t most_pins = 40;

/// Something is not as it has to be.
class violation : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A part of the area.
struct part {
    std::size_t offset;
    std::size_t length;
};

/// What the model knows of a pin.
struct known_pin {
    std::byte* at = nullptr;
    bool is_leased = false;
    std::uint64_t pages = 0;             ///< that it touches
    std::vector<longpin_extent> extents; ///< of one that is not leased: they never change
};

/// The process that the fuzzer runs in: an area of memory, files to map there, and pins of it.
/// Several threads may call act() at once.
class world {
public:
    world()
        : area_(area_size + huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE),
          start_(area_.at((huge - reinterpret_cast<std::uintptr_t>(area_.data()) % huge) % huge)) {
        files_[0] = file(::memfd_create("fuzz", MFD_CLOEXEC));
        files_[1] = temporary_file(backing("xfs_dax"), file_size);
        files_[2] = temporary_file(backing("ext4_dax"), file_size);
        must(::ftruncate(files_[0].get(), file_size) == 0, "ftruncate");
        if (has_backing("devdax_4k")) {
            devices_ = {open_file(backing("devdax_4k"), O_RDWR),
                        open_file(backing("devdax_2m"), O_RDWR)};
        }
    }

    /// One random thing. Returns its name.
    const char* act(dice& random) {
        struct action {
            const char* name;
            unsigned weight;
            void (world::*does)(dice&);
        };
        static constexpr action all[] = {
            {"map anonymous", 6, &world::map_anonymous},
            {"map file", 6, &world::map_file},
            {"map device", 3, &world::map_device},
            {"munmap", 3, &world::unmap},
            {"mprotect", 3, &world::protect},
            {"mremap", 3, &world::move},
            {"madvise", 5, &world::advise},
            {"fork", 1, &world::fork},
            {"ftruncate", 2, &world::truncate},
            {"fallocate", 3, &world::allocate},
            {"move_pages", 2, &world::migrate},
            {"touch", 8, &world::touch},
            {"PIN", 16, &world::pin},
            {"UNPIN", 9, &world::unpin},
            {"REPIN", 5, &world::repin},
            {"LET_GO", 3, &world::let_go},
            {"COPY", 6, &world::copy},
            {"QUERY and EXTENTS", 2, &world::look},
            {"read events", 2, &world::events},
            {"dump", 1, &world::dump},
            {"nonsense", 3, &world::nonsense},
        };
        static constexpr unsigned sum = [] {
            unsigned weights = 0;
            for (const action& one : all) {
                weights += one.weight;
            }
            return weights;
        }();
        unsigned chosen = random.number(1, sum);
        for (const action& one : all) {
            if (chosen <= one.weight) {
                (this->*one.does)(random);
                return one.name;
            }
            chosen -= one.weight;
        }
        return "";
    }

    /// All that has to be so while nobody acts.
    void check() const {
        std::uint64_t held = 0;
        std::set<std::uint64_t> blocks; // of 2 MiB of physical memory, with pages that are held
        const page_table table;
        for (const auto& [handle, pin] : pins_) {
            const longpin_query now = must_query(device_, handle);
            const auto extents = device_.extents(handle);
            std::uint64_t pages = 0;
            for (const longpin_extent& extent : extents) {
                pages += pages_of(pin.at + extent.offset, extent.length);
                for (std::uint64_t i = extent.phys / huge;
                     i <= (extent.phys + extent.length - 1) / huge; i++) {
                    blocks.insert(i);
                }
            }
            expect(pages == now.out_pages, handle, "EXTENTS and QUERY differ");
            held += now.out_pages;
            if (!pin.is_leased) {
                expect(now.out_pages == pin.pages, handle, "it lost pages");
                expect(same(extents, pin.extents), handle, "its pages changed");
                continue;
            }
            expect(now.out_pages <= pin.pages, handle, "it has more pages than it asked for");
            for (const longpin_extent& extent : extents) {
                for (std::size_t i = 0; i < extent.length; i += page) {
                    const std::byte* const at = pin.at + extent.offset + i;
                    if (table.physical_address(at) / page != (extent.phys + i) / page) {
                        std::ostringstream text;
                        text << "page " << (at - start_) / static_cast<long>(page)
                             << " of the area is not what is mapped there: " << std::hex
                             << extent.phys + i << ", mapped " << table.physical_address(at);
                        expect(false, handle, text.str());
                    }
                }
            }
        }
        const longpin_info info = device_.info();
        expect(vm_pin() == held * page, 0,
               "VmPin is " + std::to_string(vm_pin() / page) + " pages, and the pins hold " +
                   std::to_string(held));
        expect(info.out_memlock_used == held * page, 0, "the user's charge is another");
        // And the rest of huge pages that are pinned in part.
        expect(info.out_max_user_pages_used >= held * page &&
                   info.out_max_user_pages_used <= held * page + blocks.size() * huge,
               0, "the user keeps another amount");
        expect(info.out_max_pins_used == pins_.size(), 0, "there are other pins than these");
    }

    /// Ends all pins, and looks whether that was all.
    void end() {
        while (!pins_.empty()) {
            expect(device_.unpin(pins_.begin()->first) == 0, pins_.begin()->first, "UNPIN");
            pins_.erase(pins_.begin());
        }
        check();
    }

    [[nodiscard]] std::uint64_t count(const std::string& what) const {
        const auto found = counts_.find(what);
        return found == counts_.end() ? 0 : found->second;
    }

private:
    static std::uint64_t pages_of(const std::byte* at, std::uint64_t length) {
        const auto first = reinterpret_cast<std::uintptr_t>(at) / page;
        return (reinterpret_cast<std::uintptr_t>(at) + length - 1) / page - first + 1;
    }

    static bool same(const std::vector<longpin_extent>& one,
                     const std::vector<longpin_extent>& other) {
        return one.size() == other.size() &&
               std::memcmp(one.data(), other.data(), one.size() * sizeof(one[0])) == 0;
    }

    static void expect(bool is_so, std::uint32_t handle, const std::string& what) {
        if (!is_so) {
            throw violation((handle ? "pin " + std::to_string(handle) + ": " : "") + what);
        }
    }

    void counted(const std::string& what) {
        const std::scoped_lock lock(lock_);
        counts_[what]++;
    }

    static part some_pages(dice& random, std::size_t most) {
        const std::size_t length = random.number(1, static_cast<std::uint32_t>(most)) * page;
        return {random.number(0, static_cast<std::uint32_t>((area_size - length) / page)) * page,
                length};
    }

    static bool is_below(const part& where, std::size_t end) {
        return where.offset + where.length <= end;
    }

    /// A few pages mostly, and sometimes some huge ones.
    static part some_part(dice& random) {
        if (random.once_in(4)) {
            const std::size_t length = random.number(1, 3) * huge;
            return {random.number(0, static_cast<std::uint32_t>((area_size - length) / huge)) *
                        huge,
                    length};
        }
        return some_pages(random, 64);
    }

    /// In place of what is there. It may fail, as when there are too many mappings.
    bool map(const part& where, int protection, int flags, const file& from = file(),
             std::size_t offset = 0) {
        return ::mmap(start_ + where.offset, where.length, protection, flags | MAP_FIXED,
                      from.get(), static_cast<off_t>(offset)) != MAP_FAILED;
    }

    void map_anonymous(dice& random) {
        const part where = some_part(random);
        if (map(where, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)) {
            constexpr int advices[] = {MADV_NORMAL, MADV_HUGEPAGE, MADV_HUGEPAGE, MADV_NOHUGEPAGE};
            ::madvise(start_ + where.offset, where.length, random.one_of(advices));
        }
    }

    void map_file(dice& random) {
        const part where = some_part(random);
        const auto from = random.number(0, (file_size - 3 * huge) / page) * page;
        const file& one = is_below(where, dax_end) ? random.one_of(files_) : files_[0];
        map(where, PROT_READ | PROT_WRITE, MAP_SHARED, one, from);
    }

    void map_device(dice& random) {
        const bool large = random.once_in(2);
        const part where = large ? part{random.number(0, 7) * huge, huge} : some_pages(random, 64);
        if (!is_below(where, dax_end) || devices_[0].get() < 0) {
            return;
        }
        const auto from = large ? random.number(0, 8) * huge : random.number(0, 512) * page;
        map(where, PROT_READ | PROT_WRITE, MAP_SHARED, devices_[large ? 1 : 0], from);
    }

    /// The area is never free for others to be mapped there.
    void leave_empty(const part& where) {
        map(where, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    }

    void unmap(dice& random) { leave_empty(some_part(random)); }

    void protect(dice& random) {
        const part where = some_part(random);
        constexpr int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
                                       PROT_READ | PROT_WRITE};
        ::mprotect(start_ + where.offset, where.length, random.one_of(protections));
    }

    void move(dice& random) {
        const part from = some_part(random);
        const std::size_t to =
            random.number(0, static_cast<std::uint32_t>((area_size - from.length) / page)) * page;
        const bool overlaps = to < from.offset + from.length && from.offset < to + from.length;
        if (overlaps || (from.offset < dax_end && to + from.length > dax_end)) {
            return;
        }
        if (::mremap(start_ + from.offset, from.length, from.length, MREMAP_MAYMOVE | MREMAP_FIXED,
                     start_ + to) != MAP_FAILED) {
            leave_empty(from);
        }
    }

    void advise(dice& random) {
        const part where = some_part(random);
        constexpr int collapse = 25; // Linux 6.1
        constexpr int advices[] = {MADV_DONTNEED, MADV_DONTNEED, MADV_FREE,     MADV_COLD,
                                   MADV_PAGEOUT,  MADV_HUGEPAGE, MADV_REMOVE,   MADV_WILLNEED,
                                   collapse,      collapse,      MADV_DONTFORK, MADV_DOFORK};
        const int advice = random.one_of(advices);
        if ((advice != MADV_COLD && advice != MADV_PAGEOUT) || where.offset >= dax_end) {
            ::madvise(start_ + where.offset, where.length, advice);
        }
    }

    void fork(dice& random) {
        const part where = some_part(random);
        const bool writes = random.once_in(2);
        child process([&] {
            if (writes) {
                write_to(where);
            }
        });
        touch(random);
        process.wait();
    }

    void truncate(dice& random) {
        const file& one = random.one_of(files_);
        [[maybe_unused]] int ignored =
            ::ftruncate(one.get(), static_cast<off_t>(random.number(0, file_size / page) * page));
        ignored = ::ftruncate(one.get(), file_size);
    }

    void allocate(dice& random) {
        constexpr int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 FALLOC_FL_ZERO_RANGE,
                                 FALLOC_FL_COLLAPSE_RANGE,
                                 FALLOC_FL_INSERT_RANGE,
                                 0};
        const file& one = random.one_of(files_);
        const auto from = random.number(0, file_size / page - 64) * page;
        const auto length = random.number(1, 64) * page;
        ::fallocate(one.get(), random.one_of(modes), static_cast<off_t>(from),
                    static_cast<off_t>(length));
        [[maybe_unused]] const int ignored = ::ftruncate(one.get(), file_size);
    }

    void migrate(dice& random) {
        const part where = some_pages(random, 16);
        std::array<void*, 16> pages{};
        std::array<int, 16> nodes{};
        std::array<int, 16> status{};
        const int node = random.number<int>(0, 1);
        for (std::size_t i = 0; i < where.length / page; i++) {
            pages[i] = start_ + where.offset + i * page;
            nodes[i] = node;
        }
        ::syscall(SYS_move_pages, 0, where.length / page, pages.data(), nodes.data(), status.data(),
                  2 /* MPOL_MF_MOVE */);
    }

    /// Writes a byte to some pages. Where one mustn't, nothing happens.
    void write_to(const part& where) const {
        char byte = 'x';
        iovec from{&byte, 1};
        for (std::size_t i = 0; i < where.length; i += (where.length > huge ? 32 : 1) * page) {
            iovec to{start_ + where.offset + i, 1};
            ::process_vm_writev(::getpid(), &from, 1, &to, 1, 0);
        }
    }

    void touch(dice& random) { write_to(some_part(random)); }

    void pin(dice& random) {
        {
            const std::scoped_lock lock(lock_);
            if (pins_.size() >= most_pins) {
                return;
            }
        }
        part where = some_part(random);
        if (random.once_in(4)) { // not at the edges of pages
            where.offset += random.number(0, 100);
            where.length -= random.number(101, 200);
        }
        auto answer = request<longpin_pin>();
        answer.addr = reinterpret_cast<std::uintptr_t>(start_ + where.offset);
        answer.length = where.length;
        answer.flags = (random.once_in(2) ? LONGPIN_PIN_WRITE : 0) |
                       (random.once_in(3) ? 0 : LONGPIN_PIN_LEASE) |
                       (random.once_in(20) ? LONGPIN_PIN_DRY_RUN : 0);
        const int err = device_.call(LONGPIN_PIN, &answer);
        counted(err == 0 ? "pinned" : "refused");
        if (err != 0) {
            expect(err == EFAULT || err == EOPNOTSUPP || err == EAGAIN || err == ENOMEM, 0,
                   "PIN gives " + std::to_string(err));
            expect(answer.out_handle == 0 && answer.out_pages == 0, 0, "a refusal with results");
            return;
        }
        if (answer.flags & LONGPIN_PIN_DRY_RUN) {
            return;
        }
        known_pin known{start_ + where.offset,
                        (answer.flags & LONGPIN_PIN_LEASE) != 0,
                        pages_of(start_ + where.offset, where.length),
                        {}};
        expect(answer.out_pages == known.pages || known.is_leased, answer.out_handle, "its pages");
        if (!known.is_leased) {
            known.extents = device_.extents(answer.out_handle);
        }
        const std::scoped_lock lock(lock_);
        expect(pins_.emplace(answer.out_handle, std::move(known)).second, answer.out_handle,
               "a handle that is in use");
    }

    /// One of the pins, or 0. Others may be quicker to end it.
    std::uint32_t some_pin(dice& random) {
        const std::scoped_lock lock(lock_);
        if (pins_.empty()) {
            return 0;
        }
        auto chosen = pins_.begin();
        std::advance(chosen, random.number(0, static_cast<std::uint32_t>(pins_.size() - 1)));
        return chosen->first;
    }

    void unpin(dice& random) {
        const std::uint32_t handle = some_pin(random);
        {
            const std::scoped_lock lock(lock_);
            if (pins_.erase(handle) == 0) {
                return;
            }
        }
        expect(device_.unpin(handle) == 0, handle, "UNPIN");
        counted("unpinned");
    }

    part part_of(dice& random, std::uint32_t handle) {
        const std::scoped_lock lock(lock_);
        const auto found = pins_.find(handle);
        const std::uint64_t pages = found == pins_.end() ? 1 : found->second.pages;
        const std::uint64_t first = random.number(0, static_cast<std::uint32_t>(pages - 1));
        return {first * page, random.number(1, static_cast<std::uint32_t>(pages - first)) * page};
    }

    void repin(dice& random) {
        const std::uint32_t handle = some_pin(random);
        longpin_repin answer{};
        const part which = random.once_in(2) ? part{0, 0} : part_of(random, handle);
        const int err = device_.repin(handle, answer, which.offset, which.length);
        counted(err == 0 && answer.out_repinned > 0 ? "pinned again" : "not pinned again");
    }

    void let_go(dice& random) {
        const std::uint32_t handle = some_pin(random);
        const part which = part_of(random, handle);
        counted(device_.let_go(handle, which.offset, which.length) == 0 ? "let go" : "not let go");
    }

    void copy(dice& random) {
        const std::uint32_t handle = some_pin(random);
        const part which = part_of(random, handle);
        std::vector<std::byte> buffer(std::min<std::size_t>(which.length, 16 * page));
        const int err = random.once_in(2)
                            ? device_.read(handle, which.offset, buffer.data(), buffer.size())
                            : device_.write(handle, which.offset, buffer.data(), buffer.size());
        counted(err == 0 ? "copied" : err == ESTALE ? "stale" : "not copied");
    }

    void look(dice& random) {
        const std::uint32_t handle = some_pin(random);
        longpin_query answer{};
        if (device_.query(handle, answer) == 0) {
            auto some = request<longpin_extents>();
            std::array<longpin_extent, 7> room{};
            some.handle = handle;
            some.count = room.size();
            some.offset = random.number(0, 5) * page;
            some.buffer = reinterpret_cast<std::uintptr_t>(room.data());
            device_.call(LONGPIN_EXTENTS, &some);
        }
    }

    void events(dice& /*random*/) {
        const std::scoped_lock lock(reading_); // or what one sees, the other may have read
        for (const longpin_event& event : device_.events()) {
            counted(event.type == LONGPIN_EVENT_OVERFLOW ? "overflow" : "revoked");
        }
    }

    // NOLINTNEXTLINE(readability-convert-member-functions-to-static): one of the actions
    void dump(dice& random) {
        netlink_socket().dump(random.once_in(2) ? LONGPIN_CMD_PIN_GET : LONGPIN_CMD_CONTEXT_GET);
    }

    /// Any bytes to any ioctl, but what would make or end a pin that the model knows nothing of.
    void nonsense(dice& random) {
        std::vector<std::byte> arguments = random.some(256);
        const std::uint32_t size = random.number(0, 160);
        std::memcpy(arguments.data(), &size, sizeof(size));
        if (random.once_in(2)) { // no flags: the first thing that is looked at
            std::memset(arguments.data() + sizeof(size), 0, sizeof(size));
        }
        constexpr unsigned long calls[] = {LONGPIN_INFO,    LONGPIN_QUERY, LONGPIN_COPY,
                                           LONGPIN_EXTENTS, LONGPIN_REPIN, LONGPIN_LET_GO,
                                           LONGPIN_PIN};
        const unsigned long command = random.one_of(calls);
        if (command == LONGPIN_PIN) {
            // Of no memory that there is.
            const std::uint64_t at = ~0ULL << 47U | random.number(0, 1U << 30U);
            std::memcpy(arguments.data() + offsetof(longpin_pin, addr), &at, sizeof(at));
        }
        if (command == LONGPIN_COPY) { // reading, to nowhere
            std::memset(arguments.data() + offsetof(longpin_copy, buffer), 0, 8);
        }
        device_.call(random.once_in(10) ? random.number(0, ~0U) : command, arguments.data());
    }

    raw_device device_;
    mapping area_;
    std::byte* start_;
    std::array<file, 3> files_;
    std::array<file, 2> devices_;
    std::mutex reading_; ///< of events
    std::mutex lock_;    ///< of the rest
    std::map<std::uint32_t, known_pin> pins_;
    std::map<std::string, std::uint64_t> counts_;
};

/// So many steps from one seed, in a process of its own. Prints what was wrong.
bool holds(unsigned seed, int steps, bool threads) {
    return in_child([&] {
        const long before = pinned_pages();
        const char* last = "nothing";
        int step = 0;
        try {
            dice random(seed);
            world all;
            while (step < steps) {
                if (!threads) {
                    last = all.act(random);
                    step++;
                    all.check();
                    continue;
                }
                const unsigned seeds[] = {random.number(1, 1U << 30U), random.number(1, 1U << 30U)};
                std::exception_ptr wrong;
                const auto some = [&](unsigned own) {
                    dice mine(own);
                    for (int i = 0; i < 25; i++) {
                        all.act(mine);
                    }
                };
                std::thread other([&] {
                    try {
                        some(seeds[0]);
                    } catch (...) {
                        wrong = std::current_exception();
                    }
                });
                try {
                    some(seeds[1]);
                } catch (...) {
                    other.join();
                    throw;
                }
                other.join();
                if (wrong) {
                    std::rethrow_exception(wrong);
                }
                step += 50;
                last = "two threads";
                all.check();
            }
            all.end();
            std::printf("  seed %u%s: %llu pinned, %llu refused, %llu unpinned, %llu pinned again, "
                        "%llu revoked, %llu copied, %llu stale\n",
                        seed, threads ? ", two threads" : "",
                        static_cast<unsigned long long>(all.count("pinned")),
                        static_cast<unsigned long long>(all.count("refused")),
                        static_cast<unsigned long long>(all.count("unpinned")),
                        static_cast<unsigned long long>(all.count("pinned again")),
                        static_cast<unsigned long long>(all.count("revoked")),
                        static_cast<unsigned long long>(all.count("copied")),
                        static_cast<unsigned long long>(all.count("stale")));
        } catch (const std::exception& failure) {
            std::printf("  LONGPIN_FUZZ_SEED=%u%s, step %d, after %s: %s\n", seed,
                        threads ? ", two threads" : "", step, last, failure.what());
            std::fflush(stdout);
            return false;
        }
        std::fflush(stdout);
        return pinned_pages() == before;
    });
}

/// Seconds that were asked for; 0 if none were.
std::chrono::seconds wanted_time() {
    const char* const minutes = std::getenv("LONGPIN_FUZZ_MINUTES");
    return std::chrono::seconds(minutes != nullptr ? std::atol(minutes) * 60 : 0);
}

} // namespace

TEST_CASE("fuzz: random calls, and what is pinned and charged after each") {
    if (wanted_time().count() == 0) {
        CHECK(holds(fuzz_seed(1), 600, false));
        CHECK(holds(fuzz_seed(1), 1500, true));
        return;
    }
    const auto until = std::chrono::steady_clock::now() + wanted_time();
    unsigned seed = fuzz_seed();
    while (std::chrono::steady_clock::now() < until) {
        REQUIRE(holds(seed, 1500, false));
        REQUIRE(holds(seed, 1500, true));
        seed++;
    }
}
