// SPDX-License-Identifier: MIT
// A pin lives as long as its open file, whoever holds that, and no longer.
#include "support/child.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>

using namespace guest;

namespace {

bool reads_pattern(const raw_device& device, std::uint32_t handle, std::size_t length) {
    std::vector<std::byte> copy(length);
    return device.read(handle, 0, copy.data(), length) == 0 && has_pattern(copy.data(), length);
}

/// A message of one byte with room for a descriptor.
class descriptor_message {
public:
    descriptor_message() {
        message_.msg_iov = &data_;
        message_.msg_iovlen = 1;
        message_.msg_control = control_;
        message_.msg_controllen = sizeof(control_);
    }

    void send(int socket, int descriptor) {
        cmsghdr* const header = CMSG_FIRSTHDR(&message_);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
        if (::sendmsg(socket, &message_, 0) != 1) {
            throw std::runtime_error("sendmsg");
        }
    }

    file receive(int socket) {
        const cmsghdr* header = nullptr;
        if (::recvmsg(socket, &message_, MSG_CMSG_CLOEXEC) != 1 ||
            (header = CMSG_FIRSTHDR(&message_)) == nullptr) {
            throw std::runtime_error("no descriptor came");
        }
        int descriptor = -1;
        std::memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
        return file(descriptor);
    }

private:
    char byte_ = 0;
    iovec data_{&byte_, 1};
    alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int))] = {};
    msghdr message_{};
};

void exec_busybox(const char* applet) {
    ::execl("/usr/bin/busybox", applet, nullptr);
    throw std::runtime_error("exec of busybox failed");
}

} // namespace

TEST_CASE("lifetime: close releases all pins of the context") {
    const long held_before = pinned_pages();
    const mapping memory = mapping::anonymous(64 * page);
    raw_device device;
    for (std::size_t i = 0; i < 64; i++) {
        device.must_pin(memory.at(i * page), page);
    }
    CHECK(pinned_pages() == held_before + 64);
    CHECK(vm_pin() == 64 * page);
    device.close();
    CHECK(pinned_pages() == held_before);
    CHECK(vm_pin() == 0);
}

TEST_CASE("lifetime: munmap does not end a pin") {
    const raw_device device;
    mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    memory.unmap();
    CHECK(reads_pattern(device, handle, 4 * page));
    CHECK(vm_pin() == 4 * page);
    CHECK(device.unpin(handle) == 0);
    CHECK(vm_pin() == 0);
}

TEST_CASE("lifetime: a memfd is not sealed against writing while a pin may write to it") {
    const raw_device device;
    const unsigned huge = GENERATE(0U, unsigned{MFD_HUGETLB});
    CAPTURE(huge);
    const std::size_t length = huge ? 2 * MiB : 4 * page;
    const file data(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING | huge));
    must(::ftruncate(data.get(), static_cast<off_t>(length)) == 0, "ftruncate");
    const auto sealed = [&] {
        return ::fcntl(data.get(), F_ADD_SEALS, F_SEAL_WRITE) == 0 ? 0 : errno;
    };
    {
        mapping memory(length, PROT_READ | PROT_WRITE, MAP_SHARED, data.get());
        const std::uint32_t pin = device.must_pin(memory.data(), length, LONGPIN_PIN_WRITE);
        device.must_pin(memory.data(), length, leased_write); // goes with the mapping
        CHECK(sealed() == EBUSY);
        memory.unmap();
        CHECK(sealed() == EBUSY);
        REQUIRE(device.unpin(pin) == 0);
        CHECK(sealed() == 0);
    }
    // From then on there is nothing that could be pinned for writing.
    const mapping memory(length, PROT_READ, MAP_SHARED, data.get());
    longpin_pin refused{};
    CHECK(device.pin(memory.data(), length, LONGPIN_PIN_WRITE, refused) == EFAULT);
    CHECK(refused.out_reason == LONGPIN_REASON_NOT_WRITABLE);
    CHECK(device.pin(memory.data(), length) == 0);
}

TEST_CASE("lifetime: a dup keeps the pins when the first descriptor is closed") {
    const mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    raw_device second(file(::fcntl(device.descriptor(), F_DUPFD_CLOEXEC, 0)));
    device.close();
    CHECK(reads_pattern(second, handle, 4 * page));
    second.close();
    CHECK(vm_pin() == 0);
}

