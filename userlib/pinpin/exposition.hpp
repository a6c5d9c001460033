// SPDX-License-Identifier: MIT
// Metrics in the text formats of those who collect them.
#pragma once

#include "output.hpp"

#include <span>
#include <string>
#include <utility>
#include <vector>

namespace pinpin {

/// One number of a family.
struct metric {
    json value;
    std::vector<std::pair<std::string, std::string>> labels;
};

/// Metrics of one name.
struct metric_family {
    enum class kind { gauge, counter };

    std::string name; ///< of a counter, without "_total"
    kind type;
    std::string unit; ///< which the name ends with; "" for counts
    std::string help;
    std::vector<metric> metrics; ///< not empty
};

/// OpenMetrics is the standard, and what "pinpin metrics" prints. The node exporter's textfile
/// collector reads the older format of Prometheus, which differs in how a counter is named in the
/// lines about it, and has no units. As there is no metric of type "info" here, that reader takes
/// OpenMetrics too, with the counters as metrics without a type.
enum class text_format { openmetrics, prometheus };

/// All families as a text.
std::string to_text(std::span<const metric_family> families, text_format format);

/// An object of numbers by the names of the metrics, or of arrays where these have labels.
json to_json(std::span<const metric_family> families);

} // namespace pinpin
