// SPDX-License-Identifier: MIT
#include "memory_cgroup.hpp"

#include "raw_device.hpp"
#include "system_state.hpp"

#include <cerrno>
#include <sys/mount.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace guest {

namespace {

const std::string root = "/run/longpin/cgroup";

} // namespace

memory_cgroup::memory_cgroup() : path_(root + "/test") {
    ::mkdir(root.c_str(), 0755);
    must(::mount("none", root.c_str(), "cgroup2", 0, nullptr) == 0, "mount of cgroup2");
    must(write_line(root + "/cgroup.subtree_control", "+memory") == 0, "cgroup.subtree_control");
    must(::mkdir(path_.c_str(), 0755) == 0, "mkdir of a cgroup");
}

memory_cgroup::~memory_cgroup() {
    ::rmdir(path_.c_str());
    ::umount(root.c_str());
}

void memory_cgroup::join() const {
    set("cgroup.procs", std::to_string(::getpid()));
}

void memory_cgroup::set(const std::string& file, const std::string& value) const {
    must(write_line(path_ + "/" + file, value) == 0, "write to a file of a cgroup");
}

void memory_cgroup::reclaim(std::uint64_t bytes) const {
    const int err = write_line(path_ + "/memory.reclaim", std::to_string(bytes));
    if (err != 0 && err != EAGAIN) {
        throw std::system_error(err, std::generic_category(), "memory.reclaim");
    }
}

std::uint64_t memory_cgroup::stat(const std::string& key) const {
    return static_cast<std::uint64_t>(number_after(path_ + "/memory.stat", key));
}

} // namespace guest
