// SPDX-License-Identifier: MIT
// What the netlink family says of contexts and pins, and how it says no.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <linux/netlink.h>
#include <map>
#include <numeric>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <thread>

using namespace guest;

namespace {

using ids = std::vector<pin_id>;

/// The time that ages are told in.
std::uint64_t boot_time() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

netlink_answer get_pin(pin_id id) {
    return netlink_socket().get(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, id.context},
                                                      {LONGPIN_A_PIN_HANDLE, id.handle}});
}

pin_id pin_in(const raw_device& device, const mapping& memory) {
    return {context_of(device), device.must_pin(memory.data(), memory.length())};
}

/// The line of /proc/self/maps for an address.
struct maps_line {
    std::uintptr_t start = 0;
    std::uint64_t offset = 0, inode = 0;
    unsigned major = 0, minor = 0;
    std::string path;
};

maps_line maps_line_of(const std::byte* address) {
    std::ifstream lines("/proc/self/maps");
    for (std::string line; std::getline(lines, line);) {
        maps_line found;
        std::uintptr_t end = 0;
        char separator = 0;
        std::string protection;
        std::istringstream words(line);
        words >> std::hex >> found.start >> separator >> end >> protection >> found.offset >>
            found.major >> separator >> found.minor >> std::dec >> found.inode >> std::ws;
        std::getline(words, found.path);
        const auto wanted = reinterpret_cast<std::uintptr_t>(address);
        if (found.start <= wanted && wanted < end) {
            return found;
        }
    }
    throw std::runtime_error("the address is not mapped");
}

/// Since 6.2 a family can say why a dump doesn't start. Before, only the kernel's own checks can.
bool dumps_say_why() {
    utsname name{};
    ::uname(&name);
    std::istringstream release(name.release);
    std::pair<int, int> version;
    char point = 0;
    release >> version.first >> point >> version.second;
    return version >= std::pair(6, 2);
}

/// Checks that the pin's file is the one that is mapped at \p address, as /proc/self/maps has it.
void check_file(pin_id id, const std::byte* address) {
    const maps_line line = maps_line_of(address);
    const netlink_attributes shown = get_pin(id).only().nest(LONGPIN_A_PIN_FILE);
    CHECK(shown.string(LONGPIN_A_FILE_PATH) == line.path);
    CHECK(shown.u32(LONGPIN_A_FILE_MAJOR) == line.major);
    CHECK(shown.u32(LONGPIN_A_FILE_MINOR) == line.minor);
    CHECK(shown.u64(LONGPIN_A_FILE_INODE) == line.inode);
    CHECK(shown.u64(LONGPIN_A_FILE_OFFSET) ==
          line.offset + (reinterpret_cast<std::uintptr_t>(address) - line.start));
}

} // namespace

TEST_CASE("netlink: a pin is shown as the program that made it knows it") {
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    auto made = request<longpin_pin>();
    made.flags = LONGPIN_PIN_WRITE;
    made.addr = reinterpret_cast<std::uintptr_t>(memory.at(page + 5));
    made.length = 5 * page;
    made.cookie = 0x1234567890abcdef;
    const std::uint64_t before = boot_time();
    REQUIRE(device.call(LONGPIN_PIN, &made) == 0);

    const std::uint64_t after = boot_time();
    const netlink_attributes pin = get_pin({context_of(device), made.out_handle}).only();
    CHECK(pin.u32(LONGPIN_A_PIN_CONTEXT) == context_of(device));
    CHECK(pin.u32(LONGPIN_A_PIN_HANDLE) == made.out_handle);
    CHECK(pin.u32(LONGPIN_A_PIN_PID) == static_cast<std::uint32_t>(::getpid()));
    CHECK(pin.string(LONGPIN_A_PIN_COMM) == read_line("/proc/self/comm"));
    CHECK(pin.u32(LONGPIN_A_PIN_UID) == ::getuid());
    CHECK(pin.u64(LONGPIN_A_PIN_ADDR) == made.addr);
    CHECK(pin.u64(LONGPIN_A_PIN_LENGTH) == made.length);
    CHECK(pin.u64(LONGPIN_A_PIN_PAGES) == 6);
    CHECK(pin.u64(LONGPIN_A_PIN_RUNS) == made.out_runs);
    CHECK(pin.u64(LONGPIN_A_PIN_BOOKKEEPING) == made.out_bookkeeping);
    CHECK(pin.u32(LONGPIN_A_PIN_KINDS) == LONGPIN_KIND_ANON);
    CHECK(pin.u32(LONGPIN_A_PIN_FLAGS) == LONGPIN_PIN_WRITE);
    CHECK(pin.u64(LONGPIN_A_PIN_COOKIE) == made.cookie);
    CHECK(pin.u64(LONGPIN_A_PIN_AGE) <= boot_time() - before);
    ::usleep(20000);
    const std::uint64_t later = boot_time();
    CHECK(get_pin({context_of(device), made.out_handle}).only().u64(LONGPIN_A_PIN_AGE) >=
          later - after);
    CHECK_FALSE(pin.has(LONGPIN_A_PIN_ORPHANED));
    CHECK_FALSE(pin.has(LONGPIN_A_PIN_FILE));
}

