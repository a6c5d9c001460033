// SPDX-License-Identifier: MIT
#include "doctor_facts.hpp"

#include "arguments.hpp"
#include "descriptor.hpp"
#include "mapping.hpp"
#include "users.hpp"

#include <longpin/inventory.hpp>
#include <longpin/size.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace pinpin {

namespace {

namespace fs = std::filesystem;

/// Where a path of the system lies.
fs::path at(const fs::path& root, const fs::path& path) {
    return path.is_absolute() ? root / path.relative_path() : path;
}

/// "" if it can't be read.
std::string first_line(const fs::path& file) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    return line;
}

/// 0 if it can't be read.
std::uint64_t number_in(const fs::path& file) {
    return longpin::parse_size(first_line(file)).value_or(0);
}

/// The name of what a link leads to; "" if there is no such link.
std::string link_target(const fs::path& link) {
    std::error_code ignored;
    return fs::read_symlink(link, ignored).filename();
}

/// What a directory holds, in the order of their numbers; nothing if there is no directory.
std::vector<std::string> names_in(const fs::path& directory, std::string_view prefix) {
    std::vector<std::string> result;
    std::error_code failed;
    for (fs::directory_iterator entry(directory, failed), end; !failed && entry != end;
         entry.increment(failed)) {
        std::string name = entry->path().filename();
        if (name.starts_with(prefix)) {
            result.push_back(std::move(name));
        }
    }
    std::ranges::sort(result, [](const std::string& left, const std::string& right) {
        return ::strverscmp(left.c_str(), right.c_str()) < 0;
    });
    return result;
}

std::string group_name(gid_t group) {
    const ::group* const entry = ::getgrgid(group); // NOLINT(concurrency-mt-unsafe)
    return entry != nullptr ? entry->gr_name : std::to_string(group);
}

/// Whether the group database has the user in the group.
bool lists(gid_t group, const std::string& user) {
    const ::group* const entry = ::getgrgid(group); // NOLINT(concurrency-mt-unsafe)
    if (entry == nullptr) {
        return false;
    }
    for (char** member = entry->gr_mem; *member != nullptr; ++member) { // NOLINT: a list in C
        if (*member == user) {
            return true;
        }
    }
    return false;
}

