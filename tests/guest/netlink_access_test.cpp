// SPDX-License-Identifier: MIT
// Who may see what over netlink: an ordinary user its own, from whatever namespace, and nobody
// else's.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"
#include "support/shell.hpp"
#include "support/system_state.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <memory>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

using namespace guest;

namespace {

/// A pin or a context, as far as a test looks at it.
struct record {
    pin_id id; ///< of a context, the handle is 0
    std::uint32_t pid = 0;
    std::uint32_t uid = 0;

    auto operator<=>(const record&) const = default;
};

using records = std::vector<record>;

/// A listing that a child can hand over.
class listing {
public:
    listing() = default;

    listing(netlink_socket& socket, std::uint8_t command) {
        const netlink_answer answer = socket.dump(command);
        if (answer.err != 0) {
            throw std::system_error(answer.err, std::generic_category(), answer.message);
        }
        for (const auto& message : answer.messages) {
            const netlink_attributes& shown = message.attributes;
            records_.at(count_++) = command == LONGPIN_CMD_PIN_GET
                                        ? record{id_of(message), shown.u32(LONGPIN_A_PIN_PID),
                                                 shown.u32(LONGPIN_A_PIN_UID)}
                                        : record{{shown.u32(LONGPIN_A_CONTEXT_ID), 0},
                                                 shown.u32(LONGPIN_A_CONTEXT_PID),
                                                 shown.u32(LONGPIN_A_CONTEXT_UID)};
        }
    }

    static listing of_pins() {
        netlink_socket socket;
        return {socket, LONGPIN_CMD_PIN_GET};
    }

    static listing of_contexts() {
        netlink_socket socket;
        return {socket, LONGPIN_CMD_CONTEXT_GET};
    }

    [[nodiscard]] records all() const {
        return {records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(count_)};
    }

private:
    std::size_t count_ = 0;
    std::array<record, 16> records_{};
};

netlink_answer get_pin(pin_id id) {
    return netlink_socket().get(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, id.context},
                                                      {LONGPIN_A_PIN_HANDLE, id.handle}});
}

/// Root and the ordinary user each have a context with a pin in it, and the user has made another
/// one in root's context.
class two_users {
public:
    two_users()
        : memory_(mapping::anonymous(page)), ids_(mapping::shared_anonymous(page)), user_([this] {
              ::chmod("/dev/longpin", 0666);
              become_ordinary_user();
              const raw_device own;
              auto* const ids = ids_.as<pin_id>();
              ids[0] = {context_of(own), own.must_pin(memory_.data(), page)};
              ids[1] = {context_of(device), device.must_pin(memory_.data(), page)};
              ready_.open();
              ::pause();
          }) {
        ready_.pass();
        ::chmod("/dev/longpin", 0600);
        roots = {{context_of(device), device.must_pin(memory_.data(), page)},
                 static_cast<std::uint32_t>(::getpid()),
                 0};
        const auto pid = static_cast<std::uint32_t>(user_.pid());
        users = {ids_.as<pin_id>()[0], pid, ordinary_user};
        users_in_roots = {ids_.as<pin_id>()[1], pid, ordinary_user};
    }

    [[nodiscard]] const mapping& memory() const { return memory_; }

    raw_device device; ///< root's
    record roots, users, users_in_roots;

private:
    mapping memory_, ids_;
    gate ready_;
    child user_;
};

record context_with(const record& pin) {
    return {{pin.id.context, 0}, pin.pid, pin.uid};
}

/// Makes the process root of a user namespace that has its user alone, or nobody.
void enter_user_namespace(int other_namespaces, bool map_user = true) {
    const auto must_write = [](const char* path, const std::string& line) {
        if (const int err = write_line(path, line)) {
            throw std::system_error(err, std::generic_category(), path);
        }
    };
    const std::string user = std::to_string(::getuid());
    if (::unshare(CLONE_NEWUSER | other_namespaces) != 0) {
        throw std::system_error(errno, std::generic_category(), "unshare");
    }
    if (map_user) {
        must_write("/proc/self/uid_map", "0 " + user + " 1");
    }
}

/// Gives up all capabilities, and stays root by name.
void drop_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2]{};
    if (::syscall(SYS_capset, &header, none) != 0) {
        throw std::system_error(errno, std::generic_category(), "capset");
    }
}

