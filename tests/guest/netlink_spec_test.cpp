// SPDX-License-Identifier: MIT
// The running netlink family is the one that the spec describes. That the headers are, too, is a
// unit test.
#include "support/child.hpp"
#include "support/mapping.hpp"
#include "support/netlink.hpp"

#include "../support/netlink_spec.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <map>

using namespace guest;

namespace {

using names = std::set<std::string>;

const netlink_spec::family& spec() {
    static const netlink_spec::family loaded = netlink_spec::load("/longpin/longpin.yaml");
    return loaded;
}

const netlink_spec::operation& operation(std::uint8_t command) {
    for (const auto& each : spec().operations) {
        if (each.number == command) {
            return each;
        }
    }
    throw std::runtime_error("the spec has no command " + std::to_string(command));
}

names named(const std::vector<std::string>& list) {
    return {list.begin(), list.end()};
}

names without(names all, const names& left_out) {
    std::erase_if(all, [&](const std::string& name) { return left_out.contains(name); });
    return all;
}

/// The names of the attributes, each of which has to be as the set says.
names described(const netlink_attributes& attributes, const netlink_spec::attribute_set& set) {
    names found;
    for (const auto& [number, content] : attributes.each()) {
        const auto attribute =
            std::ranges::find(set.attributes, number, &netlink_spec::attribute::number);
        INFO(set.name << " has number " << number);
        REQUIRE(attribute != set.attributes.end());
        if (attribute->type == "pad") {
            continue;
        }
        INFO(attribute->name << " is a " << attribute->type);
        if (attribute->type == "u32") {
            CHECK_NOTHROW(attributes.u32(number));
        } else if (attribute->type == "u64") {
            CHECK_NOTHROW(attributes.u64(number));
        } else if (attribute->type == "binary") { // as all that are have a 0 at the end
            CHECK_FALSE(attributes.string(number).empty());
        } else if (attribute->type == "flag") {
            CHECK(content.each().empty());
        } else {
            REQUIRE(attribute->type == "nest");
            CHECK_FALSE(described(content, spec().set(attribute->nested)).empty());
        }
        found.insert(attribute->name);
    }
    return found;
}

names described(const netlink_message& message) {
    CHECK(message.type == longpin_family());
    CHECK(message.version == spec().version);
    return described(message.attributes, spec().set(operation(message.command).set));
}

/// A context with a pin of a file whose process is gone. The context is this process's own.
struct orphan {
    raw_device device;
    pin_id id;

    orphan() {
        const file data = temporary_file("/dev/shm", page);
        id = {context_of(device), in_child([&] {
                  const mapping memory(page, PROT_READ, MAP_SHARED, data.get());
                  return device.must_pin(memory.data(), page);
              })};
    }
};

} // namespace

TEST_CASE("netlink spec: the controller shows the family and its commands") {
    const netlink_answer answer = find_family(spec().name);
    const netlink_attributes& family = answer.only();
    CHECK(family.string(CTRL_ATTR_FAMILY_NAME) == spec().name);
    CHECK(family.u32(CTRL_ATTR_VERSION) == spec().version);
    CHECK(family.u32(CTRL_ATTR_HDRSIZE) == 0);

    // Nobody needs a capability to ask: what is shown depends on it.
    std::map<std::uint32_t, std::uint32_t> expected;
    for (const auto& each : spec().operations) {
        if (!each.event) {
            expected[each.number] =
                (each.single ? GENL_CMD_CAP_DO : 0U) | (each.dump ? GENL_CMD_CAP_DUMP : 0U);
        }
    }
    std::map<std::uint32_t, std::uint32_t> found;
    for (const auto& [index, each] : family.nest(CTRL_ATTR_OPS).each()) {
        constexpr std::uint32_t has_policy = GENL_CMD_CAP_HASPOL;
        found[each.u32(CTRL_ATTR_OP_ID)] = each.u32(CTRL_ATTR_OP_FLAGS) & ~has_policy;
    }
    CHECK(found == expected);

    // Events go to those who subscribed.
    CHECK_FALSE(family.has(CTRL_ATTR_MCAST_GROUPS));
}