TEST_CASE("netlink: the id of a context is not given out again soon") {
    std::set<std::uint32_t> ids;
    for (int i = 0; i < 100; i++) {
        const raw_device device;
        CHECK(ids.insert(context_of(device)).second);
    }
}

TEST_CASE("netlink: a context is shown with what it holds") {
    const raw_device empty;
    const std::uint64_t before = boot_time();
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    device.must_pin(memory.data(), 8 * page);
    const std::uint32_t handle = device.must_pin(memory.data(), 3 * page);
    in_child([&] { return device.must_pin(memory.data(), page); }); // others' pins count as well

    const auto shown = [](const raw_device& which) {
        return netlink_socket()
            .get(LONGPIN_CMD_CONTEXT_GET, {{LONGPIN_A_CONTEXT_ID, context_of(which)}})
            .only();
    };
    netlink_attributes context = shown(device);
    CHECK(context.u32(LONGPIN_A_CONTEXT_ID) == context_of(device));
    CHECK(context.u32(LONGPIN_A_CONTEXT_PID) == static_cast<std::uint32_t>(::getpid()));
    CHECK(context.string(LONGPIN_A_CONTEXT_COMM) == read_line("/proc/self/comm"));
    CHECK(context.u32(LONGPIN_A_CONTEXT_UID) == ::getuid());
    CHECK(context.u64(LONGPIN_A_CONTEXT_AGE) <= boot_time() - before);
    CHECK(context.u64(LONGPIN_A_CONTEXT_PINS) == 3);
    CHECK(context.u64(LONGPIN_A_CONTEXT_PAGES) == 12);
    CHECK_FALSE(context.has(LONGPIN_A_CONTEXT_ORPHANED));

    REQUIRE(device.unpin(handle) == 0);
    context = shown(device);
    CHECK(context.u64(LONGPIN_A_CONTEXT_PINS) == 2);
    CHECK(context.u64(LONGPIN_A_CONTEXT_PAGES) == 9);
    CHECK(shown(empty).u64(LONGPIN_A_CONTEXT_PINS) == 0);
    CHECK(shown(empty).u64(LONGPIN_A_CONTEXT_PAGES) == 0);

    const netlink_answer listed = netlink_socket().dump(LONGPIN_CMD_CONTEXT_GET);
    REQUIRE(listed.messages.size() == 2);
    CHECK(listed.messages[0].attributes.u32(LONGPIN_A_CONTEXT_ID) == context_of(empty));
    CHECK(listed.messages[1].attributes.u32(LONGPIN_A_CONTEXT_ID) == context_of(device));
}

TEST_CASE("netlink: a pin of a file is shown with the file, in the terms of /proc/PID/maps") {
    const raw_device device;
    for (const char* const directory : {"/dev/shm", "ext4"}) {
        const std::string base = directory[0] == '/' ? directory : backing(directory);
        const std::string path = base + "/netlink-test";
        INFO(path);
        const file data = open_file(path, O_RDWR | O_CREAT);
        REQUIRE(::ftruncate(data.get(), 16 * page) == 0);
        const mapping memory(8 * page, PROT_READ, MAP_SHARED, data.get(), 4 * page);
        const pin_id id{context_of(device), device.must_pin(memory.at(page + 100), page)};
        check_file(id, memory.at(page + 100));
        CHECK(maps_line_of(memory.data()).path == path);

        // As it was then: a name that it gets or loses later is not told.
        REQUIRE(::unlink(path.c_str()) == 0);
        CHECK(get_pin(id).only().nest(LONGPIN_A_PIN_FILE).string(LONGPIN_A_FILE_PATH) == path);
        const pin_id second{context_of(device), device.must_pin(memory.data(), page)};
        check_file(second, memory.data());
        CHECK(maps_line_of(memory.data()).path == path + " (deleted)");
    }
}

TEST_CASE("netlink: of a range the first mapping that has a file is told") {
    const raw_device device;
    const mapping memory = mapping::anonymous(8 * page);
    const file first(::memfd_create("first", MFD_CLOEXEC));
    const file second(::memfd_create("second", MFD_CLOEXEC));
    for (const auto& [data, place] : {std::pair(&first, 2 * page), std::pair(&second, 5 * page)}) {
        REQUIRE(::ftruncate(data->get(), 4 * page) == 0);
        REQUIRE(::mmap(memory.at(place), 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                       data->get(), page) != MAP_FAILED);
    }
    check_file(pin_in(device, memory), memory.at(2 * page));
}

