// SPDX-License-Identifier: MIT
#include "vfio_container.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <linux/vfio.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <system_error>

namespace bench {

namespace {

/// Beside /dev/vfio/vfio lie the groups, named by their numbers.
guest::file open_group() {
    for (const auto& entry : std::filesystem::directory_iterator("/dev/vfio")) {
        const std::string name = entry.path().filename();
        if (std::ranges::all_of(name, [](unsigned char letter) { return std::isdigit(letter); })) {
            return guest::open_file(entry.path(), O_RDWR);
        }
    }
    throw std::runtime_error("/dev/vfio has no group");
}

} // namespace

vfio_container::vfio_container()
    : container_(guest::open_file("/dev/vfio/vfio", O_RDWR)), group_(open_group()) {
    const int container = container_.get();
    guest::must(::ioctl(group_.get(), VFIO_GROUP_SET_CONTAINER, &container) == 0,
                "VFIO_GROUP_SET_CONTAINER");
    guest::must(::ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0, "VFIO_SET_IOMMU");
}

int vfio_container::map(const void* memory, const io_range& where) const {
    vfio_iommu_type1_dma_map request{};
    request.argsz = sizeof(request);
    request.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    request.vaddr = reinterpret_cast<std::uintptr_t>(memory);
    request.iova = where.address;
    request.size = where.length;
    return ::ioctl(container_.get(), VFIO_IOMMU_MAP_DMA, &request) == 0 ? 0 : errno;
}

void vfio_container::unmap(const io_range& where) const {
    vfio_iommu_type1_dma_unmap request{};
    request.argsz = sizeof(request);
    request.iova = where.address;
    request.size = where.length;
    guest::must(::ioctl(container_.get(), VFIO_IOMMU_UNMAP_DMA, &request) == 0,
                "VFIO_IOMMU_UNMAP_DMA");
}

} // namespace bench
