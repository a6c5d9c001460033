// SPDX-License-Identifier: MIT
// Each allocation and each copy from and to the caller fails in turn, in all that the module does:
// the errno is one that is documented, and nothing has changed. That nothing leaked and the kernel
// didn't complain is seen to after the run. Hidden, as only the debug kernel can make things fail.
#include "support/backings.hpp"
#include "support/child.hpp"
#include "support/fault.hpp"
#include "support/kernel_log.hpp"
#include "support/lease.hpp"
#include "support/mapping.hpp"
#include "support/module.hpp"
#include "support/netlink.hpp"
#include "support/userfaultfd.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <initializer_list>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/userfaultfd.h>
#include <optional>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace guest;

namespace {

/// What no failure may change.
struct state {
    std::size_t vm_pin;
    long pinned_pages;
    std::uint64_t pages_used, user_pages_used, memlock_used;
    std::uint32_t pins_used;
    bool operator==(const state&) const = default;
};

std::ostream& operator<<(std::ostream& to, const state& is) {
    return to << "VmPin " << is.vm_pin << ", pages held " << is.pinned_pages << ", charged "
              << is.pages_used << " " << is.user_pages_used << " " << is.memlock_used << ", pins "
              << is.pins_used;
}

state state_of(const raw_device& device) {
    const longpin_info info = device.info();
    return {vm_pin(),
            pinned_pages(),
            info.out_max_pages_used,
            info.out_max_user_pages_used,
            info.out_memlock_used,
            static_cast<std::uint32_t>(info.out_max_pins_used)};
}

/// A call whose failures leave everything as it was, and are among these.
void check_each_failure(const std::string& what, const raw_device& device, faulty_call faulty,
                        std::initializer_list<int> allowed) {
    const auto undo = faulty.clean_up;
    faulty.prepare();
    state before = state_of(device);
    undo(-1);
    const auto prepare = faulty.prepare;
    faulty.prepare = [&] {
        prepare();
        before = state_of(device);
    };
    const int failures = let_each_fail(what, faulty, [&](int err) {
        if (err != 0) {
            CHECK(std::ranges::count(allowed, err) == 1);
            CHECK(state_of(device) == before);
        }
    });
    CHECK(failures > 0);
}

/// PIN as \p make asks for it, anew for each round.
void check_pin(const std::string& what, const raw_device& device,
               const std::function<longpin_pin()>& make) {
    longpin_pin pin{};
    faulty_call faulty;
    faulty.prepare = [&] { pin = make(); };
    faulty.call = [&] { return device.call(LONGPIN_PIN, &pin); };
    faulty.clean_up = [&](int err) {
        if (err == 0 && (pin.flags & LONGPIN_PIN_DRY_RUN) == 0) {
            REQUIRE(device.unpin(pin.out_handle) == 0);
        }
    };
    check_each_failure(what, device, faulty, {ENOMEM, EFAULT});
}

longpin_pin request_of(const mapping& memory, std::uint32_t flags) {
    auto pin = request<longpin_pin>();
    pin.flags = flags;
    pin.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    pin.length = memory.length();
    return pin;
}

/// PIN of what the function maps, afresh for each round if it is less than a GiB.
void check_pin_of(const std::string& what, const std::function<mapping()>& map,
                  std::uint32_t flags) {
    const raw_device device;
    mapping memory = map();
    check_pin(what, device, [&] {
        // There may be no more of it. A GiB takes many seconds, and then there is nothing to fault
        // in.
        if (memory.length() < GiB) {
            memory.unmap();
            memory = map();
        }
        return request_of(memory, flags);
    });
}

} // namespace

TEST_CASE("faults: open", "[.debug]") {
    const raw_device device;
    int descriptor = -1;
    faulty_call faulty;
    faulty.call = [&] {
        descriptor = ::open("/dev/longpin", O_RDWR | O_CLOEXEC);
        return descriptor >= 0 ? 0 : errno;
    };
    faulty.clean_up = [&](int err) {
        if (err == 0) {
            ::close(descriptor);
        }
    };
    check_each_failure("open", device, faulty, {ENOMEM, EFAULT});
}

