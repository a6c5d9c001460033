// SPDX-License-Identifier: MIT
// The proof of the lease: a file system that takes blocks from a file whose pages are leased, and
// gives them to another file, while somebody writes through the pin all the time. No block of the
// other file is ever written to. (What takes blocks away is what fstests' generic/503 tries.)
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/repeated.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <optional>
#include <random>
#include <set>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <system_error>
#include <thread>
#include <unistd.h>

using namespace guest;

namespace {

/// More than what XFS keeps in reserve, which it may hand out in place of what was given up.
constexpr std::size_t file_pages = 64;

/// What is left of the file system besides, for its own records.
constexpr std::size_t slack_pages = 96;
/// What the file systems may keep back.
constexpr std::size_t reserved_blocks = 24;

/// In how many rounds it is looked up which blocks were reused: it takes its time. XFS that has
/// to keep records of shared blocks reuses few at once.
int look_each(const std::string& filesystem) {
    return filesystem == "xfs_reflink" ? 2 : 10;
}

constexpr std::uint64_t poison = 0xdeadbeefdeadbeef;

/// The physical blocks of a file.
std::set<std::uint64_t> blocks_of(const file& descriptor) {
    std::set<std::uint64_t> blocks;
    for (const fiemap_extent& extent : places_of(descriptor)) {
        for (std::uint64_t b = 0; b < extent.fe_length; b += page) {
            blocks.insert(extent.fe_physical + b);
        }
    }
    return blocks;
}

/// Gives a file more of what is left of a file system: up to so many pages, behind those that it
/// has. Returns how many it got.
std::size_t take_blocks(const file& taker, std::size_t has, std::size_t pages) {
    std::size_t taken = 0;
    for (std::size_t more = pages; taken < pages && more > 0;) {
        if (::fallocate(taker.get(), 0, off_t((has + taken) * page), off_t(more * page)) == 0) {
            taken += more;
            more = std::min(more, pages - taken);
        } else {
            REQUIRE(errno == ENOSPC);
            more /= 2;
        }
    }
    return taken;
}

/// Lets the file system keep few blocks back, which it could give out in place of those given up.
/// It needs some for its own records.
void reserve_little(const file& member) {
    struct stat status {};
    REQUIRE(::fstat(member.get(), &status) == 0);
    const auto device =
        std::filesystem::read_symlink("/sys/dev/block/" + std::to_string(major(status.st_dev)) +
                                      ':' + std::to_string(minor(status.st_dev)));
    const std::string ext4 = "/sys/fs/ext4/" + device.filename().string() + "/reserved_clusters";
    if (write_line(ext4, std::to_string(reserved_blocks)) == 0) {
        return;
    }
    // struct xfs_fsop_resblks and XFS_IOC_SET_RESBLKS of xfs_fs.h
    std::uint64_t blocks[2] = {reserved_blocks, 0};
    REQUIRE(::ioctl(member.get(), _IOWR('X', 114, decltype(blocks)), blocks) == 0);
}

/// All of a file system but the slack.
file fill_up(const std::string& directory) {
    file filler = temporary_file(directory, page);
    reserve_little(filler);
    // What files had that are gone is free only then: XFS frees it in the background.
    const file root = open_file(directory, O_RDONLY);
    frozen(root).thaw();
    std::size_t taken = 1;
    for (std::size_t more = 1; more > 0; taken += more) {
        REQUIRE(::syncfs(filler.get()) == 0);
        more = take_blocks(filler, taken, GiB / page);
    }
    REQUIRE(::ftruncate(filler.get(), off_t((taken - slack_pages) * page)) == 0);
    return filler;
}

/// Writes poison through a pin, here and there.
class writer {
public:
    writer(const raw_device& device, const std::atomic<std::uint32_t>& handle)
        : thread_([this, &device, &handle] {
              const std::size_t at = random_() % file_pages;
              const int err = device.write(handle, at * page, bad_.data(), page);
              writes_ += err == 0 ? 1U : 0U;
              stale_ += err == ESTALE ? 1U : 0U;
          }) {}

    [[nodiscard]] std::size_t writes() const { return writes_; }
    [[nodiscard]] std::size_t stale() const { return stale_; }

private:
    std::vector<std::uint64_t> bad_ = std::vector<std::uint64_t>(page / 8, poison);
    std::minstd_rand random_{1};
    std::atomic<std::size_t> writes_ = 0, stale_ = 0;
    repeated thread_; // the last: it uses the others
};

/// A file that takes what blocks there are, with a pattern, and looks whether it keeps it.
class witness {
public:
    explicit witness(const std::string& directory) : file_(temporary_file(directory, page)) {
        give_back();
    }

