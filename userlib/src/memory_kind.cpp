// SPDX-License-Identifier: MIT
#include <longpin/memory_kind.hpp>

#include <array>

namespace longpin {

std::vector<std::string_view> names(memory_kind set) {
    // In the order of the bits.
    static constexpr std::array<std::string_view, 8> known{"anon", "shmem",  "hugetlb", "private",
                                                           "file", "devdax", "device",  "fsdax"};
    std::vector<std::string_view> result;
    auto rest = static_cast<std::uint32_t>(set);
    for (std::size_t bit = 0; rest != 0; ++bit, rest >>= 1U) {
        if ((rest & 1U) != 0) {
            result.push_back(bit < known.size() ? known.at(bit) : "unknown");
        }
    }
    return result;
}

} // namespace longpin
