// SPDX-License-Identifier: MIT
#include "records.hpp"

#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>

#include <linux/longpin.h>
#include <linux/longpin_netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>

namespace longpin::detail {

namespace {

struct attribute_type {
    int number;
    int type;
};

/// The types of the attributes of a set, by their numbers.
template <std::size_t Last>
constexpr std::array<nla_policy, Last + 1>
make_types(std::initializer_list<attribute_type> attributes) {
    std::array<nla_policy, Last + 1> types{};
    for (const attribute_type& attribute : attributes) {
        types.at(static_cast<std::size_t>(attribute.number)).type =
            static_cast<std::uint16_t>(attribute.type);
    }
    return types;
}

constexpr auto pin_types = make_types<LONGPIN_A_PIN_MAX>({{LONGPIN_A_PIN_CONTEXT, NLA_U32},
                                                          {LONGPIN_A_PIN_HANDLE, NLA_U32},
                                                          {LONGPIN_A_PIN_PID, NLA_U32},
                                                          {LONGPIN_A_PIN_COMM, NLA_STRING},
                                                          {LONGPIN_A_PIN_UID, NLA_U32},
                                                          {LONGPIN_A_PIN_ADDR, NLA_U64},
                                                          {LONGPIN_A_PIN_LENGTH, NLA_U64},
                                                          {LONGPIN_A_PIN_PAGES, NLA_U64},
                                                          {LONGPIN_A_PIN_RUNS, NLA_U64},
                                                          {LONGPIN_A_PIN_BOOKKEEPING, NLA_U64},
                                                          {LONGPIN_A_PIN_KINDS, NLA_U32},
                                                          {LONGPIN_A_PIN_FLAGS, NLA_U32},
                                                          {LONGPIN_A_PIN_COOKIE, NLA_U64},
                                                          {LONGPIN_A_PIN_AGE, NLA_U64},
                                                          {LONGPIN_A_PIN_ORPHANED, NLA_FLAG},
                                                          {LONGPIN_A_PIN_FILE, NLA_NESTED},
                                                          {LONGPIN_A_PIN_TIME, NLA_U64},
                                                          {LONGPIN_A_PIN_CAUSE, NLA_U32},
                                                          {LONGPIN_A_PIN_REFUSAL, NLA_NESTED},
                                                          {LONGPIN_A_PIN_STATE, NLA_U32},
                                                          {LONGPIN_A_PIN_REVOKED_PAGES, NLA_U64},
                                                          {LONGPIN_A_PIN_GRACE, NLA_U32},
                                                          {LONGPIN_A_PIN_CHANGED_OFFSET, NLA_U64},
                                                          {LONGPIN_A_PIN_CHANGED_LENGTH, NLA_U64},
                                                          {LONGPIN_A_PIN_SEQUENCE, NLA_U32}});

constexpr auto file_types = make_types<LONGPIN_A_FILE_MAX>({{LONGPIN_A_FILE_PATH, NLA_STRING},
                                                            {LONGPIN_A_FILE_MAJOR, NLA_U32},
                                                            {LONGPIN_A_FILE_MINOR, NLA_U32},
                                                            {LONGPIN_A_FILE_INODE, NLA_U64},
                                                            {LONGPIN_A_FILE_OFFSET, NLA_U64}});

constexpr auto refusal_types =
    make_types<LONGPIN_A_REFUSAL_MAX>({{LONGPIN_A_REFUSAL_ERROR, NLA_U32},
                                       {LONGPIN_A_REFUSAL_REASON, NLA_U32},
                                       {LONGPIN_A_REFUSAL_BAD_ADDR, NLA_U64},
                                       {LONGPIN_A_REFUSAL_LIMIT, NLA_U64},
                                       {LONGPIN_A_REFUSAL_USED, NLA_U64},
                                       {LONGPIN_A_REFUSAL_ASKED, NLA_U64}});

constexpr auto context_types =
    make_types<LONGPIN_A_CONTEXT_MAX>({{LONGPIN_A_CONTEXT_ID, NLA_U32},
                                       {LONGPIN_A_CONTEXT_PID, NLA_U32},
                                       {LONGPIN_A_CONTEXT_COMM, NLA_STRING},
                                       {LONGPIN_A_CONTEXT_UID, NLA_U32},
                                       {LONGPIN_A_CONTEXT_AGE, NLA_U64},
                                       {LONGPIN_A_CONTEXT_PINS, NLA_U64},
                                       {LONGPIN_A_CONTEXT_PAGES, NLA_U64},
                                       {LONGPIN_A_CONTEXT_ORPHANED, NLA_FLAG}});

constexpr auto stats_types =
    make_types<LONGPIN_A_STATS_MAX>({{LONGPIN_A_STATS_CONTEXTS, NLA_U64},
                                     {LONGPIN_A_STATS_PINS, NLA_U64},
                                     {LONGPIN_A_STATS_PAGES, NLA_U64},
                                     {LONGPIN_A_STATS_RUNS, NLA_U64},
                                     {LONGPIN_A_STATS_BOOKKEEPING, NLA_U64},
                                     {LONGPIN_A_STATS_PEAK_PAGES, NLA_U64},
                                     {LONGPIN_A_STATS_PINS_MADE, NLA_U64},
                                     {LONGPIN_A_STATS_PAGES_TAKEN, NLA_U64},
                                     {LONGPIN_A_STATS_PINNING_TIME, NLA_U64},
                                     {LONGPIN_A_STATS_DRY_RUNS, NLA_U64},
                                     {LONGPIN_A_STATS_REFUSED, NLA_NESTED},
                                     {LONGPIN_A_STATS_REVOCATIONS, NLA_U64},
                                     {LONGPIN_A_STATS_PAGES_REVOKED, NLA_U64},
                                     {LONGPIN_A_STATS_REPINS, NLA_U64}});

constexpr auto refused_count_types = make_types<LONGPIN_A_REFUSED_COUNT_MAX>(
    {{LONGPIN_A_REFUSED_COUNT_REASON, NLA_U32}, {LONGPIN_A_REFUSED_COUNT_COUNT, NLA_U64}});

/// The attributes of a message or a nest, by their numbers. One that is missing is 0.
template <std::size_t Size>
class attributes {
public:
    attributes(nlmsghdr& message, const std::array<nla_policy, Size>& types)
        : good_(genlmsg_parse(&message, 0, found_.data(), Size - 1, types.data()) == 0) {}