module_facts look_at_module(const fs::path& root) {
    module_facts result;
    struct utsname system {};
    ::uname(&system);
    result.kernel = system.release; // NOLINT(*-array-to-pointer-decay, *-no-array-decay)
    result.version = first_line(root / "sys/module/longpin/version");
    std::error_code ignored;
    result.loaded = fs::exists(root / "sys/module/longpin", ignored);

    // Each line: a module's path, a colon, and what it depends on.
    std::ifstream modules(root / "lib/modules" / result.kernel / "modules.dep");
    for (std::string line; !result.installed && std::getline(modules, line);) {
        const std::string file = fs::path(line.substr(0, line.find(':'))).filename();
        result.installed = file == "longpin.ko" || file.starts_with("longpin.ko.");
    }
    result.in_dkms = fs::exists(root / "var/lib/dkms/longpin", ignored);
    // UEFI specification, "Globally Defined Variables"; before the value there are 4 bytes of
    // efivarfs.
    const std::string variable = first_line(
        root / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    result.secure_boot = variable.size() == 5 && variable.back() == 1;
    return result;
}

std::optional<std::uint64_t> limit(rlim_t value) {
    return value == RLIM_INFINITY ? std::nullopt : std::optional<std::uint64_t>(value);
}

caller_facts look_at_caller() {
    caller_facts result;
    result.name = user_names().of(::geteuid());
    std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
    ::getgroups(static_cast<int>(groups.size()), groups.data());
    groups.push_back(::getegid());
    std::ranges::transform(groups, std::back_inserter(result.groups), group_name);
    result.sees_all = sees_all_users();
    rlimit memlock{};
    ::getrlimit(RLIMIT_MEMLOCK, &memlock);
    result.memlock_soft = limit(memlock.rlim_cur);
    result.memlock_hard = limit(memlock.rlim_max);
    return result;
}

node_facts look_at_node(const std::string& path, const std::string& user, const fs::path& root,
                        const longpin::result<longpin::device>& device) {
    node_facts result;
    result.path = path;
    result.number = first_line(root / "sys/class/misc/longpin/dev");
    struct stat status {};
    if (::stat(at(root, path).c_str(), &status) == 0) {
        result.exists = true;
        result.mode = status.st_mode;
        result.owner = user_names().of(status.st_uid);
        result.group = group_name(status.st_gid);
        result.caller_is_listed = lists(status.st_gid, user);
    }
    if (!device) {
        result.failure = device.error();
    } else if (const auto info = device->try_info()) {
        result.info = *info;
    } else {
        result.failure = info.error();
    }
    return result;
}

family_facts look_at_family() {
    family_facts result;
    const auto inventory = longpin::inventory::try_open();
    if (!inventory) {
        result.failure = inventory.error();
        return result;
    }
    const auto seen = inventory->try_for_each_pin(
        {}, [&](const longpin::pin_record& /*pin*/) { ++result.pins_seen; });
    const auto sums = inventory->try_statistics();
    if (!seen) {
        result.failure = seen.error();
    } else if (sums) {
        result.pins_held = sums->pins;
    } else if (sums.error().code() != std::errc::operation_not_permitted) {
        result.failure = sums.error();
    }
    return result;
}

/// Asks whether a file's first bytes may be pinned for reading.
trial try_file(const longpin::device* device, const std::string& path, std::uint64_t length) {
    trial result;
    if (device == nullptr) {
        result.obstacle = "the longpin device can't be asked";
        return result;
    }
    try {
        const mapping memory({.file = path, .length = byte_count{length}});
        const auto answer = device->try_check(memory.range());
        if (answer) {
            result.allowed = answer->kinds;
        } else if (answer.error().reason() != longpin::reason::none) {
            result.refused = answer.error();
            result.leased = answer.error().reason() == longpin::reason::fsdax &&
                            device->try_check(memory.range(), {.lease = true});
        } else {
            result.obstacle = answer.error().what();
        }
    } catch (const std::system_error& failed) {
        result.obstacle = failed.what();
        result.needs_rights = failed.code() == std::errc::permission_denied ||
                              failed.code() == std::errc::operation_not_permitted;
    } catch (const std::runtime_error& failed) {
        result.obstacle = failed.what();
    }
    return result;
}

std::vector<namespace_facts> look_at_namespaces(const fs::path& root) {
    const fs::path bus = root / "sys/bus/nd/devices";
    std::vector<namespace_facts> result;
    for (const std::string& name : names_in(bus, "namespace")) {
        const fs::path own = bus / name;
        namespace_facts one{
            .name = name, .mode = first_line(own / "mode"), .size = number_in(own / "size")};
        if (one.size == 0) {
            continue; // where the kernel would make the next one
        }
        // What makes page structures or sectors of it, if anything, and has the driver then.
        const std::string holder = first_line(own / "holder");
        const fs::path user = holder.empty() ? own : bus / holder;
        one.bound = !link_target(user / "driver").empty();
        one.devices = names_in(user / "block", "");
        std::ranges::move(names_in(user, "dax"), std::back_inserter(one.devices));
        std::erase(one.devices, "dax_region");
        result.push_back(std::move(one));
    }
    return result;
}

std::vector<dax_facts> look_at_dax_devices(const fs::path& root, const longpin::device* device) {
    const fs::path bus = root / "sys/bus/dax/devices";
    std::vector<dax_facts> result;
    for (const std::string& name : names_in(bus, "dax")) {
        const fs::path own = bus / name;
        dax_facts one{.name = name,
                      .size = number_in(own / "size"),
                      .alignment = number_in(own / "align"),
                      .driver = link_target(own / "driver")};
        if (one.driver == "device_dax") {
            one.tried =
                try_file(device, root / "dev" / name, std::max<std::uint64_t>(one.alignment, 1));
        }
        result.push_back(std::move(one));
    }
    return result;
}

/// What /proc/self/mountinfo says of a mount.
struct mount_line {
    std::string device; ///< "259:1"
    std::string directory;
    std::string type;
    std::string source;
    std::string options; ///< of the file system
};

/// Blanks and the like are written as \040 there.
std::string unescaped(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        static constexpr std::size_t digits = 3;
        if (text[i] == '\\' && i + digits < text.size()) {
            const std::string octal(text.substr(i + 1, digits));
            result += static_cast<char>(std::strtoul(octal.c_str(), nullptr, 8));
            i += digits;
        } else {
            result += text[i];
        }
    }
    return result;
}