TEST_CASE("netlink spec: the kernel checks requests for what the spec says, and nothing else") {
    netlink_socket socket;
    const netlink_answer answer =
        socket.ask(netlink_request(GENL_ID_CTRL, CTRL_CMD_GETPOLICY, NLM_F_DUMP)
                       .add(CTRL_ATTR_FAMILY_NAME, spec().name));
    REQUIRE(answer.err == 0);
    std::map<int, std::map<int, netlink_attributes>> policies; // by index and attribute
    std::map<int, std::set<std::uint32_t>> used;               // indices, by command
    for (const netlink_message& message : answer.messages) {
        if (message.attributes.has(CTRL_ATTR_POLICY)) {
            for (const auto& [index, policy] : message.attributes.nest(CTRL_ATTR_POLICY).each()) {
                for (const auto& [attribute, rule] : policy.each()) {
                    policies[index][attribute] = rule;
                }
            }
        }
        if (message.attributes.has(CTRL_ATTR_OP_POLICY)) {
            const auto operations = message.attributes.nest(CTRL_ATTR_OP_POLICY);
            for (const auto& [command, indices] : operations.each()) {
                for (const auto& [sort, index] : indices.each()) {
                    used[command].insert(indices.u32(sort));
                }
            }
        }
    }

    for (const auto& each : spec().operations) {
        INFO(each.name);
        if (each.event) {
            CHECK_FALSE(used.contains(each.number));
            continue;
        }
        if (!each.request().empty()) {
            CHECK_FALSE(used[each.number].empty());
        }
        for (const std::uint32_t index : used[each.number]) {
            names allowed;
            for (const auto& [number, rule] : policies[static_cast<int>(index)]) {
                const auto& attributes = spec().set(each.set).attributes;
                const auto attribute =
                    std::ranges::find(attributes, number, &netlink_spec::attribute::number);
                INFO("attribute " << number);
                REQUIRE(attribute != attributes.end());
                REQUIRE(attribute->type == "u32"); // so are all that requests have
                CHECK(rule.u32(NL_POLICY_TYPE_ATTR_TYPE) == NL_ATTR_TYPE_U32);
                if (attribute->mask != 0) {
                    CHECK(rule.u64(NL_POLICY_TYPE_ATTR_MASK) == attribute->mask);
                } else {
                    CHECK(rule.u64(NL_POLICY_TYPE_ATTR_MIN_VALUE_U) == attribute->minimum);
                    CHECK(rule.u64(NL_POLICY_TYPE_ATTR_MAX_VALUE_U) == UINT32_MAX);
                }
                allowed.insert(attribute->name);
            }
            CHECK(allowed == named(each.request()));
        }
    }
}

TEST_CASE("netlink spec: a context is shown with the attributes of the spec") {
    const names all = named(operation(LONGPIN_CMD_CONTEXT_GET).single->reply);
    const raw_device device;
    const netlink_answer got =
        netlink_socket().get(LONGPIN_CMD_CONTEXT_GET, {{LONGPIN_A_CONTEXT_ID, context_of(device)}});
    REQUIRE(got.messages.size() == 1);
    CHECK(described(got.messages[0]) == without(all, {"orphaned"}));

    const netlink_answer listed = netlink_socket().dump(LONGPIN_CMD_CONTEXT_GET);
    REQUIRE(listed.messages.size() == 1);
    CHECK(described(listed.messages[0]) == without(all, {"orphaned"}));
}

TEST_CASE("netlink spec: a pin is shown with the attributes of the spec") {
    const names all = named(operation(LONGPIN_CMD_PIN_GET).single->reply);
    const orphan other;
    const raw_device device;
    const mapping memory = mapping::anonymous(page);
    const pin_id own{context_of(device), device.must_pin(memory.data(), page)};
    const struct {
        pin_id id;
        names attributes;
    } rows[] = {{own, without(all, {"orphaned", "file"})}, {other.id, all}};
    for (const auto& row : rows) {
        const netlink_answer got =
            netlink_socket().get(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, row.id.context},
                                                       {LONGPIN_A_PIN_HANDLE, row.id.handle}});
        REQUIRE(got.messages.size() == 1);
        CHECK(described(got.messages[0]) == row.attributes);

        const netlink_answer listed =
            netlink_socket().dump(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, row.id.context}});
        REQUIRE(listed.messages.size() == 1);
        CHECK(described(listed.messages[0]) == row.attributes);
    }
    const netlink_answer got =
        netlink_socket().get(LONGPIN_CMD_PIN_GET, {{LONGPIN_A_PIN_CONTEXT, other.id.context},
                                                   {LONGPIN_A_PIN_HANDLE, other.id.handle}});
    CHECK(described(got.only().nest(LONGPIN_A_PIN_FILE), spec().set("file")) ==
          names{"path", "major", "minor", "inode", "offset"});
}