/// The handles in the events that wait in a socket, in their order; 0 where none is left.
std::array<std::uint32_t, 4> heard(netlink_socket& socket) {
    std::array<std::uint32_t, 4> handles{};
    for (std::uint32_t& handle : handles) {
        const auto event = socket.event(0);
        handle = event ? event->attributes.u32(LONGPIN_A_PIN_HANDLE) : 0;
    }
    return handles;
}

using handles = std::array<std::uint32_t, 4>;

} // namespace

TEST_CASE("netlink access: root sees the contexts and pins of all users") {
    const two_users both;
    CHECK(listing::of_pins().all() == records{both.users_in_roots, both.roots, both.users});
    CHECK(listing::of_contexts().all() ==
          records{context_with(both.roots), context_with(both.users)});
    CHECK(get_pin(both.users.id).err == 0);
}

TEST_CASE("netlink access: an ordinary user sees its own contexts and pins alone") {
    const two_users both;
    CHECK(as_ordinary_user(listing::of_pins).all() == records{both.users_in_roots, both.users});
    CHECK(as_ordinary_user(listing::of_contexts).all() == records{context_with(both.users)});
    const int own = as_ordinary_user([&] { return get_pin(both.users_in_roots.id).err; });
    CHECK(own == 0);
}

TEST_CASE("netlink access: what an ordinary user may not see is as if it weren't there") {
    const two_users both;
    const auto [pin, context] = as_ordinary_user([&] {
        struct {
            bool pin, context;
        } same{};
        const auto alike = [](const netlink_answer& one, const netlink_answer& other) {
            return one.err == ENOENT && other.err == ENOENT && one.messages.empty() &&
                   one.message == other.message && one.attribute == other.attribute;
        };
        same.pin = alike(get_pin(both.roots.id), get_pin({both.roots.id.context, 99}));
        const auto get_context = [](std::uint32_t id) {
            return netlink_socket().get(LONGPIN_CMD_CONTEXT_GET, {{LONGPIN_A_CONTEXT_ID, id}});
        };
        same.context = alike(get_context(both.roots.id.context), get_context(9999));
        return same;
    });
    CHECK(pin);
    CHECK(context);
}

TEST_CASE("netlink access: the statistics are for the initial namespaces, and the privileged") {
    const two_users both;
    struct outcome {
        int err;
        bool explained;
        std::uint64_t pins;
    };
    const auto ask = [] {
        const netlink_answer answer = netlink_socket().get(LONGPIN_CMD_STATS_GET);
        return outcome{answer.err, !answer.message.empty(),
                       answer.err == 0 ? answer.only().u64(LONGPIN_A_STATS_PINS) : 0};
    };
    CHECK(as_ordinary_user(ask).pins == 3);
    const outcome of_root = in_child([&] { // as that of a container with all privileges
        must(::unshare(CLONE_NEWPID) == 0, "unshare");
        return in_child(ask);
    });
    CHECK(of_root.pins == 3);
    const outcome in_user_namespace = as_ordinary_user([&] {
        enter_user_namespace(0);
        return ask();
    });
    CHECK(in_user_namespace.err == EPERM);
    CHECK(in_user_namespace.explained);
    const outcome in_pid_namespace = in_child([&] {
        must(::unshare(CLONE_NEWPID) == 0, "unshare");
        return in_child([&] {
            become_ordinary_user();
            return ask();
        });
    });
    CHECK(in_pid_namespace.err == EPERM);
}

TEST_CASE("netlink access: root without capabilities sees what is root's alone") {
    const two_users both;
    netlink_socket before;
    const auto [fresh, old] = in_child([&] {
        struct {
            listing fresh, old;
        } got{};
        drop_capabilities();
        got.fresh = listing::of_pins();
        got.old = listing(before, LONGPIN_CMD_PIN_GET);
        return got;
    });
    CHECK(fresh.all() == records{both.roots});
    CHECK(old.all() == records{both.roots});
}

