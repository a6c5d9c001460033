// SPDX-License-Identifier: MIT
#include "lease.hpp"

#include "child.hpp"

#include <cerrno>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <system_error>

namespace guest {

dax_file::dax_file(const std::string& filesystem, std::size_t size)
    : descriptor(temporary_file(backing(filesystem), size)),
      memory(size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get()) {
    memory.fill();
}

frozen::frozen(const file& member) : member_(member) {
    must(::ioctl(member.get(), FIFREEZE, 0) == 0, "FIFREEZE");
}

void frozen::thaw() {
    if (std::exchange(frozen_, false)) {
        ::ioctl(member_.get(), FITHAW, 0);
    }
}

bool falls_asleep(pid_t process) {
    return eventually([&] {
        const std::string status = read_line("/proc/" + std::to_string(process) + "/stat");
        const std::size_t name_end = status.rfind(')');
        return name_end != std::string::npos && status.substr(name_end, 3) == ") D";
    });
}

std::uint32_t must_pin_with_grace(const raw_device& device, const mapping& memory,
                                  std::uint32_t grace_ms) {
    auto arguments = request<longpin_pin>();
    arguments.flags = leased_write;
    arguments.addr = reinterpret_cast<std::uintptr_t>(memory.data());
    arguments.length = memory.length();
    arguments.grace_ms = grace_ms;
    if (const int err = device.call(LONGPIN_PIN, &arguments)) {
        throw std::system_error(err, std::generic_category(),
                                "LONGPIN_PIN, reason " + std::to_string(arguments.out_reason));
    }
    return arguments.out_handle;
}

longpin_query must_query(const raw_device& device, std::uint32_t handle) {
    longpin_query answer{};
    if (const int err = device.query(handle, answer)) {
        throw std::system_error(err, std::generic_category(), "LONGPIN_QUERY");
    }
    return answer;
}

bool lost_exactly(const raw_device& device, std::uint32_t handle, std::size_t first,
                  std::size_t end) {
    const longpin_query pin = must_query(device, handle);
    const std::size_t pages = pin.out_length / page;
    bool so = pin.out_pages == pages - (end - first) && pin.out_revoked_pages == end - first;

    std::byte buffer[page];
    for (std::size_t i = 0; i < pages; i++) {
        const int err = device.read(handle, i * page, buffer, page);
        so = so && err == (i >= first && i < end ? ESTALE : 0);
    }

    std::size_t held = 0;
    for (const longpin_extent& extent : device.extents(handle)) {
        so = so && (extent.offset + extent.length <= first * page || extent.offset >= end * page);
        held += extent.length;
    }
    return so && held == pin.out_pages * page;
}

} // namespace guest
