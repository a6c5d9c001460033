// SPDX-License-Identifier: MIT
#include "page_table.hpp"

#include "system_state.hpp"

#include <fcntl.h>
#include <stdexcept>
#include <unistd.h>

namespace guest {

page_table::page_table() : pagemap_(open_file("/proc/self/pagemap", O_RDONLY)) {}

std::uint64_t page_table::physical_address(const std::byte* address) const {
    const auto number = reinterpret_cast<std::uintptr_t>(address) / page;
    std::uint64_t entry = 0;
    if (::pread(pagemap_.get(), &entry, sizeof(entry),
                static_cast<off_t>(number * sizeof(entry))) != sizeof(entry)) {
        throw std::runtime_error("/proc/self/pagemap");
    }
    constexpr std::uint64_t present = 1ULL << 63U;
    constexpr std::uint64_t frame = (1ULL << 55U) - 1;
    return (entry & present) != 0 ? (entry & frame) * page : 0;
}

std::uint64_t physical_address(const std::byte* address) {
    return page_table().physical_address(address);
}

} // namespace guest
