// SPDX-License-Identifier: MIT
// The metrics of longpin.
#pragma once

#include "exposition.hpp"

#include <longpin/inventory.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pinpin {

/// What the statistics do not tell: sums over pins by their properties.
class pin_sums {
public:
    explicit pin_sums(std::uint64_t page_size) : page_size_(page_size) {}

    void add(const longpin::pin_record& pin);

private:
    friend std::vector<metric_family> metric_families(const longpin::statistics& totals,
                                                      const pin_sums& sums,
                                                      const std::string& version);

    struct sum {
        std::uint64_t pins = 0;
        std::uint64_t bytes = 0;
    };

    std::uint64_t page_size_;
    std::map<uid_t, sum> by_user_;
    std::map<longpin::memory_kind, sum> by_kinds_; // sets of kinds, since a pin may mix them
    sum orphaned_;
    std::chrono::nanoseconds oldest_{};
};

/// All there are. \param version  of the module
std::vector<metric_family> metric_families(const longpin::statistics& totals, const pin_sums& sums,
                                           const std::string& version);

} // namespace pinpin
