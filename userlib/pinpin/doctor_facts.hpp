// SPDX-License-Identifier: MIT
// What pinpin doctor looks at. Nothing is judged here: see doctor_findings.hpp.
#pragma once

#include <longpin/device.hpp>
#include <longpin/error.hpp>
#include <longpin/memory_kind.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace pinpin {

struct module_facts {
    std::string kernel; ///< release of the running kernel
    bool loaded = false;
    std::string version;      ///< of the module that is loaded
    bool installed = false;   ///< where modprobe looks for that kernel's modules
    bool in_dkms = false;     ///< DKMS has its source, and builds it for each kernel with headers
    bool secure_boot = false; ///< the firmware says that it is on
};

/// Who runs pinpin.
struct caller_facts {
    std::string name;                          ///< of the user; the number if there is none
    std::vector<std::string> groups;           ///< of the process
    bool sees_all = false;                     ///< the module shows what all users hold
    std::optional<std::uint64_t> memlock_soft; ///< RLIMIT_MEMLOCK in bytes; empty: unlimited
    std::optional<std::uint64_t> memlock_hard;
};

/// The device file.
struct node_facts {
    std::string path;
    bool exists = false;
    mode_t mode = 0;
    std::string owner; ///< a name, or the number if there is none
    std::string group;
    bool caller_is_listed = false;            ///< the group database has the caller in that group
    std::string number;                       ///< "10:124", of the module; "" if it is not loaded
    std::optional<longpin::error> failure;    ///< why it can't be opened and asked
    std::optional<longpin::device_info> info; ///< set if there was no failure
};

/// The netlink family.
struct family_facts {
    std::optional<longpin::error> failure;  ///< why it can't be asked
    std::uint64_t pins_seen = 0;            ///< that the caller may see
    std::optional<std::uint64_t> pins_held; ///< of all users; empty where that is not shown
};

/// What a dry run of a pin for reading said.
struct trial {
    std::optional<longpin::memory_kind> allowed; ///< of these kinds
    std::optional<longpin::error> refused;
    bool leased = false;       ///< of fs-DAX, which is refused: a lease is allowed
    std::string obstacle;      ///< if it is neither: why nothing could be tried
    bool needs_rights = false; ///< the obstacle is a permission
};

/// A namespace of persistent memory.
struct namespace_facts {
    std::string name; ///< "namespace0.0"
    std::string mode; ///< in sysfs's words: raw, memory, dax, safe
    std::uint64_t size = 0;
    bool bound = false;               ///< to a driver
    std::vector<std::string> devices; ///< "pmem0", "dax0.0"
};

/// A device-DAX device.
struct dax_facts {
    std::string name; ///< "dax0.0"
    std::uint64_t size = 0;
    std::uint64_t alignment = 0; ///< of mappings
    std::string driver;          ///< "device_dax", "kmem"; "" if none has it
    trial tried;                 ///< on its first bytes, if device_dax has it
};

/// A file system whose files may be in DAX mode.
struct mount_facts {
    std::string directory;
    std::string type;   ///< "xfs"
    std::string source; ///< "/dev/pmem0"
    std::string option; ///< "dax=always"; "" if it is each file's own choice
    trial tried;        ///< on a temporary file
};

struct facts {
    module_facts module;
    caller_facts caller;
    node_facts node;
    family_facts family;
    std::vector<namespace_facts> namespaces;
    std::vector<std::string> mounted; ///< the sources of all mounts
    std::vector<dax_facts> dax_devices;
    std::vector<mount_facts> dax_mounts;
};

/// Looks at this system. What isn't there or can't be read is missing in the answer, and
/// no reason to fail. Holds nothing afterwards, and leaves no file behind.
/// \param device_path  of the device file
/// \param root         where /sys, /proc, /dev and the mounts are looked for
facts gather(const std::string& device_path, const std::filesystem::path& root = "/");

} // namespace pinpin