std::vector<mount_line> list_mounts(const fs::path& root) {
    std::vector<mount_line> result;
    std::ifstream stream(root / "proc/self/mountinfo");
    for (std::string line; std::getline(stream, line);) {
        mount_line one;
        std::string ignored;
        std::istringstream words(line);
        words >> ignored >> ignored >> one.device >> ignored >> one.directory >> ignored;
        while (words >> ignored && ignored != "-") {
        }
        if (words >> one.type >> one.source >> one.options) {
            one.directory = unescaped(one.directory);
            one.source = unescaped(one.source);
            result.push_back(std::move(one));
        }
    }
    return result;
}

/// The option by which a file system is in DAX mode; "" if there is none.
std::string dax_option(const std::string& options) {
    std::istringstream stream(options);
    for (std::string one; std::getline(stream, one, ',');) {
        if (one == "dax" || one.starts_with("dax=")) {
            return one;
        }
    }
    return {};
}

/// Whether that block device, or the one that it is a part of, can do DAX.
bool can_do_dax(const std::string& device, const fs::path& root) {
    const fs::path own = root / "sys/dev/block" / device;
    return number_in(own / "queue/dax") != 0 || number_in(own / "../queue/dax") != 0;
}

/// A new file without a name.
descriptor temporary_file(const std::string& directory) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    descriptor nameless(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (nameless.get() >= 0 || (errno != EOPNOTSUPP && errno != EISDIR)) {
        return nameless;
    }
    std::string path = directory + "/.pinpin-XXXXXX";
    descriptor named(::mkostemp(path.data(), O_CLOEXEC));
    if (named.get() >= 0) {
        ::unlink(path.c_str());
    }
    return named;
}

trial try_mount(const longpin::device* device, const mount_line& mount, const fs::path& root) {
    const std::string directory = at(root, mount.directory);
    const auto page_size = static_cast<std::uint64_t>(::getpagesize());
    const auto failed = [&](const char* attempted) {
        trial result;
        result.needs_rights = errno == EACCES || errno == EPERM;
        result.obstacle =
            std::system_error(errno, std::generic_category(), attempted + mount.directory).what();
        return result;
    };
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0) {
        return failed("cannot look at ");
    }
    if (std::to_string(::major(status.st_dev)) + ':' + std::to_string(::minor(status.st_dev)) !=
        mount.device) {
        trial result;
        result.obstacle = "another mount hides it";
        return result;
    }
    const descriptor file = temporary_file(directory);
    if (file.get() < 0 || ::ftruncate(file.get(), static_cast<off_t>(page_size)) != 0) {
        return failed("cannot make a temporary file in ");
    }
    return try_file(device, "/proc/self/fd/" + std::to_string(file.get()), page_size);
}

std::vector<mount_facts> look_at_dax_mounts(const std::vector<mount_line>& mounts,
                                            const fs::path& root, const longpin::device* device) {
    std::vector<mount_facts> result;
    std::vector<std::string> seen; // a file system may be mounted in many places
    for (const mount_line& mount : mounts) {
        const std::string option = dax_option(mount.options);
        const bool may_be = option.empty() ? can_do_dax(mount.device, root) : option != "dax=never";
        if (!may_be || std::ranges::find(seen, mount.device) != seen.end()) {
            continue;
        }
        seen.push_back(mount.device);
        result.push_back({.directory = mount.directory,
                          .type = mount.type,
                          .source = mount.source,
                          .option = option,
                          .tried = try_mount(device, mount, root)});
    }
    return result;
}

} // namespace

facts gather(const std::string& device_path, const std::filesystem::path& root) {
    facts result;
    result.module = look_at_module(root);
    result.caller = look_at_caller();
    const auto opened = longpin::device::try_open(at(root, device_path));
    result.node = look_at_node(device_path, result.caller.name, root, opened);
    const longpin::device* const device = result.node.info ? &*opened : nullptr;
    result.family = look_at_family();
    result.namespaces = look_at_namespaces(root);
    result.dax_devices = look_at_dax_devices(root, device);
    const std::vector<mount_line> mounts = list_mounts(root);
    std::ranges::transform(mounts, std::back_inserter(result.mounted), &mount_line::source);
    result.dax_mounts = look_at_dax_mounts(mounts, root, device);
    return result;
}

} // namespace pinpin