    /// Takes what blocks there are, but for a few: to look for the last one costs ext4 many commits
    /// of its journal.
    void take(std::uint64_t seed) {
        struct statfs status {};
        REQUIRE(::fstatfs(file_.get(), &status) == 0);
        const std::size_t kept = status.f_type == EXT4_SUPER_MAGIC ? reserved_blocks + 8 : 0;
        const std::size_t there = status.f_bfree > kept ? status.f_bfree - kept : 0;
        const std::size_t pages = take_blocks(file_, 0, std::min(there, file_pages + slack_pages));
        if (pages == 0) {
            return;
        }
        seed_ = seed;
        memory_ = mapping(pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get());
        for (std::size_t at = 0; at < memory_.length(); at += step) {
            word(at) = pattern(seed_, at);
        }
    }

    /// Whether it has any of these blocks.
    [[nodiscard]] bool has(const std::set<std::uint64_t>& wanted) const {
        return std::ranges::any_of(blocks_of(file_),
                                   [&](std::uint64_t block) { return wanted.contains(block); });
    }

    [[nodiscard]] bool intact() const {
        for (std::size_t at = 0; memory_.data() != nullptr && at < memory_.length(); at += step) {
            if (word(at) != pattern(seed_, at)) {
                return false;
            }
        }
        return true;
    }

    void give_back() {
        memory_.unmap();
        REQUIRE(::ftruncate(file_.get(), 0) == 0);
    }

private:
    /// Poison comes by the page: a few words of each tell.
    static constexpr std::size_t step = 512;

    [[nodiscard]] std::uint64_t& word(std::size_t at) const {
        return memory_.as<std::uint64_t>()[at / 8];
    }

    file file_;
    std::uint64_t seed_ = 0;
    mapping memory_;
};

/// Gives the victim all of its blocks again.
bool restore(const file& data) {
    return ::ftruncate(data.get(), file_pages * page) == 0 &&
           ::fallocate(data.get(), 0, 0, file_pages * page) == 0;
}

/// The last one where files can share blocks.
enum class removal { truncate, punch, collapse, insert, zero, truncate_all, clone, count };

/// Has the file map another one's blocks in place of its own, and that file lose them then.
int clone_from_another(const file& data, std::uint64_t offset, std::uint64_t length) {
    const file donor = temporary_file(backing("xfs_reflink"), page);
    if (::fallocate(donor.get(), 0, 0, off_t(length)) != 0) {
        return -1;
    }
    file_clone_range range{donor.get(), 0, length, offset};
    return ::ioctl(data.get(), FICLONERANGE, &range);
}

/// One operation that takes blocks from the file. False if the file system had no room for its
/// records.
bool remove_blocks(const file& data, removal what, std::size_t first, std::size_t pages) {
    const auto offset = off_t(first * page);
    const auto length = off_t(pages * page);
    const auto change = [&](int mode) { return ::fallocate(data.get(), mode, offset, length); };
    int result = 0;
    switch (what) {
    case removal::truncate: result = ::ftruncate(data.get(), offset); break;
    case removal::truncate_all: result = ::ftruncate(data.get(), 0); break;
    case removal::punch: result = change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE); break;
    case removal::collapse: result = change(FALLOC_FL_COLLAPSE_RANGE); break;
    case removal::insert: result = change(FALLOC_FL_INSERT_RANGE); break;
    case removal::zero: result = change(FALLOC_FL_ZERO_RANGE); break;
    case removal::clone: result = clone_from_another(data, first * page, pages * page); break;
    case removal::count: break;
    }
    if (result != 0 && errno != ENOSPC) {
        throw std::system_error(errno, std::generic_category(), "removal of blocks");
    }
    ::fsync(data.get()); // only then may another file have them
    return result == 0;
}

/// What is to take pages again behind a revocation.
enum class repinner { none, another_thread };