TEST_CASE("netlink access: a socket that another user opened shows nothing") {
    const two_users both;
    // Nor what is nobody's but the privileged's to see, as what a set-uid program does.
    in_child([&] {
        if (::setresuid(ordinary_user, 0, 0) != 0) {
            throw std::runtime_error("setresuid");
        }
        return both.device.must_pin(both.memory().data(), page);
    });
    netlink_socket of_root;
    CHECK(as_ordinary_user([&] { return listing(of_root, LONGPIN_CMD_PIN_GET); }).all().empty());
    CHECK(
        as_ordinary_user([&] { return listing(of_root, LONGPIN_CMD_CONTEXT_GET); }).all().empty());

    // Not even to root, whom a user may have tricked into asking.
    const mapping number = mapping::shared_anonymous(page);
    gate opened;
    const child user([&] {
        become_ordinary_user();
        const netlink_socket socket;
        *number.as<int>() = socket.descriptor();
        opened.open();
        ::pause();
    });
    opened.pass();
    netlink_socket of_user(copy_descriptor(user.pid(), *number.as<int>()));
    CHECK(listing(of_user, LONGPIN_CMD_PIN_GET).all().empty());
    CHECK(listing(of_user, LONGPIN_CMD_CONTEXT_GET).all().empty());

    // Nor does it hear anything.
    REQUIRE(of_user.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    const int subscribed = as_ordinary_user([&] { return of_root.get(LONGPIN_CMD_SUBSCRIBE).err; });
    REQUIRE(subscribed == 0);
    both.device.must_pin(both.memory().data(), page);
    as_ordinary_user([&] { return both.device.must_pin(both.memory().data(), page); });
    CHECK_FALSE(of_user.event(100));
    CHECK_FALSE(of_root.event(100));
}

TEST_CASE("netlink access: an ordinary user hears its own events alone") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    gate subscribed;
    gate pinned;
    const mapping result = mapping::shared_anonymous(page);
    struct outcome {
        std::uint32_t own;
        handles events, filtered;
    };
    child user([&] {
        become_ordinary_user();
        outcome& got = *result.as<outcome>();
        netlink_socket events;
        netlink_socket filtered;
        events.get(LONGPIN_CMD_SUBSCRIBE);
        filtered.get(LONGPIN_CMD_SUBSCRIBE, {{LONGPIN_A_PIN_UID, 0}}); // root's: asked for in vain
        subscribed.open();
        pinned.pass();
        got.own = device.must_pin(memory.data(), page);
        got.events = heard(events);
        got.filtered = heard(filtered);
    });
    subscribed.pass();
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    CHECK(device.pin(nullptr, page) == EFAULT);
    CHECK(device.unpin(handle) == 0);
    pinned.open();
    REQUIRE(user.wait());
    const outcome& got = *result.as<outcome>();
    CHECK(got.events == handles{got.own});
    CHECK(got.filtered == handles{});
}