TEST_CASE("netlink: of a very long path the end is told") {
    const raw_device device;
    netlink_socket events;
    REQUIRE(events.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    // The path of a new file in the working directory, as a listing and an event have it.
    std::uint64_t bookkeeping = 0;
    const auto shown = [&](const std::string& name) {
        const file data = open_file(name, O_RDWR | O_CREAT);
        REQUIRE((::unlink(name.c_str()) == 0 && ::ftruncate(data.get(), page) == 0));
        const mapping memory(page, PROT_READ, MAP_SHARED, data.get());
        const netlink_attributes pin = get_pin(pin_in(device, memory)).only();
        bookkeeping = pin.u64(LONGPIN_A_PIN_BOOKKEEPING);
        std::string path = pin.nest(LONGPIN_A_PIN_FILE).string(LONGPIN_A_FILE_PATH);
        const auto event = events.event();
        REQUIRE(event);
        CHECK(event->attributes.nest(LONGPIN_A_PIN_FILE).string(LONGPIN_A_FILE_PATH) == path);
        return path;
    };
    // In steps, as no system call takes so long a path at once.
    const auto start = std::filesystem::current_path();
    const std::string part(199, 'a');
    const auto descend = [&](int times) {
        for (int i = 0; i < times; i++) {
            ::mkdir(part.c_str(), 0700);
            REQUIRE(::chdir(part.c_str()) == 0);
        }
    };
    const auto ascend = [&](int times) {
        for (int i = 0; i < times; i++) {
            REQUIRE((::chdir("..") == 0 && ::rmdir(part.c_str()) == 0));
        }
    };

    std::filesystem::current_path("/tmp");
    descend(4);
    const std::string deleted = " (deleted)";
    const std::string directory = std::filesystem::current_path();
    const std::string fits(1000 - directory.size() - 1 - deleted.size(), 'b');
    CHECK(shown(fits) == directory + '/' + fits + deleted);
    const std::string whole = directory + "/c" + fits + deleted;
    CHECK(shown('c' + fits) == "..." + whole.substr(whole.size() - 997));
    const std::uint64_t with_long_path = bookkeeping;
    descend(20); // longer than PATH_MAX
    CHECK(shown("end") == ".../end");
    CHECK(bookkeeping == with_long_path - 993); // what is kept of the path is counted
    ascend(24);
    std::filesystem::current_path(start);
}

TEST_CASE("netlink: a pin whose process is gone is marked, and so is a context") {
    const mapping memory = mapping::anonymous(page);
    const auto context = [](std::uint32_t id) {
        return netlink_socket().get(LONGPIN_CMD_CONTEXT_GET, {{LONGPIN_A_CONTEXT_ID, id}}).only();
    };
    const raw_device device;
    gate pinned;
    const mapping numbers = mapping::shared_anonymous(page);
    auto* const handle = numbers.as<std::uint32_t>();
    child pinner([&] {
        *handle = device.must_pin(memory.data(), page);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    const pin_id id{context_of(device), *handle};
    CHECK_FALSE(get_pin(id).only().has(LONGPIN_A_PIN_ORPHANED));
    const auto pid = static_cast<std::uint32_t>(pinner.pid());
    pinner.kill();
    const netlink_attributes left = get_pin(id).only();
    CHECK(left.has(LONGPIN_A_PIN_ORPHANED));
    CHECK(left.u32(LONGPIN_A_PIN_PID) == pid); // still told
    CHECK_FALSE(context(id.context).has(LONGPIN_A_CONTEXT_ORPHANED));

    // A context that we have from a process that is gone.
    child opener([&] {
        const raw_device opened;
        handle[0] = static_cast<std::uint32_t>(opened.descriptor());
        handle[1] = context_of(opened);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    const raw_device heir(copy_descriptor(opener.pid(), static_cast<int>(handle[0])));
    const pin_id own{handle[1], heir.must_pin(memory.data(), page)};
    CHECK_FALSE(context(own.context).has(LONGPIN_A_CONTEXT_ORPHANED));
    opener.kill();
    CHECK(context(own.context).has(LONGPIN_A_CONTEXT_ORPHANED));
    CHECK_FALSE(get_pin(own).only().has(LONGPIN_A_PIN_ORPHANED));
}

TEST_CASE("netlink: a process that nobody has waited for yet is gone") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const child pinner([&] { device.must_pin(memory.data(), page); });
    REQUIRE(eventually([&] {
        return read_line("/proc/" + std::to_string(pinner.pid()) + "/stat").find(") Z ") !=
               std::string::npos;
    }));
    const netlink_answer listed = netlink_socket().dump(LONGPIN_CMD_PIN_GET);
    CHECK(listed.only().has(LONGPIN_A_PIN_ORPHANED));
}

TEST_CASE("netlink: neither the end of a thread nor exec makes an orphan") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::string name = read_line("/proc/self/comm");
    pin_id id;
    file opened;
    std::thread([&] {
        ::pthread_setname_np(::pthread_self(), "thread");
        id = pin_in(device, memory);
        opened = open_file("/dev/longpin", O_RDWR);
    }).join();
    ::pthread_setname_np(::pthread_self(), "later");
    const auto self = static_cast<std::uint32_t>(::getpid());
    const netlink_attributes pin = get_pin(id).only();
    CHECK_FALSE(pin.has(LONGPIN_A_PIN_ORPHANED));
    CHECK(pin.u32(LONGPIN_A_PIN_PID) == self);
    CHECK(pin.string(LONGPIN_A_PIN_COMM) == name); // of the process, then
    const raw_device of_thread(std::move(opened));
    const netlink_attributes context =
        netlink_socket()
            .get(LONGPIN_CMD_CONTEXT_GET, {{LONGPIN_A_CONTEXT_ID, context_of(of_thread)}})
            .only();
    CHECK_FALSE(context.has(LONGPIN_A_CONTEXT_ORPHANED));
    CHECK(context.u32(LONGPIN_A_CONTEXT_PID) == self);
    CHECK(context.string(LONGPIN_A_CONTEXT_COMM) == name);
    ::pthread_setname_np(::pthread_self(), name.c_str());

    // Not even the end of its first thread, while there are others.
    const mapping handle = mapping::shared_anonymous(page);
    {
        const child process([&] {
            *handle.as<std::uint32_t>() = device.must_pin(memory.data(), page);
            std::thread([] { ::pause(); }).detach();
            ::syscall(SYS_exit, 0);
        });
        REQUIRE(eventually([&] {
            return read_line("/proc/" + std::to_string(process.pid()) + "/stat").find(") Z ") !=
                   std::string::npos;
        }));
        CHECK_FALSE(
            get_pin({id.context, *handle.as<std::uint32_t>()}).only().has(LONGPIN_A_PIN_ORPHANED));
    }

    child pinner([&] {
        *handle.as<std::uint32_t>() = device.must_pin(memory.data(), page);
        ::execl("/usr/bin/busybox", "sleep", "60", nullptr);
    });
    REQUIRE(eventually(
        [&] { return read_line("/proc/" + std::to_string(pinner.pid()) + "/comm") == "busybox"; }));
    const netlink_attributes kept = get_pin({id.context, *handle.as<std::uint32_t>()}).only();
    CHECK_FALSE(kept.has(LONGPIN_A_PIN_ORPHANED));
    CHECK(kept.u32(LONGPIN_A_PIN_PID) == static_cast<std::uint32_t>(pinner.pid()));
    CHECK(kept.string(LONGPIN_A_PIN_COMM) == read_line("/proc/self/comm")); // then
}

TEST_CASE("netlink: a dump lists the pins that all filters match") {
    const raw_device one;
    const raw_device two;
    const mapping anonymous = mapping::anonymous(page);
    const mapping shared = mapping::shared_anonymous(page);
    const file data = temporary_file("/dev/shm", page);
    const mapping copy(page, PROT_READ | PROT_WRITE, MAP_PRIVATE, data.get());

    const pin_id first = pin_in(one, anonymous);
    const pin_id second = pin_in(one, shared);
    gate pinned;
    child other([&] {
        pin_in(one, copy);
        become_ordinary_user();
        pin_in(two, shared);
        pinned.open();
        ::pause();
    });
    pinned.pass();
    const pin_id others{first.context, second.handle + 1};
    const pin_id users{context_of(two), 1};

    const auto self = static_cast<std::uint32_t>(::getpid());
    const auto pid = static_cast<std::uint32_t>(other.pid());
    const struct {
        netlink_filters filters;
        ids expected;
    } rows[] = {
        {{}, {first, second, others, users}},
        {{{LONGPIN_A_PIN_CONTEXT, first.context}}, {first, second, others}},
        {{{LONGPIN_A_PIN_CONTEXT, users.context}}, {users}},
        {{{LONGPIN_A_PIN_CONTEXT, users.context + 1}}, {}},
        {{{LONGPIN_A_PIN_HANDLE, 1}}, {first, users}},
        {{{LONGPIN_A_PIN_HANDLE, 99}}, {}},
        {{{LONGPIN_A_PIN_HANDLE, ~0U}}, {}},
        {{{LONGPIN_A_PIN_CONTEXT, first.context}, {LONGPIN_A_PIN_HANDLE, 2}}, {second}},
        {{{LONGPIN_A_PIN_PID, self}}, {first, second}},
        {{{LONGPIN_A_PIN_PID, pid}}, {others, users}},
        {{{LONGPIN_A_PIN_PID, 1}}, {}},
        {{{LONGPIN_A_PIN_UID, 0}}, {first, second, others}},
        {{{LONGPIN_A_PIN_UID, ordinary_user}}, {users}},
        {{{LONGPIN_A_PIN_UID, 12345}}, {}},
        {{{LONGPIN_A_PIN_KINDS, LONGPIN_KIND_SHMEM}}, {second, users}},
        {{{LONGPIN_A_PIN_KINDS, LONGPIN_KIND_ANON | LONGPIN_KIND_PRIVATE}}, {first, others}},
        {{{LONGPIN_A_PIN_KINDS, LONGPIN_KIND_DEVDAX}}, {}},
        {{{LONGPIN_A_PIN_PID, pid}, {LONGPIN_A_PIN_UID, 0}}, {others}},
        {{{LONGPIN_A_PIN_PID, self}, {LONGPIN_A_PIN_UID, ordinary_user}}, {}},
        {{{LONGPIN_A_PIN_CONTEXT, first.context},
          {LONGPIN_A_PIN_HANDLE, 2},
          {LONGPIN_A_PIN_PID, self},
          {LONGPIN_A_PIN_UID, 0},
          {LONGPIN_A_PIN_KINDS, LONGPIN_KIND_SHMEM}},
         {second}},
    };
    for (const auto& row : rows) {
        std::string filters;
        for (const auto& [type, value] : row.filters) {
            filters += std::to_string(type) + '=' + std::to_string(value) + ' ';
        }
        INFO(filters);
        const netlink_answer answer = netlink_socket().dump(LONGPIN_CMD_PIN_GET, row.filters);
        CHECK(answer.err == 0);
        CHECK(ids_of(answer) == row.expected);
    }
}

TEST_CASE("netlink: a dump finds the few that match among very many") {
    const raw_device many;
    const raw_device behind;
    const mapping anonymous = mapping::anonymous(page);
    const mapping shared = mapping::shared_anonymous(page);
    const std::uint32_t context = context_of(many);
    ids expected;
    for (std::uint32_t i = 0; i < 3000; i++) {
        const bool rare = i % 1000 == 999;
        const std::uint32_t handle = many.must_pin((rare ? shared : anonymous).data(), page);
        if (rare) {
            expected.push_back({context, handle});
        }
    }
    expected.push_back(pin_in(behind, shared));
    const netlink_answer answer =
        netlink_socket().dump(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_KINDS, LONGPIN_KIND_SHMEM}});
    CHECK(answer.err == 0);
    CHECK(ids_of(answer) == expected);
    for (const netlink_message& message : answer.messages) {
        CHECK((message.flags & NLM_F_MULTI) != 0); // for those who go by it
    }
}

TEST_CASE("netlink: a request for one thing that can't be is refused, and the answer says why") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto [context, handle] = pin_in(device, memory);
    // NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): as a request is read
    const struct {
        std::uint8_t command;
        bool dump;
        netlink_filters attributes;
        int err;
        std::uint16_t attribute; ///< that the answer points at, or that is missing
    } rows[] = {
        {LONGPIN_CMD_CONTEXT_GET, false, {}, EINVAL, LONGPIN_A_CONTEXT_ID},
        {LONGPIN_CMD_CONTEXT_GET, false, {{LONGPIN_A_CONTEXT_ID, 0}}, ERANGE, LONGPIN_A_CONTEXT_ID},
        {LONGPIN_CMD_CONTEXT_GET,
         false,
         {{LONGPIN_A_CONTEXT_ID, context + 1}},
         ENOENT,
         LONGPIN_A_CONTEXT_ID},
        {LONGPIN_CMD_CONTEXT_GET,
         false,
         {{LONGPIN_A_CONTEXT_ID, ~0U}},
         ENOENT,
         LONGPIN_A_CONTEXT_ID},
        {LONGPIN_CMD_CONTEXT_GET,
         true,
         {{LONGPIN_A_CONTEXT_ID, context}},
         EINVAL,
         LONGPIN_A_CONTEXT_ID},

        {LONGPIN_CMD_PIN_GET, false, {}, EINVAL, LONGPIN_A_PIN_CONTEXT},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_CONTEXT, context}},
         EINVAL,
         LONGPIN_A_PIN_HANDLE},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_HANDLE, handle}},
         EINVAL,
         LONGPIN_A_PIN_CONTEXT},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_CONTEXT, 0}, {LONGPIN_A_PIN_HANDLE, handle}},
         ERANGE,
         LONGPIN_A_PIN_CONTEXT},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_CONTEXT, context}, {LONGPIN_A_PIN_HANDLE, 0}},
         ERANGE,
         LONGPIN_A_PIN_HANDLE},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_CONTEXT, context + 1}, {LONGPIN_A_PIN_HANDLE, handle}},
         ENOENT,
         LONGPIN_A_PIN_HANDLE},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_CONTEXT, context}, {LONGPIN_A_PIN_HANDLE, handle + 1}},
         ENOENT,
         LONGPIN_A_PIN_HANDLE},
        {LONGPIN_CMD_PIN_GET,
         false,
         {{LONGPIN_A_PIN_CONTEXT, ~0U}, {LONGPIN_A_PIN_HANDLE, ~0U}},
         ENOENT,
         LONGPIN_A_PIN_HANDLE},
        {LONGPIN_CMD_PIN_GET, true, {{LONGPIN_A_PIN_CONTEXT, 0}}, ERANGE, LONGPIN_A_PIN_CONTEXT},
        {LONGPIN_CMD_PIN_GET, true, {{LONGPIN_A_PIN_HANDLE, 0}}, ERANGE, LONGPIN_A_PIN_HANDLE},
        {LONGPIN_CMD_PIN_GET, true, {{LONGPIN_A_PIN_PID, 0}}, ERANGE, LONGPIN_A_PIN_PID},
        {LONGPIN_CMD_PIN_GET, true, {{LONGPIN_A_PIN_KINDS, 0}}, ERANGE, LONGPIN_A_PIN_KINDS},
        {LONGPIN_CMD_PIN_GET,
         true,
         {{LONGPIN_A_PIN_KINDS, LONGPIN_KIND_ANON | 1U << 31}},
         EINVAL,
         LONGPIN_A_PIN_KINDS},
        {LONGPIN_CMD_PIN_GET, true, {{LONGPIN_A_PIN_UID, ~0U}}, EINVAL, LONGPIN_A_PIN_UID},

        {LONGPIN_CMD_SUBSCRIBE, false, {{LONGPIN_A_PIN_PID, 0}}, ERANGE, LONGPIN_A_PIN_PID},
        {LONGPIN_CMD_SUBSCRIBE, false, {{LONGPIN_A_PIN_UID, ~0U}}, EINVAL, LONGPIN_A_PIN_UID},
    };
    for (const auto& row : rows) {
        INFO("command " << int{row.command} << (row.dump ? ", dump" : "") << ", errno " << row.err
                        << ", attribute " << row.attribute);
        netlink_socket socket;
        const netlink_answer answer = row.dump ? socket.dump(row.command, row.attributes)
                                               : socket.get(row.command, row.attributes);
        CHECK(answer.err == row.err);
        CHECK(answer.messages.empty());
        // The kernel itself refuses what a policy says, and that 0 is no kind is not in one.
        const bool by_policy = row.err == ERANGE && row.attribute != LONGPIN_A_PIN_KINDS;
        if (!row.dump || by_policy || dumps_say_why()) {
            CHECK_FALSE(answer.message.empty());
            CHECK((answer.attribute == row.attribute || answer.missing == row.attribute));
        }
    }
}

