// SPDX-License-Identifier: MIT
// Memory of every kind that the contract speaks of.
#pragma once

#include "raw_device.hpp"
#include "system_state.hpp"

#include <cstdint>
#include <linux/fiemap.h>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace guest {

/// Owns a mapping.
class mapping {
public:
    mapping() = default;

    /// mmap(2); throws if it fails.
    mapping(std::size_t length, int protection, int flags, int descriptor = -1, off_t offset = 0);

    mapping(const mapping&) = delete;
    mapping& operator=(const mapping&) = delete;
    mapping(mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)), length_(other.length_),
          before_(other.before_), behind_(other.behind_) {}
    mapping& operator=(mapping&& other) noexcept {
        std::swap(address_, other.address_);
        std::swap(length_, other.length_);
        std::swap(before_, other.before_);
        std::swap(behind_, other.behind_);
        return *this;
    }
    ~mapping() { unmap(); }

    /// Private memory, with something around it that the kernel doesn't join with it. Where it
    /// divides a mapping, leases on the 2 MiB to either side are taken back, be there a huge page
    /// or not: what is beside would be unmapped at the expense of this.
    static mapping anonymous(std::size_t length) { return guarded(length, page); }
    static mapping shared_anonymous(std::size_t length);

    /// Anonymous memory, aligned to 2 MiB, not touched yet; \p advice is of madvise(2).
    static mapping advised(std::size_t length, int advice);

    /// Anonymous memory in single pages, filled.
    static mapping small(std::size_t length);

    /// Transparent huge pages, filled, aligned, and really huge; throws if they are not. \p length
    /// is a multiple of 2 MiB.
    static mapping huge(std::size_t length);

    /// Shared memory, filled, in which no page follows on the one before it: a run each.
    static mapping runs(std::size_t pages);

    [[nodiscard]] std::byte* data() const { return address_; }
    [[nodiscard]] std::byte* at(std::size_t offset) const { return address_ + offset; }
    [[nodiscard]] std::size_t length() const { return length_; }

    template <typename T>
    [[nodiscard]] T* as() const {
        return reinterpret_cast<T*>(address_);
    }

    /// Whether the 2 MiB there, which is aligned, is one huge page, or part of a larger one.
    [[nodiscard]] bool is_huge(std::size_t offset) const;

    /// Writes a pattern that tells every 8 bytes from every other.
    void fill(std::uint64_t seed = 1) const;

    void unmap();

    /// Forgets the mapping, which lives on or was moved.
    void release() { address_ = nullptr; }

    /// Keeps the first bytes of the mapping, unmaps the rest, and leaves this object empty.
    mapping keep(std::size_t length);

    void unmap_part(std::size_t offset, std::size_t length) const;
    void protect(int protection) const;

private:
    static mapping guarded(std::size_t length, std::size_t alignment);

    std::byte* address_ = nullptr;
    std::size_t length_ = 0;
    std::size_t before_ = 0, behind_ = 0; // what else is unmapped with it
};

/// What fill() writes at an offset, a multiple of 8.
std::uint64_t pattern(std::uint64_t seed, std::uint64_t offset);

/// Whether \p length bytes at \p memory are what fill() wrote from \p offset on.
bool has_pattern(const void* memory, std::size_t length, std::uint64_t offset = 0,
                 std::uint64_t seed = 1);

/// A new file of that size below a directory, already unlinked.
file temporary_file(const std::string& directory, std::size_t size);

/// Where a file's data lies on its block device; no more than some hundred pieces of it.
std::vector<fiemap_extent> places_of(const file& data);

/// A path that the harness prepared (see /run/longpin/backings). Throws if it is not there: all of
/// the layout is.
std::string backing(const std::string& name);
bool has_backing(const std::string& name);

/// "dax0.0" of a device-DAX backing's "/dev/dax0.0".
std::string dax_name(const std::string& name);

/// The driver of device-DAX in sysfs, where such a name is bound and unbound: a folder.
inline const std::string dax_driver = "/sys/bus/dax/drivers/device_dax/";

/// Whole device-DAX mapping of a backing, as large as \p length rounded up to its alignment.
mapping map_devdax(const std::string& name, std::size_t length);

} // namespace guest