TEST_CASE("faults: PIN of each kind of memory", "[.debug]") {
    for (const memory_backing& row : memory_backings()) {
        switch (row.kind) {
        case backing_kind::secret:
        case backing_kind::io:
        case backing_kind::pfnmap:
        case backing_kind::hole:
        case backing_kind::shared_file:
        case backing_kind::fs_dax: continue;
        default: break;
        }
        const std::uint32_t write = row.protection & PROT_WRITE ? LONGPIN_PIN_WRITE : 0;
        // A few pages, where each is copied or faulted in by itself and may fail to be.
        const bool is_by_page = row.kind == backing_kind::private_file ||
                                row.name == std::string_view("device-DAX 4 KiB");
        const auto map = [&] { return is_by_page ? row.map().keep(16 * page) : row.map(); };
        check_pin_of(std::string(row.name), map, write);
        if (row.kind != backing_kind::private_file) { // which can't be leased
            check_pin_of(std::string(row.name) + ", leased", map, write | LONGPIN_PIN_LEASE);
        }
    }
    for (const char* const filesystem : dax_filesystems) {
        const dax_file data(filesystem, 64 * page);
        check_pin_of(
            std::string("file on ") + filesystem + ", leased",
            [&] {
                return mapping(64 * page, PROT_READ | PROT_WRITE, MAP_SHARED,
                               data.descriptor.get());
            },
            leased_write);
    }
}

TEST_CASE("faults: PIN of runs", "[.debug]") {
    check_pin_of(
        "100 runs", [] { return mapping::runs(100); }, LONGPIN_PIN_WRITE);
    check_pin_of(
        "100 runs, leased", [] { return mapping::runs(100); }, leased_write);
    check_pin_of(
        "100 runs, dry", [] { return mapping::runs(100); }, LONGPIN_PIN_DRY_RUN);
}

TEST_CASE("faults: PIN of memory that a userfaultfd handler watches", "[.debug]") {
    const file events = open_userfaultfd();
    check_pin_of(
        "watched by userfaultfd",
        [&] {
            mapping memory = mapping::small(16 * page);
            watch(events, memory, UFFDIO_REGISTER_MODE_WP);
            return memory;
        },
        0);
}

TEST_CASE("faults: PIN with an eventfd and a grace", "[.debug]") {
    const raw_device device;
    const file counter(::eventfd(0, EFD_CLOEXEC));
    const mapping memory = mapping::small(4 * page);
    check_pin("PIN, with an eventfd", device, [&] {
        longpin_pin pin = request_of(memory, leased_write | LONGPIN_PIN_EVENTFD);
        pin.eventfd = counter.get();
        pin.grace_ms = 10;
        return pin;
    });
}

TEST_CASE("faults: INFO, QUERY, EXTENTS and COPY", "[.debug]") {
    const raw_device device;
    const mapping memory = mapping::runs(64);
    const std::uint32_t handle = device.must_pin(memory.data(), memory.length(), LONGPIN_PIN_WRITE);
    std::vector<std::byte> buffer(64 * page);
    std::vector<longpin_extent> some(64);
    faulty_call faulty;

    faulty.call = [&] {
        auto arguments = request<longpin_info>();
        return device.call(LONGPIN_INFO, &arguments);
    };
    check_each_failure("INFO", device, faulty, {EFAULT});
    faulty.call = [&] {
        auto arguments = request<longpin_query>();
        arguments.handle = handle;
        return device.call(LONGPIN_QUERY, &arguments);
    };
    check_each_failure("QUERY", device, faulty, {EFAULT});
    faulty.call = [&] {
        auto arguments = request<longpin_extents>();
        arguments.handle = handle;
        arguments.count = 64;
        arguments.buffer = reinterpret_cast<std::uintptr_t>(some.data());
        return device.call(LONGPIN_EXTENTS, &arguments);
    };
    check_each_failure("EXTENTS", device, faulty, {EFAULT, ENOMEM});
    faulty.call = [&] { return device.read(handle, 5, buffer.data(), 60 * page); };
    check_each_failure("COPY, reading", device, faulty, {EFAULT, ENOMEM, EHWPOISON});
    faulty.call = [&] { return device.write(handle, 5, buffer.data(), 60 * page); };
    check_each_failure("COPY, writing", device, faulty, {EFAULT, ENOMEM});
}