TEST_CASE("netlink: an attribute that a command doesn't take is refused") {
    const struct {
        std::uint8_t command;
        bool dump;
        std::set<int> taken;
        netlink_filters needed; ///< so that nothing else is wrong
    } rows[] = {
        {LONGPIN_CMD_CONTEXT_GET, false, {LONGPIN_A_CONTEXT_ID}, {{LONGPIN_A_CONTEXT_ID, 1}}},
        {LONGPIN_CMD_CONTEXT_GET, true, {}, {}},
        {LONGPIN_CMD_PIN_GET,
         false,
         {LONGPIN_A_PIN_CONTEXT, LONGPIN_A_PIN_HANDLE},
         {{LONGPIN_A_PIN_CONTEXT, 1}, {LONGPIN_A_PIN_HANDLE, 1}}},
        {LONGPIN_CMD_PIN_GET,
         true,
         {LONGPIN_A_PIN_CONTEXT, LONGPIN_A_PIN_HANDLE, LONGPIN_A_PIN_PID, LONGPIN_A_PIN_UID,
          LONGPIN_A_PIN_KINDS},
         {}},
        {LONGPIN_CMD_STATS_GET, false, {}, {}},
        {LONGPIN_CMD_SUBSCRIBE, false, {LONGPIN_A_PIN_PID, LONGPIN_A_PIN_UID}, {}},
        {LONGPIN_CMD_UNSUBSCRIBE, false, {}, {}},
    };
    // Numbers that there are, that may be given out one day, and the largest.
    std::vector<std::uint16_t> numbers(LONGPIN_A_PIN_MAX + 3);
    std::iota(numbers.begin(), numbers.end(), std::uint16_t{0});
    numbers.push_back(0x3fff);
    for (const auto& row : rows) {
        for (const std::uint16_t attribute : numbers) {
            if (row.taken.contains(attribute)) {
                continue;
            }
            INFO("command " << int{row.command} << (row.dump ? ", dump" : "") << ", attribute "
                            << attribute);
            netlink_filters attributes = row.needed;
            attributes.emplace_back(attribute, 1);
            netlink_socket socket;
            const netlink_answer answer = row.dump ? socket.dump(row.command, attributes)
                                                   : socket.get(row.command, attributes);
            CHECK(answer.err == EINVAL);
            // The kernel's own checks of a dump let the id of a context pass, as for getting one.
            const bool passes = row.command == LONGPIN_CMD_CONTEXT_GET && row.dump &&
                                attribute == LONGPIN_A_CONTEXT_ID;
            if (!passes || dumps_say_why()) {
                CHECK_FALSE(answer.message.empty());
                CHECK(answer.attribute == attribute);
            }
        }
    }
}

