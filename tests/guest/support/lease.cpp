// SPDX-License-Identifier: MIT
#include "lease.hpp"

#include <cerrno>
#include <system_error>

namespace guest {

dax_file::dax_file(const std::string& filesystem, std::size_t size)
    : descriptor(temporary_file(backing(filesystem), size)),
      memory(size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get()) {
    memory.fill();
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
