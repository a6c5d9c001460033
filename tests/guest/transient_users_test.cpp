// SPDX-License-Identifier: MIT
// Those who use pages for the length of a call (direct I/O, vmsplice(), another process's reads and
// writes) go on working on memory that is pinned, leased, or was refused, just as without longpin,
// and what they see and leave there is what the pin holds.
#include "support/backings.hpp"
#include "support/child.hpp"
#include "support/lease.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <string>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

using namespace guest;

namespace {

constexpr std::size_t length = 16 * page;

using bytes = std::vector<std::byte>;

bytes content_of(std::uint64_t seed) {
    const mapping memory = mapping::anonymous(length);
    memory.fill(seed);
    return {memory.data(), memory.at(length)};
}

/// 0 if all of it was moved, or the errno; EIO if some was.
int outcome(ssize_t moved) {
    return moved < 0 ? errno : moved == static_cast<ssize_t>(length) ? 0 : EIO;
}

/// A file without DAX, to be read and written around the page cache.
class direct_file {
public:
    direct_file()
        : buffered_(temporary_file(backing("xfs"), length)),
          direct_(open_file("/proc/self/fd/" + std::to_string(buffered_.get()),
                            O_RDWR | O_DIRECT | O_CLOEXEC)) {}

    [[nodiscard]] int buffered() const { return buffered_.get(); }
    [[nodiscard]] int direct() const { return direct_.get(); }

private:
    file buffered_;
    file direct_;
};

/// The two ends of a pipe that has room for all.
struct wide_pipe {
    wide_pipe() {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
        out = file(ends[0]);
        in = file(ends[1]);
        must(::fcntl(in.get(), F_SETPIPE_SZ, 2 * length) > 0, "F_SETPIPE_SZ");
    }

    [[nodiscard]] int put(std::byte* memory) const {
        const iovec all{memory, length};
        return outcome(::vmsplice(in.get(), &all, 1, SPLICE_F_NONBLOCK));
    }

    [[nodiscard]] int get(bytes& copy) const {
        for (std::size_t at = 0; at < length;) {
            const ssize_t got = ::read(out.get(), copy.data() + at, length - at);
            if (got <= 0) {
                return got < 0 ? errno : EIO;
            }
            at += static_cast<std::size_t>(got);
        }
        return 0;
    }