TEST_CASE("lifetime: a pin made by a child that is gone stays with the parent's file") {
    const long held_before = pinned_pages();
    raw_device device;
    const std::uint32_t handle = in_child([&] {
        const mapping memory = mapping::anonymous(4 * page);
        memory.fill();
        return device.must_pin(memory.data(), 4 * page);
    });
    CHECK(reads_pattern(device, handle, 4 * page));
    CHECK(pinned_pages() == held_before + 4);
    CHECK(vm_pin() == 0); // the pages are the child's
    device.close();
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: a child that inherits the file keeps the pins of a parent that closed it") {
    const long held_before = pinned_pages();
    const mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    raw_device device;
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    gate closed;
    child heir([&] {
        closed.pass();
        if (!reads_pattern(device, handle, 4 * page)) {
            throw std::runtime_error("the pin is gone");
        }
    });
    device.close();
    CHECK(pinned_pages() == held_before + 4);
    CHECK(vm_pin() == 4 * page);
    closed.open();
    CHECK(heir.wait());
    CHECK(pinned_pages() == held_before);
    CHECK(vm_pin() == 0);
}

TEST_CASE("lifetime: SIGKILL of the only holder releases the pins") {
    const long held_before = pinned_pages();
    gate pinned;
    child pinner([&] {
        const raw_device device;
        const mapping memory = mapping::anonymous(256 * page);
        device.must_pin(memory.data(), 256 * page);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    CHECK(pinned_pages() == held_before + 256);
    CHECK(vm_pin(pinner.pid()) == 256 * page);
    pinner.kill();
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: SIGKILL of the pinner does not end the pins while another has the file") {
    const long held_before = pinned_pages();
    raw_device device;
    const mapping handle = mapping::shared_anonymous(page);
    gate pinned;
    child pinner([&] {
        const mapping memory = mapping::anonymous(4 * page);
        memory.fill();
        *handle.as<std::uint32_t>() = device.must_pin(memory.data(), 4 * page);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    pinner.kill();
    CHECK(reads_pattern(device, *handle.as<std::uint32_t>(), 4 * page));
    CHECK(pinned_pages() == held_before + 4);
    device.close();
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: a file passed over a socket keeps the pins, even while it is on its way") {
    const long held_before = pinned_pages();
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const file near(pair[0]);
    file far(pair[1]);
    const std::uint32_t handle = in_child([&] {
        const raw_device device;
        const mapping memory = mapping::anonymous(4 * page);
        memory.fill();
        const std::uint32_t made = device.must_pin(memory.data(), 4 * page);
        descriptor_message().send(near.get(), device.descriptor());
        return made;
    });
    CHECK(pinned_pages() == held_before + 4);
    {
        const raw_device device(descriptor_message().receive(far.get()));
        CHECK(reads_pattern(device, handle, 4 * page));
        descriptor_message().send(near.get(), device.descriptor());
    }
    CHECK(pinned_pages() == held_before + 4);
    far.close(); // the message is dropped, and the file with it
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: exec ends the pins of a close-on-exec file") {
    const long held_before = pinned_pages();
    child pinner([&] {
        const raw_device device;
        const mapping memory = mapping::anonymous(4 * page);
        device.must_pin(memory.data(), 4 * page);
        exec_busybox("true");
    });
    CHECK(pinner.wait());
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: exec does not end the pins of a file that stays open") {
    const long held_before = pinned_pages();
    int pair[2];
    REQUIRE(::pipe(pair) == 0);
    file read_end(pair[0]);
    file write_end(pair[1]);
    child pinner([&] {
        const raw_device device;
        const mapping memory = mapping::anonymous(4 * page);
        device.must_pin(memory.data(), 4 * page);
        ::fcntl(device.descriptor(), F_SETFD, 0);
        ::dup2(read_end.get(), 0);
        write_end.close();
        exec_busybox("cat");
    });
    read_end.close();
    REQUIRE(eventually(
        [&] { return read_line("/proc/" + std::to_string(pinner.pid()) + "/comm") == "busybox"; }));
    CHECK(pinned_pages() == held_before + 4);
    CHECK(vm_pin(pinner.pid()) == 0); // another address space
    write_end.close();
    CHECK(pinner.wait());
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: of several contexts each releases its own, in any order") {
    const long held_before = pinned_pages();
    mapping memory = mapping::anonymous(4 * page);
    memory.fill();
    raw_device one;
    raw_device two;
    raw_device three;
    const std::uint32_t in_one = one.must_pin(memory.data(), 4 * page);
    const std::uint32_t in_two = two.must_pin(memory.data(), 4 * page);
    const std::uint32_t in_three = three.must_pin(memory.data(), 4 * page);
    memory.unmap();
    two.close();
    CHECK(pinned_pages() == held_before + 8);
    CHECK(reads_pattern(one, in_one, 4 * page));
    one.close();
    CHECK(pinned_pages() == held_before + 4);
    CHECK(reads_pattern(three, in_three, 4 * page));
    three.close();
    CHECK(pinned_pages() == held_before);
    CHECK(two.unpin(in_two) == EBADF);
}

TEST_CASE("lifetime: of threads that unpin one handle, one succeeds") {
    const raw_device device;
    const mapping memory = mapping::anonymous(16 * page);
    const long held_before = pinned_pages();
    for (int round = 0; round < 200; round++) {
        const std::uint32_t handle = device.must_pin(memory.data(), 16 * page);
        std::atomic<int> done = 0;
        std::atomic<int> not_found = 0;
        std::atomic<int> ready = 0;
        const auto unpin = [&] {
            ready++;
            while (ready < 2) {
            }
            const int err = device.unpin(handle);
            if (err == 0) {
                done++;
            } else if (err == ENOENT) {
                not_found++;
            }
        };
        std::thread other(unpin);
        unpin();
        other.join();
        REQUIRE(done == 1);
        REQUIRE(not_found == 1);
    }
    CHECK(vm_pin() == 0);
    CHECK(pinned_pages() == held_before);
}

TEST_CASE("lifetime: UNPIN waits for a COPY that is under way, and the next one finds nothing") {
    const raw_device device;
    const mapping memory = mapping::anonymous(512 * page);
    memory.fill();
    for (int round = 0; round < 20; round++) {
        const std::uint32_t handle = device.must_pin(memory.data(), memory.length());
        std::atomic<bool> copying = false;
        std::atomic<int> last_result = 0;
        std::atomic<int> bad_copies = 0;
        std::thread reader([&] {
            std::vector<std::byte> copy(memory.length());
            while (last_result == 0) {
                std::memset(copy.data(), 0, page);
                last_result = device.read(handle, 0, copy.data(), copy.size());
                copying = true;
                if (last_result == 0 && !has_pattern(copy.data(), page)) {
                    bad_copies++;
                }
            }
        });
        while (!copying) {
        }
        const int unpinned = device.unpin(handle);
        const std::size_t left = vm_pin();
        reader.join();
        REQUIRE(unpinned == 0);
        REQUIRE(left == 0);
        REQUIRE(last_result == ENOENT);
        REQUIRE(bad_copies == 0);
    }
}

TEST_CASE("the mapped page of the status keeps the file open, as every mapping does") {
    const long before = pinned_pages();
    const mapping memory = mapping::small(4 * page);
    raw_device device;
    device.must_pin(memory.data(), 4 * page);
    mapping status(page, PROT_READ, MAP_SHARED, device.descriptor());
    device.close();
    CHECK(pinned_pages() == before + 4);
    status.unmap();
    CHECK(pinned_pages() == before);
}

TEST_CASE("leases of a process that has ended keep neither its memory nor its page tables") {
    constexpr std::size_t length = 2 * GiB;
    const auto taken = [] {
        read_line("/proc/sys/vm/stat_refresh");
        return number_after("/proc/vmstat", "nr_page_table_pages") +
               number_after("/proc/vmstat", "nr_anon_pages");
    };
    const raw_device device;
    const long before = taken();
    const long in_process = in_child([&] {
        const mapping memory(length, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
        must(::madvise(memory.data(), length, MADV_NOHUGEPAGE) == 0, "madvise");
        for (std::size_t at = 0; at < length; at += 2 * MiB) {
            *memory.at(at) = std::byte{1};
        }
        device.must_pin(memory.data(), page, leased);
        return taken();
    });
    CHECK(in_process > before + 2000);
    CHECK(taken() < before + 500);
    CHECK(must_query(device, 1).out_pages == 0);
}

TEST_CASE("the charge of a process that has ended doesn't keep its user namespace") {
    const raw_device device;
    const std::string limit = "/proc/sys/user/max_user_namespaces";
    const std::string before = read_line(limit);
    REQUIRE(write_line(limit, "1") == 0);
    const auto enter_namespace = [] {
        become_ordinary_user();
        return eventually([] { return ::unshare(CLONE_NEWUSER) == 0; });
    };
    CHECK(in_child([&] {
        const bool entered = enter_namespace();
        const mapping memory = mapping::small(page);
        device.must_pin(memory.data(), page);
        return entered;
    }));
    REQUIRE(device.info().out_max_pages_used == page);
    // One at a time: there is room for another when the first is gone.
    CHECK(in_child(enter_namespace));
    REQUIRE(write_line(limit, before) == 0);
}
