// SPDX-License-Identifier: MIT
#include <longpin/inventory.hpp>

#include "netlink_socket.hpp"
#include "records.hpp"

#include <fmt/format.h>

#include <utility>

#include <linux/longpin_netlink.h>
#include <linux/netlink.h>

namespace longpin {

std::string_view name(pin_state state) noexcept {
    switch (state) {
    case pin_state::held: return "held";
    case pin_state::partly_revoked: return "partly_revoked";
    case pin_state::revoked: return "revoked";
    }
    return "unknown";
}

namespace {

// The answer's only message.
template <typename Record>
detail::netlink_socket::visitor into(std::optional<Record>& record,
                                     std::optional<Record> (*read)(nlmsghdr&)) {
    return [&record, read](nlmsghdr& message) {
        record = read(message);
        return record.has_value();
    };
}

// Gives each pin to \p visit, to keep if it likes.
result<void> list_pins(detail::netlink_socket& socket, const pin_filter& filter,
                       const std::function<void(pin_record&&)>& visit) {
    detail::netlink_request request(LONGPIN_CMD_PIN_GET, NLM_F_DUMP);
    request.put(LONGPIN_A_PIN_CONTEXT, filter.context);
    request.put(LONGPIN_A_PIN_HANDLE, filter.handle);
    request.put(LONGPIN_A_PIN_PID, filter.pid);
    request.put(LONGPIN_A_PIN_UID, filter.uid);
    if (filter.kinds != memory_kind::none) {
        request.put(LONGPIN_A_PIN_KINDS, static_cast<std::uint32_t>(filter.kinds));
    }
    return socket.call(request, "list the pins", [&visit](nlmsghdr& message) {
        std::optional<pin_record> pin = detail::read_pin(message);
        if (pin) {
            visit(std::move(*pin));
        }
        return pin.has_value();
    });
}

} // namespace

inventory::inventory() : inventory(try_open().value()) {}

result<inventory> inventory::try_open() {
    auto socket = detail::netlink_socket::try_open("ask the module who pinned which memory");
    if (!socket) {
        return socket.error();
    }
    return inventory(std::move(*socket));
}

inventory::inventory(std::unique_ptr<detail::netlink_socket> socket) noexcept
    : socket_(std::move(socket)) {}

inventory::inventory(inventory&& other) noexcept = default;
inventory& inventory::operator=(inventory&& other) noexcept = default;
inventory::~inventory() = default;

detail::netlink_socket& inventory::socket() const {
    if (!socket_) {
        detail::misused("longpin::inventory: used after it was moved from");
    }
    return *socket_;
}

std::vector<pin_record> inventory::pins(const pin_filter& filter) const {
    return try_pins(filter).value();
}

result<std::vector<pin_record>> inventory::try_pins(const pin_filter& filter) const {
    std::vector<pin_record> all;
    const result<void> listed =
        list_pins(socket(), filter, [&all](pin_record&& pin) { all.push_back(std::move(pin)); });
    if (!listed) {
        return listed.error();
    }
    return all;
}

void inventory::for_each_pin(const pin_filter& filter,
                             const std::function<void(const pin_record&)>& visit) const {
    try_for_each_pin(filter, visit).value();
}

result<void>
inventory::try_for_each_pin(const pin_filter& filter,
                            const std::function<void(const pin_record&)>& visit) const {
    return list_pins(socket(), filter, visit);
}

std::optional<pin_record> inventory::find_pin(std::uint32_t context, std::uint32_t handle) const {
    return try_find_pin(context, handle).value();
}

result<std::optional<pin_record>> inventory::try_find_pin(std::uint32_t context,
                                                          std::uint32_t handle) const {
    detail::netlink_request request(LONGPIN_CMD_PIN_GET, NLM_F_ACK);
    request.put(LONGPIN_A_PIN_CONTEXT, context);
    request.put(LONGPIN_A_PIN_HANDLE, handle);
    std::optional<pin_record> pin;
    const result<void> asked =
        socket().call(request, fmt::format("find pin {} of context {}", handle, context),
                      into(pin, detail::read_pin));
    if (!asked) {
        return asked.error();
    }
    return pin;
}

std::vector<context_record> inventory::contexts() const {
    return try_contexts().value();
}

result<std::vector<context_record>> inventory::try_contexts() const {
    std::vector<context_record> all;
    const result<void> listed =
        socket().call(detail::netlink_request(LONGPIN_CMD_CONTEXT_GET, NLM_F_DUMP),
                      "list the open files of the device", [&all](nlmsghdr& message) {
                          std::optional<context_record> context = detail::read_context(message);
                          if (context) {
                              all.push_back(std::move(*context));
                          }
                          return context.has_value();
                      });
    if (!listed) {
        return listed.error();
    }
    return all;
}

statistics inventory::statistics() const {
    return try_statistics().value();
}

result<statistics> inventory::try_statistics() const {
    static constexpr const char* attempted = "read the statistics";
    std::optional<longpin::statistics> sums;
    const result<void> asked =
        socket().call(detail::netlink_request(LONGPIN_CMD_STATS_GET, NLM_F_ACK), attempted,
                      into(sums, detail::read_statistics));
    if (!asked) {
        return asked.error();
    }
    if (!sums) {
        return detail::senseless_answer(attempted);
    }
    return *sums;
}

} // namespace longpin