    attributes(nlattr* nest, const std::array<nla_policy, Size>& types)
        : good_(nla_parse_nested(found_.data(), Size - 1, nest, types.data()) == 0) {}

    /// Whether all of them are of their types.
    explicit operator bool() const noexcept { return good_; }

    [[nodiscard]] nlattr* get(std::size_t number) const { return found_.at(number); }

    [[nodiscard]] bool has(std::size_t number) const { return get(number) != nullptr; }

    [[nodiscard]] std::uint32_t u32(std::size_t number) const {
        return has(number) ? nla_get_u32(get(number)) : 0;
    }

    [[nodiscard]] std::uint64_t u64(std::size_t number) const {
        return has(number) ? nla_get_u64(get(number)) : 0;
    }

    [[nodiscard]] std::chrono::nanoseconds time(std::size_t number) const {
        return std::chrono::nanoseconds(u64(number));
    }

    [[nodiscard]] std::string text(std::size_t number) const {
        return has(number) ? nla_get_string(get(number)) : std::string();
    }

private:
    std::array<nlattr*, Size> found_{};
    bool good_;
};

using pin_attributes = attributes<pin_types.size()>;

std::optional<mapped_file> read_file(nlattr* nest) {
    const attributes got(nest, file_types);
    if (!got) {
        return std::nullopt;
    }
    return mapped_file{.path = got.text(LONGPIN_A_FILE_PATH),
                       .device_major = got.u32(LONGPIN_A_FILE_MAJOR),
                       .device_minor = got.u32(LONGPIN_A_FILE_MINOR),
                       .inode = got.u64(LONGPIN_A_FILE_INODE),
                       .offset = got.u64(LONGPIN_A_FILE_OFFSET)};
}

// A module that knows no leases says nothing of the state.
pin_state read_state(const pin_attributes& got) {
    return got.has(LONGPIN_A_PIN_STATE) ? static_cast<pin_state>(got.u32(LONGPIN_A_PIN_STATE))
                                        : pin_state::held;
}

// A pin, or a request for one, which has no handle.
std::optional<pin_record> read_pin(const pin_attributes& got) {
    if (!got || got.u32(LONGPIN_A_PIN_CONTEXT) == 0) {
        return std::nullopt;
    }
    pin_record pin{.context = got.u32(LONGPIN_A_PIN_CONTEXT),
                   .handle = got.u32(LONGPIN_A_PIN_HANDLE),
                   .pid = static_cast<pid_t>(got.u32(LONGPIN_A_PIN_PID)),
                   .comm = got.text(LONGPIN_A_PIN_COMM),
                   .uid = got.u32(LONGPIN_A_PIN_UID),
                   .address = got.u64(LONGPIN_A_PIN_ADDR),
                   .length = got.u64(LONGPIN_A_PIN_LENGTH),
                   .cookie = got.u64(LONGPIN_A_PIN_COOKIE),
                   .writable = (got.u32(LONGPIN_A_PIN_FLAGS) & LONGPIN_PIN_WRITE) != 0,
                   .orphaned = got.has(LONGPIN_A_PIN_ORPHANED),
                   .footprint{.kinds = static_cast<memory_kind>(got.u32(LONGPIN_A_PIN_KINDS)),
                              .pages = got.u64(LONGPIN_A_PIN_PAGES),
                              .runs = got.u64(LONGPIN_A_PIN_RUNS),
                              .bookkeeping = got.u64(LONGPIN_A_PIN_BOOKKEEPING)},
                   .lease = (got.u32(LONGPIN_A_PIN_FLAGS) & LONGPIN_PIN_LEASE) != 0,
                   .state = read_state(got),
                   .revoked_pages = got.u64(LONGPIN_A_PIN_REVOKED_PAGES),
                   .grace = std::chrono::milliseconds(got.u32(LONGPIN_A_PIN_GRACE)),
                   .age = got.time(LONGPIN_A_PIN_AGE)};
    if (got.has(LONGPIN_A_PIN_FILE)) {
        pin.file = read_file(got.get(LONGPIN_A_PIN_FILE));
        if (!pin.file) {
            return std::nullopt;
        }
    }
    return pin;
}

std::optional<pin_record> read_held_pin(const pin_attributes& got) {
    std::optional<pin_record> pin = read_pin(got);
    if (pin && pin->handle == 0) {
        pin.reset();
    }
    return pin;
}

std::optional<refused_event> read_refused(const pin_attributes& got) {
    std::optional<pin_record> request = read_pin(got);
    if (!request || !got.has(LONGPIN_A_PIN_REFUSAL)) {
        return std::nullopt;
    }
    const attributes refused(got.get(LONGPIN_A_PIN_REFUSAL), refusal_types);
    if (!refused) {
        return std::nullopt;
    }
    return refused_event{.request = std::move(*request),
                         .errno_value = static_cast<int>(refused.u32(LONGPIN_A_REFUSAL_ERROR)),
                         .facts{.why = static_cast<reason>(refused.u32(LONGPIN_A_REFUSAL_REASON)),
                                .bad_address = refused.u64(LONGPIN_A_REFUSAL_BAD_ADDR),
                                .limit = refused.u64(LONGPIN_A_REFUSAL_LIMIT),
                                .used = refused.u64(LONGPIN_A_REFUSAL_USED),
                                .asked = refused.u64(LONGPIN_A_REFUSAL_ASKED)}};
}

std::uint8_t command_of(nlmsghdr& message) {
    return genlmsg_valid_hdr(&message, 0) != 0 ? genlmsg_hdr(&message)->cmd : std::uint8_t{0};
}

} // namespace

std::optional<pin_record> read_pin(nlmsghdr& message) {
    return read_held_pin(pin_attributes(message, pin_types));
}

std::optional<context_record> read_context(nlmsghdr& message) {
    const attributes got(message, context_types);
    if (!got || got.u32(LONGPIN_A_CONTEXT_ID) == 0) {
        return std::nullopt;
    }
    return context_record{.id = got.u32(LONGPIN_A_CONTEXT_ID),
                          .pid = static_cast<pid_t>(got.u32(LONGPIN_A_CONTEXT_PID)),
                          .comm = got.text(LONGPIN_A_CONTEXT_COMM),
                          .uid = got.u32(LONGPIN_A_CONTEXT_UID),
                          .orphaned = got.has(LONGPIN_A_CONTEXT_ORPHANED),
                          .pins = got.u64(LONGPIN_A_CONTEXT_PINS),
                          .pages = got.u64(LONGPIN_A_CONTEXT_PAGES),
                          .age = got.time(LONGPIN_A_CONTEXT_AGE)};
}

std::optional<statistics> read_statistics(nlmsghdr& message) {
    const attributes got(message, stats_types);
    if (!got) {
        return std::nullopt;
    }
    longpin::statistics sums{.contexts = got.u64(LONGPIN_A_STATS_CONTEXTS),
                             .pins = got.u64(LONGPIN_A_STATS_PINS),
                             .pages = got.u64(LONGPIN_A_STATS_PAGES),
                             .runs = got.u64(LONGPIN_A_STATS_RUNS),
                             .bookkeeping = got.u64(LONGPIN_A_STATS_BOOKKEEPING),
                             .peak_pages = got.u64(LONGPIN_A_STATS_PEAK_PAGES),
                             .pins_made = got.u64(LONGPIN_A_STATS_PINS_MADE),
                             .pages_taken = got.u64(LONGPIN_A_STATS_PAGES_TAKEN),
                             .pinning_time = got.time(LONGPIN_A_STATS_PINNING_TIME),
                             .dry_runs = got.u64(LONGPIN_A_STATS_DRY_RUNS),
                             .refused = {},
                             .revocations = got.u64(LONGPIN_A_STATS_REVOCATIONS),
                             .pages_revoked = got.u64(LONGPIN_A_STATS_PAGES_REVOKED),
                             .repins = got.u64(LONGPIN_A_STATS_REPINS)};
    // One attribute a reason, of which the array above has only the last.
    int left = genlmsg_attrlen(genlmsg_hdr(&message), 0);
    for (nlattr* attribute = genlmsg_attrdata(genlmsg_hdr(&message), 0);
         nla_ok(attribute, left) != 0; attribute = nla_next(attribute, &left)) {
        if (nla_type(attribute) != LONGPIN_A_STATS_REFUSED) {
            continue;
        }
        const attributes refused(attribute, refused_count_types);
        if (!refused) {
            return std::nullopt;
        }
        sums.refused[static_cast<reason>(refused.u32(LONGPIN_A_REFUSED_COUNT_REASON))] +=
            refused.u64(LONGPIN_A_REFUSED_COUNT_COUNT);
    }
    return sums;
}

bool is_event(nlmsghdr& message) {
    switch (command_of(message)) {
    case LONGPIN_CMD_PINNED_NTF:
    case LONGPIN_CMD_UNPINNED_NTF:
    case LONGPIN_CMD_REFUSED_NTF:
    case LONGPIN_CMD_REVOKED_NTF:
    case LONGPIN_CMD_REPINNED_NTF: return true;
    default: return false;
    }
}

std::optional<std::uint32_t> number_of_event(nlmsghdr& message) {
    const nlattr* const number = nlmsg_find_attr(&message, GENL_HDRLEN, LONGPIN_A_PIN_SEQUENCE);
    if (number == nullptr || nla_len(number) != sizeof(std::uint32_t)) {
        return std::nullopt;
    }
    return nla_get_u32(number);
}

std::optional<event> read_event(nlmsghdr& message) {
    const pin_attributes got(message, pin_types);
    event happened{.time = std::chrono::system_clock::time_point(
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(
                           got.time(LONGPIN_A_PIN_TIME))),
                   .what = lost_events{}};
    if (command_of(message) == LONGPIN_CMD_REFUSED_NTF) {
        std::optional<refused_event> refused = read_refused(got);
        if (!refused) {
            return std::nullopt;
        }
        happened.what = std::move(*refused);
        return happened;
    }
    std::optional<pin_record> pin = read_held_pin(got);
    if (!pin) {
        return std::nullopt;
    }
    const auto why = static_cast<cause>(got.u32(LONGPIN_A_PIN_CAUSE));
    switch (command_of(message)) {
    case LONGPIN_CMD_PINNED_NTF: happened.what = pinned_event{.pin = std::move(*pin)}; break;
    case LONGPIN_CMD_REPINNED_NTF: happened.what = repinned_event{.pin = std::move(*pin)}; break;
    case LONGPIN_CMD_REVOKED_NTF:
        happened.what = revoked_event{.pin = std::move(*pin),
                                      .cause = why,
                                      .offset = got.u64(LONGPIN_A_PIN_CHANGED_OFFSET),
                                      .length = got.u64(LONGPIN_A_PIN_CHANGED_LENGTH)};
        break;
    default: happened.what = unpinned_event{.pin = std::move(*pin), .cause = why}; break;
    }
    return happened;
}

} // namespace longpin::detail