TEST_CASE("netlink access: an ordinary user may have 64 subscriptions") {
    struct outcome {
        int made, err;
        bool explained;
        int other_process, after_close;
    };
    const outcome got = as_ordinary_user([] {
        outcome result{};
        std::vector<netlink_socket> sockets(64);
        for (netlink_socket& socket : sockets) {
            result.made += static_cast<int>(socket.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
        }
        const auto subscribe = [] { return netlink_socket().get(LONGPIN_CMD_SUBSCRIBE); };
        const netlink_answer refused = subscribe();
        result.err = refused.err;
        result.explained = !refused.message.empty();
        result.other_process = in_child([&] { return subscribe().err; });
        sockets.back().close();
        result.after_close = subscribe().err;
        return result;
    });
    CHECK(got.made == 64);
    CHECK(got.err == EDQUOT);
    CHECK(got.explained);
    CHECK(got.other_process == EDQUOT);
    CHECK(got.after_close == 0);

    // Who sees all may have more; and those of a process that is gone don't count.
    std::vector<netlink_socket> sockets(65);
    for (netlink_socket& socket : sockets) {
        CHECK(socket.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    }
    const int err =
        as_ordinary_user([] { return netlink_socket().get(LONGPIN_CMD_SUBSCRIBE).err; });
    CHECK(err == 0);
}

TEST_CASE("netlink access: all users of a user namespace together have the limit of who made it") {
    struct outcome {
        int made, err, other_namespace, outside;
    };
    gate entered;
    gate mapped;
    const mapping result = mapping::shared_anonymous(page);
    outcome& got = *result.as<outcome>();
    const auto subscribe_as = [](uid_t user, std::vector<netlink_socket>& sockets, int count) {
        int err = 0;
        must(::setresuid(user, user, user) == 0, "setresuid");
        must(::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl"); // it goes with who made it
        for (int i = 0; i < count && err == 0; i++) {
            err = sockets.emplace_back().get(LONGPIN_CMD_SUBSCRIBE).err;
        }
        return err;
    };
    // It has a hundred users, each of whom subscribes ten times.
    const auto in_namespace = [&] {
        if (::unshare(CLONE_NEWUSER) != 0) {
            throw std::runtime_error("unshare");
        }
        entered.open();
        mapped.pass();
    };
    gate subscribed;
    child first([&] {
        become_ordinary_user();
        in_namespace();
        std::vector<std::unique_ptr<child>> users;
        const mapping errs = mapping::shared_anonymous(page);
        gate done;
        for (uid_t user = 0; user < 10; user++) {
            users.push_back(std::make_unique<child>([&, user] {
                std::vector<netlink_socket> sockets;
                errs.as<int>()[user] = subscribe_as(user, sockets, 10);
                errs.as<int>()[100] +=
                    static_cast<int>(sockets.size()) - static_cast<int>(errs.as<int>()[user] != 0);
                done.open();
                ::pause();
            }));
            done.pass();
        }
        got.made = errs.as<int>()[100];
        got.err = errs.as<int>()[9];
        subscribed.open();
        ::pause();
    });
    entered.pass();
    const auto map_users = [&](const child& process) {
        const std::string path = "/proc/" + std::to_string(process.pid()) + "/uid_map";
        REQUIRE(write_line(path, "0 100000 100") == 0);
        mapped.open();
    };
    map_users(first);
    subscribed.pass();
    child second([&] { // another namespace of the same user
        become_ordinary_user();
        in_namespace();
        std::vector<netlink_socket> sockets;
        got.other_namespace = subscribe_as(50, sockets, 1);
        subscribed.open();
    });
    entered.pass();
    map_users(second);
    subscribed.pass();
    CHECK(got.made == 64);
    CHECK(got.err == EDQUOT);
    CHECK(got.other_namespace == EDQUOT);
    got.outside = in_child([&] {
        std::vector<netlink_socket> sockets;
        return subscribe_as(ordinary_user + 1, sockets, 1);
    });
    CHECK(got.outside == 0);
}

TEST_CASE("netlink access: in a user and network namespace of its own a user sees its own") {
    const two_users both;
    struct outcome {
        listing pins, contexts;
        int of_root = 0, unknown_uid = 0;
        std::size_t with_uid_0 = 0;
        std::uint32_t own = 0;
        handles events{};
    };
    const mapping result = mapping::shared_anonymous(sizeof(outcome));
    gate subscribed;
    gate pinned;
    child user([&] {
        become_ordinary_user();
        enter_user_namespace(CLONE_NEWNET); // with all capabilities in it
        outcome& got = *result.as<outcome>();
        got.pins = listing::of_pins();
        got.contexts = listing::of_contexts();
        got.of_root = get_pin(both.roots.id).err;
        // Uids are those of the namespace, where the user is 0 and root is nobody.
        const auto list_uid = [](std::uint32_t uid) {
            return netlink_socket().dump(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_UID, uid}});
        };
        got.with_uid_0 = list_uid(0).messages.size();
        got.unknown_uid = list_uid(ordinary_user).err;
        netlink_socket events;
        events.get(LONGPIN_CMD_SUBSCRIBE);
        subscribed.open();
        pinned.pass();
        got.own = both.device.must_pin(both.memory().data(), page);
        got.events = heard(events);
    });
    subscribed.pass();
    both.device.must_pin(both.memory().data(), page);
    pinned.open();
    REQUIRE(user.wait());
    const outcome& got = *result.as<outcome>();
    const auto as_root_there = [](record shown) {
        shown.uid = 0;
        return shown;
    };
    CHECK(got.pins.all() == records{as_root_there(both.users_in_roots), as_root_there(both.users)});
    CHECK(got.contexts.all() == records{as_root_there(context_with(both.users))});
    CHECK(got.of_root == ENOENT);
    CHECK(got.with_uid_0 == 2);
    CHECK(got.unknown_uid == EINVAL);
    CHECK(got.events == handles{got.own});
}

TEST_CASE("netlink access: root in a network namespace of its own sees all") {
    const two_users both;
    const listing pins = in_child([] {
        if (::unshare(CLONE_NEWNET) != 0) {
            throw std::runtime_error("unshare");
        }
        return listing::of_pins();
    });
    CHECK(pins.all() == records{both.users_in_roots, both.roots, both.users});
}

TEST_CASE("netlink access: events don't depend on network namespaces") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    gate subscribed;
    gate pinned;
    const mapping result = mapping::shared_anonymous(page);
    child listener([&] {
        if (::unshare(CLONE_NEWNET) != 0) {
            throw std::runtime_error("unshare");
        }
        netlink_socket events;
        events.get(LONGPIN_CMD_SUBSCRIBE);
        subscribed.open();
        pinned.pass();
        *result.as<handles>() = heard(events);
    });
    subscribed.pass();
    const std::uint32_t outside = device.must_pin(memory.data(), page);
    const std::uint32_t elsewhere = in_child([&] {
        if (::unshare(CLONE_NEWNET) != 0) {
            throw std::runtime_error("unshare");
        }
        return device.must_pin(memory.data(), page);
    });
    pinned.open();
    REQUIRE(listener.wait());
    CHECK(*result.as<handles>() == handles{outside, elsewhere});
}