TEST_CASE("netlink: what can't be dumped, and no command, are refused") {
    netlink_socket socket;
    CHECK(socket.dump(LONGPIN_CMD_STATS_GET).err == EOPNOTSUPP);
    CHECK(socket.dump(LONGPIN_CMD_SUBSCRIBE).err == EOPNOTSUPP);
    for (const int command : {0, LONGPIN_CMD_PINNED_NTF, LONGPIN_CMD_UNPINNED_NTF,
                              LONGPIN_CMD_REFUSED_NTF, LONGPIN_CMD_MAX + 1, 255}) {
        INFO("command " << command);
        CHECK(socket.get(static_cast<std::uint8_t>(command)).err == EOPNOTSUPP);
        CHECK(socket.dump(static_cast<std::uint8_t>(command)).err == EOPNOTSUPP);
    }
}

TEST_CASE("netlink: the statistics count what happens") {
    struct numbers {
        std::uint64_t contexts, pins, pages, runs, bookkeeping, peak, made, taken, time, dry;
        std::map<std::uint32_t, std::uint64_t> refused;
    };
    const auto read = [] {
        const netlink_answer answer = netlink_socket().get(LONGPIN_CMD_STATS_GET);
        const netlink_attributes& stats = answer.only();
        numbers now{stats.u64(LONGPIN_A_STATS_CONTEXTS),
                    stats.u64(LONGPIN_A_STATS_PINS),
                    stats.u64(LONGPIN_A_STATS_PAGES),
                    stats.u64(LONGPIN_A_STATS_RUNS),
                    stats.u64(LONGPIN_A_STATS_BOOKKEEPING),
                    stats.u64(LONGPIN_A_STATS_PEAK_PAGES),
                    stats.u64(LONGPIN_A_STATS_PINS_MADE),
                    stats.u64(LONGPIN_A_STATS_PAGES_TAKEN),
                    stats.u64(LONGPIN_A_STATS_PINNING_TIME),
                    stats.u64(LONGPIN_A_STATS_DRY_RUNS),
                    {}};
        for (const auto& [type, refused] : stats.each()) {
            if (type == LONGPIN_A_STATS_REFUSED) {
                now.refused[refused.u32(LONGPIN_A_REFUSED_COUNT_REASON)] =
                    refused.u64(LONGPIN_A_REFUSED_COUNT_COUNT);
            }
        }
        return now;
    };

    const numbers before = read();
    CHECK(before.contexts == 0);
    CHECK(before.pins == 0);
    CHECK(before.pages == 0);
    CHECK(before.runs == 0);
    CHECK(before.bookkeeping == 0);

    raw_device device;
    const raw_device other;
    const mapping memory = mapping::anonymous(64 * page);
    longpin_pin first{};
    longpin_pin second{};
    const std::uint64_t start = boot_time();
    REQUIRE(device.pin(memory.data(), 64 * page, 0, first) == 0);
    REQUIRE(other.pin(memory.data(), 16 * page, 0, second) == 0);
    const std::uint64_t took = boot_time() - start;
    numbers now = read();
    CHECK(now.contexts == 2);
    CHECK(now.pins == 2);
    CHECK(now.pages == 80);
    CHECK(now.runs == first.out_runs + second.out_runs);
    CHECK(now.bookkeeping == first.out_bookkeeping + second.out_bookkeeping);
    CHECK(now.peak >= 80);
    CHECK(now.made == before.made + 2);
    CHECK(now.taken == before.taken + 80);
    CHECK(now.time >= before.time + took / 10); // most of it is faults
    CHECK(now.time <= before.time + took);
    CHECK(now.dry == before.dry);
    CHECK(now.refused == before.refused);

    // A dry run is counted by itself alone, whatever the answer.
    REQUIRE(device.pin(memory.data(), page, LONGPIN_PIN_DRY_RUN) == 0);
    REQUIRE(device.pin(nullptr, page, LONGPIN_PIN_DRY_RUN) == EFAULT);
    now = read();
    CHECK(now.dry == before.dry + 2);
    CHECK(now.made == before.made + 2);
    CHECK(now.pages == 80);
    CHECK(now.refused == before.refused);

    // Refusals are counted by their reason.
    auto refused = before.refused;
    for (int i = 0; i < 3; i++) {
        REQUIRE(device.pin(nullptr, page) == EFAULT);
        refused[LONGPIN_REASON_HOLE]++;
    }
    REQUIRE(device.pin(memory.data(), 0) == EINVAL);
    refused[LONGPIN_REASON_ZERO_LENGTH]++;
    const mapping request_memory = mapping::anonymous(page);
    auto* const unanswerable = request_memory.as<longpin_pin>();
    *unanswerable = request<longpin_pin>();
    unanswerable->addr = reinterpret_cast<std::uintptr_t>(memory.data());
    unanswerable->length = page;
    request_memory.protect(PROT_READ);
    REQUIRE(device.call(LONGPIN_PIN, unanswerable) == EFAULT);
    refused[LONGPIN_REASON_NONE]++;
    const std::string cap = "/sys/module/longpin/parameters/max_user_pages";
    const std::string uncapped = read_line(cap);
    REQUIRE(write_line(cap, "1") == 0);
    const int capped = as_ordinary_user([&] { return device.pin(memory.data(), 2 * page); });
    REQUIRE(write_line(cap, uncapped) == 0);
    REQUIRE(capped == ENOMEM);
    refused[LONGPIN_REASON_MAX_USER_PAGES]++; // the last of them
    REQUIRE(as_ordinary_user([&] {
                set_memlock_limit(0);
                return device.pin(memory.data(), page);
            }) == ENOMEM);
    refused[LONGPIN_REASON_MEMLOCK]++;
    now = read();
    CHECK(now.refused == refused);
    CHECK(now.made == before.made + 2);

    // What was made stays counted when it is gone, and so does the peak.
    const mapping large = mapping::anonymous(1024 * page);
    const std::uint32_t most = other.must_pin(large.data(), large.length());
    CHECK(read().peak >= 80 + 1024);
    REQUIRE(other.unpin(most) == 0);
    device.close();
    now = read();
    CHECK(now.contexts == 1);
    CHECK(now.pins == 1);
    CHECK(now.pages == 16);
    CHECK(now.runs == second.out_runs);
    CHECK(now.bookkeeping == second.out_bookkeeping);
    CHECK(now.peak >= 80 + 1024);
    CHECK(now.made == before.made + 3);
    CHECK(now.taken == before.taken + 80 + 1024);
}

