// SPDX-License-Identifier: MIT
// Somewhere for memory to go.
#pragma once

namespace guest {

/// Swap on compressed memory, for as long as the object lives. Throws if it can't be had.
class swap_space {
public:
    swap_space();
    swap_space(const swap_space&) = delete;
    swap_space& operator=(const swap_space&) = delete;
    swap_space(swap_space&&) = delete;
    swap_space& operator=(swap_space&&) = delete;
    ~swap_space();
};

} // namespace guest