TEST_CASE("netlink access: a uid that the reader's namespace doesn't have is the overflow uid") {
    const two_users both;
    const listing pins = as_ordinary_user([] {
        enter_user_namespace(0, false);
        return listing::of_pins();
    });
    REQUIRE(pins.all().size() == 2);
    CHECK(pins.all()[0].uid == 65534);
    CHECK(pins.all()[0].id == both.users_in_roots.id);
}

TEST_CASE("netlink access: pids are those of the reader's pid namespace, 0 for who isn't in it") {
    const two_users both;
    struct outcome {
        pin_id id;
        pid_t outer = 0, inner = 0;
        listing pins;
        std::uint32_t with_pid_1 = 0, heard_pid = 0, heard_own = 0;
    };
    const mapping result = mapping::shared_anonymous(sizeof(outcome));
    outcome& got = *result.as<outcome>();
    gate subscribed;
    gate pinned;
    child outer([&] {
        if (::unshare(CLONE_NEWPID) != 0) { // for the children
            throw std::runtime_error("unshare");
        }
        child inner([&] {
            got.inner = ::getpid();
            got.id = {context_of(both.device), both.device.must_pin(both.memory().data(), page)};
            got.pins = listing::of_pins();
            got.with_pid_1 = netlink_socket()
                                 .dump(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_PID, 1}})
                                 .only()
                                 .u32(LONGPIN_A_PIN_HANDLE);
            netlink_socket events;
            events.get(LONGPIN_CMD_SUBSCRIBE);
            subscribed.open();
            pinned.pass();
            both.device.must_pin(both.memory().data(), page);
            got.heard_pid = events.event().value().attributes.u32(LONGPIN_A_PIN_PID);
            got.heard_own = events.event().value().attributes.u32(LONGPIN_A_PIN_PID);
        });
        got.outer = inner.pid();
        inner.wait();
    });
    subscribed.pass();
    both.device.must_pin(both.memory().data(), page);
    const std::uint32_t told_outside = get_pin(got.id).only().u32(LONGPIN_A_PIN_PID);
    pinned.open();
    REQUIRE(outer.wait()); // before that, outer may not have got to say which pid its child has

    CHECK(got.inner == 1);
    CHECK(got.outer > 1);
    CHECK(told_outside == static_cast<std::uint32_t>(got.outer));
    const auto without_pid = [](record shown) {
        shown.pid = 0;
        return shown;
    };
    CHECK(got.pins.all() == records{without_pid(both.users_in_roots), without_pid(both.roots),
                                    record{got.id, 1, 0}, without_pid(both.users)});
    CHECK(got.with_pid_1 == got.id.handle);
    CHECK(got.heard_pid == 0);
    CHECK(got.heard_own == 1);
}