void prove(const std::string& filesystem, int rounds, unsigned int seed,
           repinner other_thread = repinner::none) {
    INFO(filesystem << ", seed " << seed);
    const raw_device device;
    const dax_file data(filesystem, file_pages * page);
    witness other(backing(filesystem));
    const file filler = fill_up(backing(filesystem));
    const std::atomic<std::uint32_t> handle =
        device.must_pin(data.memory.data(), file_pages * page, leased_write);
    const writer poisoner(device, handle);
    std::optional<repeated> repinning;
    if (other_thread == repinner::another_thread) {
        repinning.emplace([&] {
            longpin_repin answer{};
            device.repin(handle, answer);
            std::this_thread::yield();
        });
    }

    std::mt19937 random(seed);
    int removed = 0;
    int reused = 0;
    for (int round = 0; round < rounds; round++) {
        INFO("round " << round);
        const bool looked_at = round % look_each(filesystem) == 0;
        const auto before = looked_at ? blocks_of(data.descriptor) : std::set<std::uint64_t>{};
        const bool shares = filesystem == "xfs_reflink";
        const auto what = removal(random() % unsigned(shares ? removal::count : removal::clone));
        const std::size_t first = random() % (file_pages - 1);
        const std::size_t pages = 1 + random() % (file_pages - 1 - first);
        removed += remove_blocks(data.descriptor, what, first, pages) ? 1 : 0;

        other.take(std::uint64_t(round));
        reused += looked_at && other.has(before) ? 1 : 0;
        std::this_thread::yield(); // to the one who would spoil it
        REQUIRE(other.intact());

        // What the file has left; then all of it.
        longpin_repin answer{};
        const int err = device.repin(handle, answer);
        REQUIRE((err == 0 || err == EFAULT || err == EAGAIN));
        std::this_thread::yield();
        REQUIRE(other.intact());
        other.give_back();
        REQUIRE(restore(data.descriptor));
        REQUIRE(device.repin(handle, answer) == 0);
    }
    // It did what it is here for.
    CHECK(removed > rounds * 3 / 4);
    // In a few looks it's a matter of luck.
    const int looks = rounds / look_each(filesystem);
    CAPTURE(reused, looks);
    CHECK((reused > looks / (filesystem == "xfs_reflink" ? 50 : 8) || looks < 10));
    CHECK(poisoner.writes() > 0);
    CHECK(poisoner.stale() > 0);
}

/// The same, with the pinner doing what makes a pin outlive its mapping, were it not a lease.
void prove_with_child(const std::string& filesystem, int rounds, unsigned int seed) {
    INFO(filesystem << ", seed " << seed);
    const raw_device device;
    const file data = temporary_file(backing(filesystem), file_pages * page);
    witness other(backing(filesystem));
    const file filler = fill_up(backing(filesystem));
    std::atomic<std::uint32_t> handle = 0;
    const writer poisoner(device, handle);

    std::mt19937 random(seed);
    int reused = 0;
    for (int round = 0; round < rounds; round++) {
        INFO("round " << round);
        REQUIRE(restore(data));
        const auto before = blocks_of(data);
        gate pinned;
        gate go_on;
        const unsigned int end = random() % 4;
        child pinner([&] {
            mapping memory(file_pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
            device.must_pin(memory.data(), file_pages * page, leased_write);
            pinned.open();
            go_on.pass();
            switch (end) {
            case 0: memory.unmap(); break;
            case 1:
                if (::fork() == 0) {
                    ::_exit(0);
                }
                break;
            case 2: ::_exit(0);
            default: ::pause();
            }
        });
        pinned.pass();
        handle = handle + 1; // handles are given out in turn
        REQUIRE(must_query(device, handle).out_pages == file_pages);
        go_on.open();
        std::thread truncater([&] { remove_blocks(data, removal::truncate_all, 0, 0); });
        if (end == 3) {
            pinner.kill();
        } else {
            pinner.wait();
        }
        truncater.join();
        other.take(std::uint64_t(round));
        reused += other.has(before) ? 1 : 0;
        std::this_thread::yield();
        REQUIRE(other.intact());
        REQUIRE(must_query(device, handle).out_pages == 0);
        REQUIRE(device.unpin(handle) == 0);
        REQUIRE(other.intact());
        other.give_back();
    }
    CHECK(reused > rounds / 4);
}

} // namespace

TEST_CASE("lease proof: on XFS no block of another file is ever written to") {
    prove("xfs_dax", rounds(5000), 503);
}

TEST_CASE("lease proof: on ext4 no block of another file is ever written to") {
    prove("ext4_dax", rounds(5000), 504);
}

TEST_CASE("lease proof: on XFS nor while another thread pins what was taken back") {
    prove("xfs_dax", rounds(300), 507, repinner::another_thread);
}

TEST_CASE("lease proof: on ext4 nor while another thread pins what was taken back") {
    prove("ext4_dax", rounds(300), 508, repinner::another_thread);
}

TEST_CASE("lease proof: on XFS with files that share blocks no block of another file is written to",
          "[.alone]") {
    prove("xfs_reflink", rounds(150), 509, repinner::another_thread);
}

TEST_CASE("lease proof: on XFS nor when the pinner unmaps, forks, exits or is killed") {
    prove_with_child("xfs_dax", rounds(200), 505);
}

TEST_CASE("lease proof: on ext4 nor when the pinner unmaps, forks, exits or is killed") {
    prove_with_child("ext4_dax", rounds(200), 506);
}
