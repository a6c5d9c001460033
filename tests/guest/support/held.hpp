// SPDX-License-Identifier: MIT
// A pin that has to stay what the mapping shows.
#pragma once

#include "mapping.hpp"

#include <cstdint>

namespace guest {

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