TEST_CASE("netlink spec: the statistics are shown with the attributes of the spec") {
    const raw_device device;
    REQUIRE(device.pin(nullptr, 0) != 0); // a refusal to be counted
    const netlink_answer got = netlink_socket().get(LONGPIN_CMD_STATS_GET);
    REQUIRE(got.messages.size() == 1);
    CHECK(described(got.messages[0]) == named(operation(LONGPIN_CMD_STATS_GET).single->reply));
    for (const auto& [type, refused] : got.only().each()) {
        if (type == LONGPIN_A_STATS_REFUSED) {
            CHECK(described(refused, spec().set("refused-count")) == names{"reason", "count"});
        }
    }
}

TEST_CASE("netlink spec: events have the attributes of the spec") {
    netlink_socket listener;
    REQUIRE(listener.get(LONGPIN_CMD_SUBSCRIBE).err == 0);
    const auto next = [&](std::uint8_t command) {
        const auto event = listener.event();
        REQUIRE(event);
        REQUIRE(event->command == command);
        return *event;
    };
    const names made = named(*operation(LONGPIN_CMD_PINNED_NTF).event);
    const names ended = named(*operation(LONGPIN_CMD_UNPINNED_NTF).event);
    const names refused = named(*operation(LONGPIN_CMD_REFUSED_NTF).event);

    raw_device device;
    const mapping memory = mapping::anonymous(page);
    const std::uint32_t handle = device.must_pin(memory.data(), page);
    CHECK(described(next(LONGPIN_CMD_PINNED_NTF)) == without(made, {"file"}));
    REQUIRE(device.unpin(handle) == 0);
    CHECK(described(next(LONGPIN_CMD_UNPINNED_NTF)) == without(ended, {"file"}));

    {
        const std::uint32_t lease = device.must_pin(memory.data(), page, LONGPIN_PIN_LEASE);
        next(LONGPIN_CMD_PINNED_NTF);
        REQUIRE(::madvise(memory.data(), page, MADV_DONTNEED) == 0);
        CHECK(described(next(LONGPIN_CMD_REVOKED_NTF)) ==
              without(named(*operation(LONGPIN_CMD_REVOKED_NTF).event), {"file"}));
        longpin_repin answer{};
        REQUIRE(device.repin(lease, answer) == 0);
        CHECK(described(next(LONGPIN_CMD_REPINNED_NTF)) ==
              without(named(*operation(LONGPIN_CMD_REPINNED_NTF).event), {"file"}));
        REQUIRE(device.unpin(lease) == 0);
        next(LONGPIN_CMD_UNPINNED_NTF);
    }
    {
        orphan other;
        CHECK(described(next(LONGPIN_CMD_PINNED_NTF)) == made);
        other.device.close();
        CHECK(described(next(LONGPIN_CMD_UNPINNED_NTF)) == ended);
    }

    // An address stands in the way, or a limit.
    const auto& refusal = spec().set("refusal");
    REQUIRE(device.pin(nullptr, page) == EFAULT);
    netlink_message event = next(LONGPIN_CMD_REFUSED_NTF);
    CHECK(described(event) == refused);
    CHECK(described(event.attributes.nest(LONGPIN_A_PIN_REFUSAL), refusal) ==
          names{"error", "reason", "bad-addr"});
    as_ordinary_user([&] {
        set_memlock_limit(0);
        return device.pin(memory.data(), page);
    });
    event = next(LONGPIN_CMD_REFUSED_NTF);
    CHECK(described(event) == refused);
    CHECK(described(event.attributes.nest(LONGPIN_A_PIN_REFUSAL), refusal) ==
          names{"error", "reason", "limit", "used", "asked"});
}