    file out, in;
};

// ---- those who read the memory

int by_direct_write(std::byte* memory, bytes& copy) {
    const direct_file data;
    const int err = outcome(::pwrite(data.direct(), memory, length, 0));
    return err ? err : outcome(::pread(data.buffered(), copy.data(), length, 0));
}

int by_vmsplice(std::byte* memory, bytes& copy) {
    const wide_pipe pipe;
    const int err = pipe.put(memory);
    return err ? err : pipe.get(copy);
}

int by_process_vm_readv(std::byte* memory, bytes& copy) {
    const iovec from{memory, length};
    const iovec to{copy.data(), length};
    return outcome(::process_vm_readv(::getpid(), &to, 1, &from, 1, 0));
}

int by_read_of_proc_mem(std::byte* memory, bytes& copy) {
    const file process = open_file("/proc/self/mem", O_RDWR | O_CLOEXEC);
    return outcome(::pread(process.get(), copy.data(), length, reinterpret_cast<off_t>(memory)));
}

// ---- those who write to it

int by_direct_read(std::byte* memory, bytes& content) {
    const direct_file data;
    const int err = outcome(::pwrite(data.buffered(), content.data(), length, 0));
    must(::fsync(data.buffered()) == 0, "fsync");
    return err ? err : outcome(::pread(data.direct(), memory, length, 0));
}

int by_process_vm_writev(std::byte* memory, bytes& content) {
    const iovec from{content.data(), length};
    const iovec to{memory, length};
    return outcome(::process_vm_writev(::getpid(), &from, 1, &to, 1, 0));
}

int by_write_to_proc_mem(std::byte* memory, bytes& content) {
    const file process = open_file("/proc/self/mem", O_RDWR | O_CLOEXEC);
    return outcome(
        ::pwrite(process.get(), content.data(), length, reinterpret_cast<off_t>(memory)));
}

struct user {
    const char* name = nullptr;
    int (*use)(std::byte* memory, bytes& other) = nullptr;
    bool writes = false;
};

constexpr user users[] = {
    {"direct I/O out of it", by_direct_write},
    {"vmsplice()", by_vmsplice},
    {"process_vm_readv()", by_process_vm_readv},
    {"read() of /proc/PID/mem", by_read_of_proc_mem},
    {"direct I/O into it", by_direct_read, true},
    {"process_vm_writev()", by_process_vm_writev, true},
    {"write() to /proc/PID/mem", by_write_to_proc_mem, true},
};

const char* const kinds[] = {
    "anonymous, 4 KiB pages",   "anonymous, huge pages",
    "anonymous, never touched", "memfd",
    "hugetlb 2 MiB, shared",    "XFS file, private",
    "XFS file, shared",         "device-DAX 2 MiB",
    "device-DAX 4 KiB",         "fs-DAX on XFS",
    "fs-DAX on ext4",
};

/// What each user says of memory, whose content it moves, changed by those that write.
std::vector<int> let_use(const mapping& memory, const std::function<void()>& check) {
    std::vector<int> said;
    std::uint64_t seed = 1;
    memory.fill(seed);
    for (const user& one : users) {
        INFO(one.name);
        bytes other = one.writes ? content_of(++seed) : bytes(length);
        const int err = one.use(memory.data(), other);
        said.push_back(err);
        if (err == 0) {
            CHECK(std::memcmp(memory.data(), other.data(), length) == 0);
            CHECK(has_pattern(memory.data(), length, 0, seed));
        }
        check();
    }
    return said;
}

/// Pins it, for writing if it may be. Returns the handle; 0 if it is refused.
std::uint32_t try_to_pin(const raw_device& device, const mapping& memory, std::uint32_t flags) {
    for (const std::uint32_t write : {LONGPIN_PIN_WRITE, 0U}) {
        longpin_pin pin{};
        if (device.pin(memory.data(), memory.length(), flags | write, pin) == 0) {
            return pin.out_handle;
        }
    }
    return 0;
}

} // namespace

TEST_CASE("transient users: they work on pinned, leased and refused memory as on any other",
          "[devdax]") {
    const char* const name = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    const std::uint32_t flags = GENERATE(0U, leased);
    CAPTURE(name, flags);
    const memory_backing& row = memory_backing_named(name);
    const std::vector<int> wanted = let_use(row.map(), [] {});

    const raw_device device;
    const mapping memory = row.map();
    const long moved = compacted_pages();
    const std::uint32_t handle = try_to_pin(device, memory, flags);
    CHECK((handle == 0) ==
          (flags ? row.kind == backing_kind::private_file || row.kind == backing_kind::shared_file
                 : row.kind == backing_kind::fs_dax));
    const std::vector<int> said = let_use(memory, [&] {
        bytes copy(length);
        const int err = handle ? device.read(handle, 0, copy.data(), length) : ENOENT;
        // A lease may go when the kernel moves its page.
        if (handle && !(flags && err == ESTALE && compacted_pages() != moved)) {
            CHECK(err == 0);
            CHECK(std::memcmp(copy.data(), memory.data(), length) == 0);
        }
    });
    CHECK(said == wanted);
    CHECK(said == std::vector<int>(std::size(users)));
}

TEST_CASE("transient users: pages that are in a pipe are pinned and given back", "[devdax]") {
    const char* const name = GENERATE(from_range(std::begin(kinds), std::end(kinds)));
    const std::uint32_t flags = GENERATE(0U, leased);
    CAPTURE(name, flags);
    const mapping memory = memory_backing_named(name).map();
    memory.fill();
    const wide_pipe pipe;
    REQUIRE(pipe.put(memory.data()) == 0);
    {
        const raw_device device;
        const std::uint32_t handle = try_to_pin(device, memory, flags);
        bytes copy(length);
        if (handle && device.read(handle, 0, copy.data(), length) == 0) {
            CHECK(has_pattern(copy.data(), length));
        }
    }
    bytes copy(length);
    REQUIRE(pipe.get(copy) == 0);
    CHECK(has_pattern(copy.data(), length));
    CHECK(has_pattern(memory.data(), length));
}
