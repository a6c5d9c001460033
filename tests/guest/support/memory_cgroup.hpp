// SPDX-License-Identifier: MIT
// A group of processes whose memory is counted and limited.
#pragma once

#include <cstdint>
#include <string>

namespace guest {

/// A cgroup of the unified hierarchy, which is mounted for it; removed with the object. There is
/// one at a time, and no process is left in it by then.
class memory_cgroup {
public:
    memory_cgroup();
    memory_cgroup(const memory_cgroup&) = delete;
    memory_cgroup& operator=(const memory_cgroup&) = delete;
    memory_cgroup(memory_cgroup&&) = delete;
    memory_cgroup& operator=(memory_cgroup&&) = delete;
    ~memory_cgroup();

    /// Puts the calling process into it.
    void join() const;

    /// Writes one of its files (memory.max, say).
    void set(const std::string& file, const std::string& value) const;

    /// Has the kernel reclaim so much of its memory, or as much as it can.
    void reclaim(std::uint64_t bytes) const;

    /// A number in memory.stat.
    [[nodiscard]] std::uint64_t stat(const std::string& key) const;

private:
    std::string path_;
};

} // namespace guest
