// SPDX-License-Identifier: MIT
// VFIO's type 1 IOMMU, which pins what it maps for a device.
#pragma once

#include "../guest/support/raw_device.hpp"

#include <cstdint>

namespace bench {

/// A range of a device's addresses.
struct io_range {
    std::uint64_t address;
    std::uint64_t length;
};

/// The group of the spare device ("tests/guest/peers vfio"), in a container of its own.
class vfio_container {
public:
    vfio_container();

    /// VFIO_IOMMU_MAP_DMA, for reading and writing: 0 or the errno.
    [[nodiscard]] int map(const void* memory, const io_range& where) const;

    void unmap(const io_range& where) const;

private:
    guest::file container_;
    guest::file group_;
};

} // namespace bench
