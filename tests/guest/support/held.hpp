// SPDX-License-Identifier: MIT
// A pin that has to stay what the mapping shows.
#pragma once

#include "mapping.hpp"

#include <cstdint>

namespace guest {

/// What is stored in the first \p length bytes of memory is seen through a pin that starts there.
/// Overwrites them.
void check_coherent(const raw_device& device, std::uint32_t handle, const mapping& memory,
                    std::size_t length);

/// A pin of a mapping, page-aligned, and all that has to be so afterwards.
class held {
public:
    explicit held(const mapping& memory, std::uint32_t flags = LONGPIN_PIN_WRITE);

    /// The mapping at \p address shows the pages of the pin: by their physical addresses, and by
    /// what is written to either. Overwrites it.
    void check_coherent(std::byte* address) const;

private:
    raw_device device_;
    std::uint32_t handle_;
    std::uint32_t flags_;
    mutable unsigned char round_ = 0;
};

} // namespace guest
