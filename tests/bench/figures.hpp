// SPDX-License-Identifier: MIT
// What the benchmark of pinning found, as the guest writes it and the host reads it.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// Of one pinner.
struct pin_figure {
    std::string memory;
    std::string size;
    std::string by;
    double pin = 0;      ///< instructions a page of 4 KiB
    double unpin = 0;    ///< instructions a page of 4 KiB
    std::string refused; ///< the errno's name, if the pinner said no
};

/// Of longpin alone.
struct other_figure {
    std::string what; ///< with its unit
    double value = 0;
};

struct figures {
    std::string kernel;
    std::vector<pin_figure> pins;
    std::vector<other_figure> others;

    /// The one of those names; throws if there is none.
    [[nodiscard]] const pin_figure& of(const std::string& memory, const std::string& size,
                                       const std::string& by) const;

    /// Every number under a name of its own; nothing where a pinner said no.
    [[nodiscard]] std::map<std::string, std::optional<double>> by_name() const;
};

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(pin_figure, memory, size, by, pin, unpin, refused)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(other_figure, what, value)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(figures, kernel, pins, others)

/// Throws if the file isn't there or isn't one of ours.
figures read_figures(const std::filesystem::path& path);

// The names that figures have: of memory,
inline constexpr const char* small_pages = "anonymous 4 KiB";
inline constexpr const char* thp = "THP";
inline constexpr const char* hugetlb_2m = "hugetlb 2 MiB";
inline constexpr const char* hugetlb_1g = "hugetlb 1 GiB";
inline constexpr const char* device_dax = "device-DAX 2 MiB";
inline constexpr const char* fs_dax = "fs-DAX (XFS), leased";

// of what is pinned at a time,
inline constexpr const char* some_pages = "64 MiB";
inline constexpr const char* many_pages = "1 GiB";
inline constexpr const char* one_page = "one page";
inline constexpr const char* separate_pages = "1024 separate pages";

// and of pinners.
inline constexpr const char* longpin_name = "longpin";
inline constexpr const char* floor_name = "floor";
inline constexpr const char* rdma_name = "RDMA";
inline constexpr const char* io_uring_name = "io_uring";

} // namespace bench
