// SPDX-License-Identifier: MIT
// Generic netlink as it goes over the socket, without libnl or the library between: a witness of
// its own.
#pragma once

#include "raw_device.hpp"

#include <linux/longpin_netlink.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace guest {

/// The attributes of a message or of a nest. Throws when there is not one attribute of the type
/// that is asked for, or when it is of another length.
class netlink_attributes {
public:
    using buffer = std::shared_ptr<const std::vector<std::byte>>;

    netlink_attributes() = default;

    /// Those in \p bytes, which lie in \p owner.
    netlink_attributes(buffer owner, std::span<const std::byte> bytes)
        : owner_(std::move(owner)), bytes_(bytes) {}

    [[nodiscard]] bool has(int type) const;
    [[nodiscard]] std::set<int> types() const;
    [[nodiscard]] std::uint16_t u16(int type) const;
    [[nodiscard]] std::uint32_t u32(int type) const;
    [[nodiscard]] std::uint64_t u64(int type) const;
    [[nodiscard]] std::string string(int type) const;
    [[nodiscard]] netlink_attributes nest(int type) const;

    /// Type and content of each, in their order.
    [[nodiscard]] std::vector<std::pair<int, netlink_attributes>> each() const;

private:
    [[nodiscard]] std::span<const std::byte> only(int type) const;

    buffer owner_;
    std::span<const std::byte> bytes_;
};

/// A message of a family.
struct netlink_message {
    std::uint16_t type = 0;
    std::uint8_t command = 0;
    std::uint8_t version = 0;
    std::uint16_t flags = 0;
    std::uint32_t sequence = 0;
    std::uint32_t port = 0;
    netlink_attributes attributes;
};

/// A request of a family.
class netlink_request {
public:
    netlink_request(std::uint16_t type, std::uint8_t command, std::uint16_t flags);

    netlink_request& add(std::uint16_t attribute, std::span<const std::byte> content);
    netlink_request& add(std::uint16_t attribute, std::uint32_t value);
    netlink_request& add(std::uint16_t attribute, const std::string& value);

    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

/// What the kernel says to a request.
struct netlink_answer {
    int err = 0;                            ///< the errno; 0: done
    std::string message;                    ///< of the extended acknowledgement
    std::optional<std::uint16_t> attribute; ///< type of the request's attribute that it is about
    std::optional<std::uint32_t> missing;   ///< type of an attribute that the request lacks
    std::vector<netlink_message> messages;

    /// The attributes of the one message. Throws if it isn't one.
    [[nodiscard]] const netlink_attributes& only() const&;
    [[nodiscard]] netlink_attributes only() &&;
};

/// The attributes of a request to the family longpin: all that it takes are numbers.
using netlink_filters = std::vector<std::pair<std::uint16_t, std::uint32_t>>;

/// A request to the family longpin.
netlink_request longpin_request(std::uint8_t command, std::uint16_t flags,
                                const netlink_filters& attributes = {});

/// A generic netlink socket that asks for extended acknowledgements.
class netlink_socket {
public:
    netlink_socket();
    explicit netlink_socket(file descriptor) : file_(std::move(descriptor)) {}

    [[nodiscard]] int descriptor() const { return file_.get(); }
    void close() { file_.close(); }

    /// Sends bytes as they are.
    void send(std::span<const std::byte> message);

    /// One datagram of the answer to the last message sent. True if it was the last one. Throws if
    /// none comes for 20 s, or if the kernel lost some (ENOBUFS).
    bool receive(netlink_answer& answer);

    /// Sends a request and receives the whole answer.
    netlink_answer ask(const netlink_request& request);

    /// Asks the family longpin for one thing, or for all of them.
    netlink_answer get(std::uint8_t command, const netlink_filters& attributes = {});
    netlink_answer dump(std::uint8_t command, const netlink_filters& attributes = {});

    /// The next event of the family longpin. Empty: none came within that time. Throws as receive()
    /// does.
    std::optional<netlink_message> event(int milliseconds = 20000);

    /// How much may wait in the socket, in bytes. For root.
    void set_buffer(int bytes) const;

    /// How long a datagram may be. A dump is cut into datagrams by it.
    void set_room(std::size_t bytes) { room_ = bytes; }

private:
    file file_;
    std::size_t room_ = 32768; ///< the most that the kernel makes use of
    std::vector<std::byte> sent_;
    std::deque<netlink_message> events_; ///< that came before they were asked for
};

/// What the controller says of a family, by its name.
netlink_answer find_family(const std::string& name);

/// The number that the family longpin has now.
std::uint16_t longpin_family();

/// A pin's place in a listing.
struct pin_id {
    std::uint32_t context = 0;
    std::uint32_t handle = 0;

    // clang-tidy takes the 0 that <=> is compared with for a pointer.
    auto operator<=>(const pin_id&) const = default; // NOLINT(modernize-use-nullptr)
};

/// Which pin a message is about.
pin_id id_of(const netlink_message& message);

/// The pins that an answer lists, in its order.
std::vector<pin_id> ids_of(const netlink_answer& answer);

/// A number in /proc/PROCESS/fdinfo/DESCRIPTOR. Throws if it isn't there.
std::uint64_t fdinfo(const std::string& process, int descriptor, const std::string& key);

/// The number of the context, by its fdinfo.
std::uint32_t context_of(const raw_device& device);

} // namespace guest