TEST_CASE("netlink access: an ordinary user doesn't see what is outside of its pid namespace") {
    const two_users both;
    struct outcome {
        pin_id id;
        listing pins, contexts;
        int outer = 0;
        std::uint32_t own = 0;
        handles events{};
    };
    const mapping result = mapping::shared_anonymous(sizeof(outcome));
    outcome& got = *result.as<outcome>();
    gate subscribed;
    gate pinned;
    child user([&] {
        become_ordinary_user();
        enter_user_namespace(CLONE_NEWPID);
        child inner([&] {
            got.id = {context_of(both.device), both.device.must_pin(both.memory().data(), page)};
            got.pins = listing::of_pins();
            got.contexts = listing::of_contexts();
            got.outer = get_pin(both.users.id).err;
            netlink_socket events;
            events.get(LONGPIN_CMD_SUBSCRIBE);
            subscribed.open();
            pinned.pass();
            got.own = both.device.must_pin(both.memory().data(), page);
            got.events = heard(events);
        });
        inner.wait();
    });
    subscribed.pass();
    as_ordinary_user([&] { return both.device.must_pin(both.memory().data(), page); });
    pinned.open();
    REQUIRE(user.wait());
    CHECK(got.pins.all() == records{record{got.id, 1, 0}});
    CHECK(got.contexts.all().empty());
    CHECK(got.outer == ENOENT);
    CHECK(got.events == handles{got.own});
}

TEST_CASE("netlink access: namespaces are not kept by who asked from them") {
    // There may be but few at once, so a few that are kept are too many.
    static constexpr const char* limits[] = {"/proc/sys/user/max_user_namespaces",
                                             "/proc/sys/user/max_pid_namespaces"};
    std::vector<std::string> before;
    for (const char* const limit : limits) {
        before.push_back(read_line(limit));
        REQUIRE(write_line(limit, "10") == 0);
    }
    const mapping memory = mapping::anonymous(page);
    int rounds = 0;
    for (bool entered = true; entered && rounds < 40; rounds++) {
        child outer([&] {
            // Those that are gone are freed a moment later.
            if (!eventually([] { return ::unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0; })) {
                throw std::runtime_error("unshare");
            }
            child inner([&] {
                const raw_device own(file(::open("/dev/longpin", O_RDWR | O_CLOEXEC)));
                const pin_id id{context_of(own), own.must_pin(memory.data(), page)};
                own.pin(nullptr, page); // refused, and told of
                get_pin(id);
                listing::of_pins();
                listing::of_contexts();
                netlink_socket().get(LONGPIN_CMD_CONTEXT_GET, {{LONGPIN_A_CONTEXT_ID, id.context}});
                netlink_socket().send(longpin_request(LONGPIN_CMD_PIN_GET, NLM_F_DUMP).bytes());
                // Here nobody has a uid.
                const netlink_filters no_such{{LONGPIN_A_PIN_UID, 0}};
                netlink_socket().dump(LONGPIN_CMD_PIN_GET, no_such);
                netlink_socket events;
                events.get(LONGPIN_CMD_SUBSCRIBE, no_such);
                events.get(LONGPIN_CMD_SUBSCRIBE);
                events.get(LONGPIN_CMD_SUBSCRIBE);
            });
            if (!inner.wait()) {
                throw std::runtime_error("the inner child");
            }
        });
        entered = outer.wait();
    }
    for (std::size_t i = 0; i < before.size(); i++) {
        CHECK(write_line(limits[i], before[i]) == 0);
    }
    CHECK(rounds == 40);
}

TEST_CASE("netlink access: what a set-uid program does is not for the user who runs it") {
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const uid_t kept[][2] = {{0, 0}, {0, ordinary_user}, {ordinary_user, 0}}; // effective and saved
    for (const auto& [effective, saved] : kept) {
        const std::uint32_t handle = in_child([&, effective = effective, saved = saved] {
            if (::setresuid(ordinary_user, effective, saved) != 0) {
                throw std::runtime_error("setresuid");
            }
            return device.must_pin(memory.data(), page);
        });
        const netlink_answer to_root = get_pin({context_of(device), handle});
        CHECK(to_root.only().u32(LONGPIN_A_PIN_UID) == ordinary_user);
    }
    CHECK(as_ordinary_user(listing::of_pins).all().empty());
}