TEST_CASE("faults: UNPIN and close can't fail", "[.debug]") {
    const raw_device device;
    const mapping memory = mapping::runs(600);
    for (const std::uint32_t flags : {0U, LONGPIN_PIN_WRITE, leased_write}) {
        std::uint32_t handle = 0;
        faulty_call faulty;
        faulty.prepare = [&] { handle = device.must_pin(memory.data(), memory.length(), flags); };
        const state before = state_of(device);
        faulty.call = [&] { return device.unpin(handle); };
        faulty.clean_up = [&](int err) {
            // The request could not be read: nothing was done.
            CHECK((err == 0 || err == EFAULT));
            CHECK(device.unpin(handle) == (err == 0 ? ENOENT : 0));
            CHECK(state_of(device) == before);
        };
        const int failures = let_each_fail("UNPIN", faulty, [](int) {});
        CHECK(failures > 0);

        file other;
        faulty.prepare = [&] {
            raw_device opened;
            opened.must_pin(memory.data(), memory.length(), flags);
            other = file(::dup(opened.descriptor()));
        };
        faulty.call = [&] { return ::close(std::exchange(other, file()).get()) == 0 ? 0 : errno; };
        faulty.clean_up = [&](int err) {
            CHECK(err == 0);
            CHECK(state_of(device) == before);
        };
        let_each_fail("close", faulty, [](int) {});
    }
}

TEST_CASE("faults: LET_GO and REPIN", "[.debug]") {
    const raw_device device;
    const mapping memory = mapping::runs(600);
    std::uint32_t handle = 0;
    faulty_call faulty;
    faulty.prepare = [&] {
        handle = device.must_pin(memory.data(), memory.length(), leased_write);
    };
    faulty.call = [&] { return device.let_go(handle, 100 * page, 50 * page); };
    faulty.clean_up = [&](int) { REQUIRE(device.unpin(handle) == 0); };
    const int let_go = let_each_fail("LET_GO", faulty, [&](int err) {
        CHECK((err == 0 || err == EFAULT || err == ENOMEM));
        const longpin_query left = must_query(device, handle);
        CHECK(vm_pin() == left.out_pages * page);
        // The answer may not have come through though all was done.
        CHECK((err == 0 || left.out_pages == 600 || left.out_pages <= 550));
        std::byte byte{};
        for (std::size_t i = 100; err == 0 && i < 150; i++) {
            CHECK(device.read(handle, i * page, &byte, 1) == ESTALE);
        }
        // More had to go for want of memory, and that is told.
        CHECK(device.events().empty() == (left.out_pages >= 550));
    });
    CHECK(let_go > 0);

    faulty.prepare = [&] {
        handle = device.must_pin(memory.data(), memory.length(), leased_write);
        REQUIRE(device.let_go(handle, 100 * page, 300 * page) == 0);
    };
    longpin_repin answer{};
    faulty.call = [&] { return device.repin(handle, answer); };
    const int repin = let_each_fail("REPIN", faulty, [&](int err) {
        CHECK((err == 0 || err == EFAULT || err == ENOMEM));
        const longpin_query left = must_query(device, handle);
        CHECK(left.out_pages >= 300);
        CHECK(vm_pin() == left.out_pages * page);
        CHECK((err != 0 || lost_exactly(device, handle, 0, 0)));
    });
    CHECK(repin > 0);
}