TEST_CASE("netlink: the statistics are of all processors") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const auto read = [] {
        const netlink_attributes stats = netlink_socket().get(LONGPIN_CMD_STATS_GET).only();
        std::vector<std::uint64_t> numbers;
        for (const int number :
             {LONGPIN_A_STATS_PINS, LONGPIN_A_STATS_RUNS, LONGPIN_A_STATS_PINS_MADE,
              LONGPIN_A_STATS_PAGES_TAKEN, LONGPIN_A_STATS_DRY_RUNS}) {
            numbers.push_back(stats.u64(number));
        }
        for (const auto& [type, refused] : stats.each()) {
            if (type == LONGPIN_A_STATS_REFUSED &&
                refused.u32(LONGPIN_A_REFUSED_COUNT_REASON) == LONGPIN_REASON_HOLE) {
                numbers.push_back(refused.u64(LONGPIN_A_REFUSED_COUNT_COUNT));
            }
        }
        numbers.push_back(stats.u64(LONGPIN_A_STATS_BOOKKEEPING));
        numbers.push_back(stats.u64(LONGPIN_A_STATS_PINNING_TIME));
        return numbers;
    };
    const auto on_processor = [&](std::size_t number) {
        in_child([&] {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(number, &one);
            if (::sched_setaffinity(0, sizeof(one), &one) != 0) {
                throw std::runtime_error("sched_setaffinity");
            }
            device.must_pin(memory.data(), page);
            device.pin(memory.data(), page, LONGPIN_PIN_DRY_RUN);
            return device.pin(nullptr, page);
        });
    };
    on_processor(0); // so that there is a refusal
    const std::size_t processors = std::thread::hardware_concurrency();
    REQUIRE(processors > 1);
    const std::vector<std::uint64_t> before = read();
    for (std::size_t number = 0; number < processors; number++) {
        on_processor(number);
    }
    const std::vector<std::uint64_t> after = read();
    REQUIRE(after.size() == before.size());
    for (std::size_t i = 0; i + 2 < before.size(); i++) {
        CHECK(after[i] == before[i] + processors);
    }
    const std::uint64_t bookkeeping = before[before.size() - 2];
    CHECK(after[after.size() - 2] == bookkeeping + processors * bookkeeping);
    CHECK(after.back() > before.back());
}