TEST_CASE("netlink access: a user sees of its processes what /proc/PID/maps shows, and no more") {
    constexpr gid_t other = 50;
    const mapping memory = mapping::anonymous(page);
    const struct {
        const char* is;
        gid_t real, effective, saved;
        int dumpable; ///< once it has pinned
        bool seen;
    } rows[] = {
        {"like any other", ordinary_user, ordinary_user, ordinary_user, 1, true},
        {"of another group", other, other, other, 1, false},
        {"set-gid", ordinary_user, other, other, 1, false},
        {"set-gid, and may go back to it", ordinary_user, ordinary_user, other, 1, false},
        {"not dumpable", ordinary_user, ordinary_user, ordinary_user, 0, false},
    };
    struct outcome {
        bool maps;
        std::size_t pins, contexts, heard;
        int get;
    };
    REQUIRE(::chmod("/dev/longpin", 0666) == 0);
    for (const auto& row : rows) {
        INFO(row.is);
        const mapping number = mapping::shared_anonymous(page);
        gate ready;
        gate go;
        gate made;
        child process([&] {
            must(::setgroups(0, nullptr) == 0, "setgroups");
            must(::setresgid(row.real, row.effective, row.saved) == 0, "setresgid");
            must(::setresuid(ordinary_user, ordinary_user, ordinary_user) == 0, "setresuid");
            must(::prctl(PR_SET_DUMPABLE, 1) == 0, "prctl");
            const raw_device own;
            *number.as<pin_id>() = {context_of(own), own.must_pin(memory.data(), page)};
            must(::prctl(PR_SET_DUMPABLE, row.dumpable) == 0, "prctl");
            ready.open();
            go.pass();
            own.must_pin(memory.data(), page);
            made.open();
            ::pause();
        });
        ready.pass();
        const pin_id id = *number.as<pin_id>();
        const outcome got = as_ordinary_user([&] {
            netlink_socket events;
            must(events.get(LONGPIN_CMD_SUBSCRIBE).err == 0, "subscribe");
            outcome result{};
            const file maps(::open(("/proc/" + std::to_string(process.pid()) + "/maps").c_str(),
                                   O_RDONLY | O_CLOEXEC));
            result.maps = maps.get() >= 0;
            result.pins = listing::of_pins().all().size();
            result.contexts = listing::of_contexts().all().size();
            result.get = get_pin(id).err;
            go.open();
            made.pass();
            result.heard = events.event(0) ? 1 : 0;
            return result;
        });
        CHECK(got.maps == row.seen);
        CHECK(got.pins == (row.seen ? 1 : 0));
        CHECK(got.contexts == (row.seen ? 1 : 0));
        CHECK(got.heard == (row.seen ? 1 : 0));
        CHECK(got.get == (row.seen ? 0 : ENOENT));
    }
    CHECK(::chmod("/dev/longpin", 0600) == 0);
}

TEST_CASE("netlink access: whether a process is dumpable counts as it is when somebody looks") {
    const raw_device device; // outlives the process
    const mapping memory = mapping::anonymous(page);
    gate go;
    gate done;
    child process([&] {
        become_ordinary_user();
        device.must_pin(memory.data(), page);
        for (const int dumpable : {1, 0, 1, 0}) {
            must(::prctl(PR_SET_DUMPABLE, dumpable) == 0, "prctl");
            done.open();
            go.pass();
        }
    });
    const auto seen = [] { return as_ordinary_user(listing::of_pins).all().size(); };
    for (const std::size_t expected : {1U, 0U, 1U, 0U}) {
        done.pass();
        CHECK(seen() == expected);
        go.open();
    }
    REQUIRE(process.wait());
    CHECK(seen() == 0); // as it was last
    CHECK(listing::of_pins().all().size() == 1);
}

TEST_CASE("netlink access: what a set-gid program does is not for the user who runs it") {
    const std::string program = "/tmp/set-gid-pinpin";
    REQUIRE(::chmod("/dev/longpin", 0666) == 0);
    REQUIRE(shell("cp \"$(command -v pinpin)\" " + program + " && chgrp 50 " + program).code == 0);
    for (const mode_t mode : {0755U, 02755U}) {
        REQUIRE(::chmod(program.c_str(), mode) == 0);
        child process([&] {
            become_ordinary_user();
            const file nothing = open_file("/dev/null", O_WRONLY);
            must(::dup2(nothing.get(), STDOUT_FILENO) >= 0, "dup2");
            ::execl(program.c_str(), "pinpin", "hold", "--anon", "4K", nullptr);
            throw std::runtime_error("execl");
        });
        REQUIRE(eventually([] { return listing::of_pins().all().size() == 1; }));
        const std::size_t seen = as_ordinary_user(listing::of_pins).all().size();
        CHECK(seen == (mode == 0755U ? 1 : 0));
    }
    CHECK(::unlink(program.c_str()) == 0);
    CHECK(::chmod("/dev/longpin", 0600) == 0);
}
