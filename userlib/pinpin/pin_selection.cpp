// SPDX-License-Identifier: MIT
#include "pin_selection.hpp"

#include <longpin/size.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <system_error>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace pinpin {

namespace {

// A number of bytes from a place on; empty if there is no such range.
std::optional<byte_range> range_from(std::uint64_t first, std::uint64_t bytes) {
    if (bytes == 0 || bytes - 1 > std::numeric_limits<std::uint64_t>::max() - first) {
        return std::nullopt;
    }
    return byte_range{first, first + (bytes - 1)};
}

// Hexadecimal, as /proc/PID/maps has it: without 0x, though with it is as good.
std::optional<std::uint64_t> parse_hexadecimal(const std::string& text) {
    return longpin::parse_size(text.starts_with("0x") ? text : "0x" + text);
}

// In whole pages.
byte_range in_pages(const byte_range& range, std::uint64_t page_size) {
    return {range.first & ~(page_size - 1), range.last | (page_size - 1)};
}

bool overlap(const byte_range& one, const byte_range& other) {
    return one.first <= other.last && other.first <= one.last;
}

// The kinds that the library knows by name, lowest bit first.
std::vector<std::pair<std::string_view, longpin::memory_kind>> known_kinds() {
    std::vector<std::pair<std::string_view, longpin::memory_kind>> result;
    for (std::uint32_t bit = 1; bit != 0; bit <<= 1U) {
        const auto kind = static_cast<longpin::memory_kind>(bit);
        const std::string_view name = longpin::names(kind).front();
        if (name == "unknown") {
            break;
        }
        result.emplace_back(name, kind);
    }
    return result;
}

// Empty, or what is wrong with it, as CLI11 wants it.
std::string check_kind(const std::string& text) {
    const auto known = known_kinds();
    if (std::ranges::find(known, text, &std::pair<std::string_view, longpin::memory_kind>::first) !=
        known.end()) {
        return "";
    }
    std::vector<std::string_view> names;
    std::ranges::transform(known, std::back_inserter(names),
                           [](const auto& one) { return one.first; });
    return fmt::format("{} is none of {}", text, fmt::join(names, ", "));
}

} // namespace

bool lexical_cast(const std::string& text, byte_range& value) {
    std::optional<byte_range> range;
    if (const std::size_t dash = text.find('-'); dash != std::string::npos) {
        const auto first = parse_hexadecimal(text.substr(0, dash));
        const auto end = parse_hexadecimal(text.substr(dash + 1));
        if (first && end && *first < *end) {
            range = byte_range{*first, *end - 1};
        }
    } else {
        const std::size_t plus = text.find('+');
        const auto first = longpin::parse_size(text.substr(0, plus));
        const auto bytes = plus == std::string::npos ? std::optional<std::uint64_t>(1)
                                                     : longpin::parse_size(text.substr(plus + 1));
        if (first && bytes) {
            range = range_from(*first, *bytes);
        }
    }
    value = range.value_or(byte_range{});
    return range.has_value();
}

file_identity file_identity::of(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                           &std::free);
    struct stat status {};
    if (real == nullptr || ::stat(real.get(), &status) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot look at " + path);
    }
    return {.path = real.get(),
            .device_major = ::major(status.st_dev),
            .device_minor = ::minor(status.st_dev),
            .inode = status.st_ino};
}

bool file_identity::is(const longpin::mapped_file& mapped) const {
    // Some file systems (btrfs, overlayfs) have stat() tell another device than their mappings do.
    return mapped.inode == inode &&
           ((mapped.device_major == device_major && mapped.device_minor == device_minor) ||
            mapped.path == path);
}

bool pin_selection::matches(const longpin::pin_record& pin, std::uint64_t page_size) const {
    if (orphans && !pin.orphaned) {
        return false;
    }
    if (addresses &&
        !overlap(*addresses, in_pages({pin.address, pin.address + (pin.length - 1)}, page_size))) {
        return false;
    }
    if (!file) {
        return true;
    }
    // Of a range of several mappings it is not known how much of it the file is: what is meant
    // may be in it.
    return pin.file && file->is(*pin.file) &&
           overlap(part_of_file,
                   in_pages({pin.file->offset, pin.file->offset + (pin.length - 1)}, page_size));
}

pin_selection selection_arguments::selection() const {
    pin_selection result{.filter = {.context = context, .handle = handle, .pid = pid},
                         .addresses = addresses,
                         .orphans = orphans};
    if (user) {
        result.filter.uid = user->uid;
    }
    for (const auto& [name, kind] : known_kinds()) {
        if (std::ranges::find(kinds, name) != kinds.end()) {
            result.filter.kinds = result.filter.kinds | kind;
        }
    }
    if (!file.empty()) {
        result.file = file_identity::of(file);
        result.part_of_file.first = offset.bytes;
        if (length) {
            const auto part = range_from(offset.bytes, length->bytes);
            if (!part) {
                throw CLI::ValidationError("--length", "there is no such part of a file");
            }
            result.part_of_file = *part;
        }
    }
    return result;
}

void declare_selection(CLI::App& app, selection_arguments& arguments) {
    app.add_option("--pid", arguments.pid, "Pins that this process made")
        ->type_name("PID")
        ->check(CLI::PositiveNumber);
    app.add_option("--uid", arguments.user, "Pins that this user is charged for")
        ->type_name("USER")
        ->check(check_not_empty);
    app.add_option("--kind", arguments.kinds, "Pins with such memory (several: a,b)")
        ->type_name("KIND")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(check_kind);
    app.add_option("--context", arguments.context, "Pins of this open file")
        ->type_name("ID")
        ->check(CLI::PositiveNumber);
    app.add_option("--handle", arguments.handle, "Pins with this handle")
        ->type_name("HANDLE")
        ->check(CLI::PositiveNumber);
    app.add_option("--address", arguments.addresses,
                   "Pins that hold any of it, in whatever process")
        ->type_name("RANGE")
        ->check(check_not_empty);
    CLI::Option* const file =
        app.add_option("--file", arguments.file, "Pins of a file or a device-DAX device")
            ->type_name("FILE")
            ->check(check_not_empty);
    app.add_option("--offset", arguments.offset, "... from this byte of it on")
        ->type_name("SIZE")
        ->check(check_not_empty)
        ->needs(file);
    app.add_option("--length", arguments.length, "... so many bytes of it")
        ->type_name("SIZE")
        ->check(check_not_empty)
        ->needs(file);
    app.add_flag("--orphans", arguments.orphans, "Pins whose process is gone, and who holds them");
}

} // namespace pinpin