TEST_CASE("faults: what takes a lease back goes on, and is told of", "[.debug]") {
    const raw_device device;
    const state before = state_of(device);
    const struct {
        const char* name;
        std::function<mapping()> map;
    } memories[] = {
        {"600 runs", [] { return mapping::runs(600); }},
        {"one run", [] { return map_devdax("devdax_4k", 600 * page); }},
    };
    for (const auto& of : memories) {
        mapping memory = of.map();
        std::uint32_t handle = 0;
        faulty_call faulty;
        faulty.prepare = [&] {
            memory = of.map();
            handle = device.must_pin(memory.data(), memory.length(), leased_write);
            static_cast<void>(device.events());
        };
        faulty.call = [&] { return ::munmap(memory.at(100 * page), 50 * page) == 0 ? 0 : errno; };
        faulty.clean_up = [&](int) {
            REQUIRE(device.unpin(handle) == 0);
            static_cast<void>(device.events());
            CHECK(state_of(device) == before);
        };
        const std::string what = std::string("munmap under a lease of ") + of.name;
        const int failures = let_each_fail(what, faulty, [&](int err) {
            const longpin_query left = must_query(device, handle);
            const auto events = device.events();
            std::uint64_t told = 0;
            for (const longpin_event& event : events) {
                CHECK(event.type == LONGPIN_EVENT_REVOKED);
                told += event.length / page;
            }
            CHECK(vm_pin() == left.out_pages * page);
            CHECK(told == 600 - left.out_pages);
            std::byte buffer[1];
            for (std::size_t i = 100; err == 0 && i < 150; i++) {
                CHECK(device.read(handle, i * page, buffer, 1) == ESTALE);
            }
        });
        CHECK(failures > 0);
    }
}

TEST_CASE("faults: read, poll and mmap of a context", "[.debug]") {
    const mapping memory = mapping::small(4 * page);
    std::unique_ptr<raw_device> device;
    longpin_event events[8];
    void* status = MAP_FAILED;
    faulty_call faulty;
    faulty.prepare = [&] {
        device = std::make_unique<raw_device>();
        device->must_pin(memory.data(), memory.length(), leased_write);
        REQUIRE(::madvise(memory.at(page), page, MADV_DONTNEED) == 0);
    };
    faulty.call = [&] {
        return ::read(device->descriptor(), events, sizeof(events)) > 0 ? 0 : errno;
    };
    const int reads = let_each_fail("read", faulty, [&](int err) {
        CHECK((err == 0 || err == ENOMEM || err == EFAULT));
        CHECK(device->events().size() == (err == 0 ? 0 : 1)); // none was lost
    });
    CHECK(reads > 0);

    faulty.call = [&] {
        pollfd wanted{device->descriptor(), POLLIN, 0};
        return ::poll(&wanted, 1, 0) == 1 ? 0 : errno;
    };
    const int polls = let_each_fail(
        "poll", faulty, [&](int err) { CHECK((err == 0 || err == ENOMEM || err == EFAULT)); });
    CHECK(polls > 0);

    faulty.call = [&] {
        status = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, device->descriptor(), 0);
        return status != MAP_FAILED ? 0 : errno;
    };
    faulty.clean_up = [&](int err) {
        if (err == 0) {
            CHECK(static_cast<const volatile longpin_status*>(status)->generation == 1);
            ::munmap(status, page);
        }
    };
    const int maps =
        let_each_fail("mmap", faulty, [&](int err) { CHECK((err == 0 || err == ENOMEM)); });
    CHECK(maps > 0);
}

