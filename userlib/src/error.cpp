// SPDX-License-Identifier: MIT
#include <longpin/error.hpp>
#include <longpin/result.hpp>

#include <stdexcept>

namespace longpin {

struct error::contents {
    std::string attempted;
    std::string sentence;
    refusal facts;
};

namespace {

// Which numbers of the kernel's interface are about the memory, and which about limits.
bool has_address(reason why) noexcept {
    return why >= reason::hole && why < reason::memlock;
}

bool is_limit(reason why) noexcept {
    return why == reason::memlock || why == reason::max_pages || why == reason::max_pins ||
           why == reason::max_user_pages;
}

} // namespace

std::string_view name(reason why) noexcept {
    switch (why) {
    case reason::none: return "none";
    case reason::zero_length: return "zero_length";
    case reason::wraps: return "wraps";
    case reason::flags: return "flags";
    case reason::reserved: return "reserved";
    case reason::lease_kernel: return "lease_kernel";
    case reason::lease_only: return "lease_only";
    case reason::eventfd: return "eventfd";
    case reason::grace: return "grace";
    case reason::hole: return "hole";
    case reason::not_readable: return "not_readable";
    case reason::not_writable: return "not_writable";
    case reason::io: return "io";
    case reason::pfnmap: return "pfnmap";
    case reason::secretmem: return "secretmem";
    case reason::fault: return "fault";
    case reason::fsdax: return "fsdax";
    case reason::dirty_tracking: return "dirty_tracking";
    case reason::device_gone: return "device_gone";
    case reason::device_page: return "device_page";
    case reason::lease_memory: return "lease_memory";
    case reason::driver_memory: return "driver_memory";
    case reason::memlock: return "memlock";
    case reason::max_pages: return "max_pages";
    case reason::max_pins: return "max_pins";
    case reason::max_user_pages: return "max_user_pages";
    }
    return "unknown";
}

error::error(int errno_value, std::string attempted, std::string_view explanation,
             const refusal& facts)
    : std::system_error(errno_value, std::generic_category()) {
    std::string sentence = "cannot " + attempted + ": ";
    sentence += explanation;
    contents_ = std::make_shared<const contents>(
        contents{std::move(attempted), std::move(sentence), facts});
}

const char* error::what() const noexcept {
    return contents_->sentence.c_str();
}

const std::string& error::attempted() const noexcept {
    return contents_->attempted;
}

reason error::reason() const noexcept {
    return contents_->facts.why;
}

std::optional<std::uint64_t> error::bad_address() const noexcept {
    return has_address(reason()) ? std::optional(contents_->facts.bad_address) : std::nullopt;
}

std::optional<std::uint64_t> error::limit() const noexcept {
    return is_limit(reason()) || reason() == reason::grace ? std::optional(contents_->facts.limit)
                                                           : std::nullopt;
}

std::optional<std::uint64_t> error::used() const noexcept {
    return is_limit(reason()) ? std::optional(contents_->facts.used) : std::nullopt;
}

std::optional<std::uint64_t> error::asked() const noexcept {
    return is_limit(reason()) ? std::optional(contents_->facts.asked) : std::nullopt;
}

void detail::raise(const error& failure) {
    throw error(failure);
}

void detail::misused(const char* what) {
    throw std::logic_error(what);
}

} // namespace longpin