TEST_CASE("faults: the netlink family", "[.debug]") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 4 * page);
    for (int i = 0; i < 200; i++) {
        device.must_pin(memory.data(), page); // for a dump of some messages
    }
    const std::uint32_t context = context_of(device);
    const struct {
        const char* name = nullptr;
        netlink_request request;
    } requests[] = {
        {"CONTEXT_GET",
         longpin_request(LONGPIN_CMD_CONTEXT_GET, 0, {{LONGPIN_A_CONTEXT_ID, context}})},
        {"CONTEXT_GET, all", longpin_request(LONGPIN_CMD_CONTEXT_GET, NLM_F_DUMP)},
        {"PIN_GET",
         longpin_request(LONGPIN_CMD_PIN_GET, 0,
                         {{LONGPIN_A_PIN_CONTEXT, context}, {LONGPIN_A_PIN_HANDLE, handle}})},
        {"PIN_GET, all", longpin_request(LONGPIN_CMD_PIN_GET, NLM_F_DUMP)},
        {"STATS_GET", longpin_request(LONGPIN_CMD_STATS_GET, 0)},
        {"SUBSCRIBE", longpin_request(LONGPIN_CMD_SUBSCRIBE, NLM_F_ACK)},
    };
    std::vector<std::byte> room(32768);
    for (const auto& one : requests) {
        file socket;
        faulty_call faulty;
        faulty.prepare = [&] {
            socket = file(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
            must(socket.get() >= 0, "socket");
        };
        faulty.call = [&] {
            const auto& bytes = one.request.bytes();
            if (::send(socket.get(), bytes.data(), bytes.size(), 0) < 0) {
                return errno;
            }
            while (true) {
                const ssize_t got = ::recv(socket.get(), room.data(), room.size(), MSG_DONTWAIT);
                if (got < 0) {
                    return errno;
                }
                const auto* const header = reinterpret_cast<const nlmsghdr*>(room.data());
                if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_type == NLMSG_DONE) {
                    return -*reinterpret_cast<const int*>(room.data() + NLMSG_HDRLEN);
                }
                if (!(header->nlmsg_flags & NLM_F_MULTI)) {
                    return 0;
                }
            }
        };
        check_each_failure(one.name, device, faulty, {ENOMEM, ENOBUFS, EFAULT, EAGAIN});
        const auto whole =
            netlink_socket().dump(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, context}});
        CHECK(whole.messages.size() == 201);
    }
}

TEST_CASE("faults: a listener is told of what it missed", "[.debug]") {
    const raw_device device;
    const mapping memory = mapping::small(4 * page);
    netlink_socket listener;
    REQUIRE(listener.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    longpin_pin pin{};
    faulty_call faulty;
    faulty.call = [&] { return device.pin(memory.data(), page, 0, pin); };
    faulty.clean_up = [&](int err) {
        if (err == 0) {
            REQUIRE(device.unpin(pin.out_handle) == 0);
        }
        try {
            while (listener.event(0)) {
            }
        } catch (const std::exception&) { // it lost some
            static_cast<void>(0);
        }
    };
    const int pins = let_each_fail("PIN, with a listener", faulty, [&](int err) {
        CHECK((err == 0 || err == ENOMEM || err == EFAULT));
        bool told = false;
        try {
            told = listener.event(0).has_value();
        } catch (const std::exception&) {
            told = true; // ENOBUFS
        }
        CHECK((told || err != 0)); // what could not even be read is nothing to tell of
    });
    CHECK(pins > 0);
}

TEST_CASE("faults: the module is loaded", "[.debug]") {
    REQUIRE(remove_module() == 0);
    const std::string path =
        "/lib/modules/" + read_line("/proc/sys/kernel/osrelease") + "/extra/longpin.ko";
    const file image = open_file(path, O_RDONLY);
    faulty_call faulty;
    const quiet_console quiet;
    std::optional<kernel_log> log;
    faulty.prepare = [&] { log.emplace(); };
    faulty.call = [&] { return ::syscall(SYS_finit_module, image.get(), "", 0) == 0 ? 0 : errno; };
    faulty.clean_up = [&](int err) {
        if (err == 0) {
            REQUIRE(remove_module() == 0);
        }
        // The kernel says so when it can't make the files of a tracepoint.
        const std::string odd = log->complaints("at kernel/trace/trace_events.c");
        CAPTURE(odd);
        CHECK(odd.empty());
    };
    let_each_fail("load of the module", faulty, [&](int err) {
        CHECK(std::ranges::count(std::initializer_list<int>{0, ENOMEM, EFAULT, ENOEXEC, EAGAIN},
                                 err) == 1);
        CHECK((::access("/dev/longpin", F_OK) == 0) == (err == 0));
    });
    // The warnings of the kernel's that were seen above taint it, and no others did.
    std::ofstream("/run/longpin/allowed-taint") << 512;
    REQUIRE(load_module() == 0);
}
