// SPDX-License-Identifier: MIT
#include "doctor_findings.hpp"

#include <longpin/size.hpp>
#include <longpin/version.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <sys/stat.h>

namespace pinpin {

namespace {

using enum severity;
using longpin::format_size;

const char* const load = "modprobe longpin";
const char* const reload = "rmmod longpin && modprobe longpin";

/// What the library says of a failure, without what was attempted.
std::string explanation(const longpin::error& failure) {
    const std::string sentence = failure.what();
    const std::size_t before = fmt::format("cannot {}: ", failure.attempted()).size();
    return sentence.substr(std::min(before, sentence.size()));
}

/// By DKMS or from the source, if need be.
std::string command_that_loads(const module_facts& module) {
    if (module.installed) {
        return load;
    }
    return module.in_dkms ? fmt::format("apt install linux-headers-{} && dkms autoinstall && {}",
                                        module.kernel, load)
                          : fmt::format("make modules_install KDIR=/lib/modules/{}/build && {}",
                                        module.kernel, load);
}

/// How a user gets into a group. What a process may do is settled when its user logs in.
std::string command_that_joins(const std::string& group, const std::string& user) {
    return fmt::format("usermod -aG {} {} # then log in again", group, user);
}

finding judge_module(const module_facts& module) {
    if (module.loaded) {
        if (module.version == longpin::version()) {
            return {"module", ok, fmt::format("longpin {} is loaded", module.version)};
        }
        return {"module", note,
                fmt::format("longpin {} is loaded, and this pinpin is {}",
                            module.version.empty() ? "of an unknown version" : module.version,
                            longpin::version()),
                reload};
    }
    return {"module", problem,
            module.installed
                ? "longpin is installed, but not loaded"
                : fmt::format("longpin is neither loaded nor installed for the running kernel, {}",
                              module.kernel),
            command_that_loads(module)};
}

/// Only of interest while the module isn't loaded.
finding judge_signature() {
    return {"Secure Boot", note,
            "it is on, so the kernel loads only modules whose signature it can check. If modprobe "
            "says that the key was rejected, let the firmware know the key that DKMS signs with; "
            "the next boot asks for the password that you give here",
            "mokutil --import /var/lib/dkms/mok.pub"};
}

/// Who may open the device, in words and as ls shows it.
std::string who_may(const node_facts& node) {
    const auto may = [&](mode_t bits) { return (node.mode & bits) == bits; };
    std::vector<std::string> who;
    if (may(S_IROTH | S_IWOTH)) {
        who.emplace_back("everybody");
    } else {
        if (may(S_IRGRP | S_IWGRP)) {
            who.push_back("the group " + node.group);
        }
        who.push_back("the user " + node.owner);
    }
    return fmt::format("{} (mode {:04o}, {}:{})", fmt::join(who, " and "), node.mode & 07777U,
                       node.owner, node.group);
}

std::string command_that_admits(const node_facts& node, const caller_facts& caller) {
    const bool group_may = (node.mode & (S_IRGRP | S_IWGRP)) == (S_IRGRP | S_IWGRP);
    const bool is_in_it = std::ranges::find(caller.groups, node.group) != caller.groups.end();
    if (!group_may || node.group == "root" || is_in_it) {
        return fmt::format("groupadd -rf dma && "
                           "echo 'KERNEL==\"longpin\", GROUP=\"dma\", MODE=\"0660\"' "
                           ">/etc/udev/rules.d/61-longpin-dma.rules && udevadm control --reload && "
                           "udevadm trigger {} && {}",
                           node.path, command_that_joins("dma", caller.name));
    }
    return node.caller_is_listed ? "newgrp " + node.group
                                 : command_that_joins(node.group, caller.name);
}

finding judge_node(const facts& seen) {
    const node_facts& node = seen.node;
    if (node.info) {
        return {"device", ok,
                fmt::format("you may open {}; it is for {}", node.path, who_may(node))};
    }
    if (!node.exists) {
        if (!seen.module.loaded) {
            return {"device", problem,
                    fmt::format("there is no {}, since the module is not loaded", node.path),
                    command_that_loads(seen.module)};
        }
        std::string number = node.number.substr(0, node.number.find('\n'));
        std::ranges::replace(number, ':', ' ');
        return {"device", problem,
                fmt::format("the module is loaded, but there is no {}: a container that was not "
                            "given it, or /dev is no devtmpfs",
                            node.path),
                fmt::format("mknod -m 0600 {} c {}", node.path, number)};
    }
    const int failed = node.failure->code().value();
    if (failed == EACCES) {
        return {"device", problem,
                fmt::format("you ({}) may not open {}; it is for {}", seen.caller.name, node.path,
                            who_may(node)),
                command_that_admits(node, seen.caller)};
    }
    finding result{"device", problem, node.failure->what()};
    if (failed == ENXIO || failed == ENODEV) {
        result.mend = command_that_loads(seen.module);
    } else if (failed == ENOTTY && seen.module.loaded) {
        result.mend = reload;
    }
    return result;
}

std::string command_that_raises_memlock(const caller_facts& caller) {
    if (caller.memlock_soft && caller.memlock_soft != caller.memlock_hard) {
        return "ulimit -S -l $(ulimit -H -l)";
    }
    return fmt::format("echo '{} - memlock unlimited' >>/etc/security/limits.d/longpin.conf "
                       "# then log in again",
                       caller.name);
}

/// \p unlimited: the sentence when there is no limit. \p least: what a pin takes of it.
finding judge_limit(const char* name, const longpin::usage& usage, const std::string& unlimited,
                    std::uint64_t least, std::string mend) {
    const auto show = [&](std::uint64_t amount) {
        return least == 1 ? std::to_string(amount) : format_size(amount);
    };
    if (!usage.limit) {
        return {name, ok, fmt::format("{}; used: {}", unlimited, show(usage.used))};
    }
    const std::uint64_t left = *usage.limit > usage.used ? *usage.limit - usage.used : 0;
    finding result{name, ok,
                   fmt::format("limit {}, used {}, left {}", show(*usage.limit), show(usage.used),
                               show(left))};
    if (left < least) {
        result.state = problem;
        result.mend = std::move(mend);
    }
    return result;
}

void judge_limits(const facts& seen, std::vector<finding>& findings) {
    const caller_facts& caller = seen.caller;
    if (!seen.node.info) {
        findings.push_back(
            {"RLIMIT_MEMLOCK", note,
             fmt::format("limit {}; only the device tells what is left of it",
                         caller.memlock_soft ? format_size(*caller.memlock_soft) : "unlimited")});
        return;
    }
    const longpin::device_info& info = *seen.node.info;
    const auto parameter = [](const char* name, std::uint64_t value) {
        return fmt::format("echo {} >/sys/module/longpin/parameters/{}", value, name);
    };
    findings.push_back(judge_limit("RLIMIT_MEMLOCK", info.memlock,
                                   "does not bind you (unlimited, or CAP_IPC_LOCK)", info.page_size,
                                   command_that_raises_memlock(caller)));
    findings.push_back(judge_limit("max_user_pages", info.user_pinned, "one user has no limit",
                                   info.page_size, parameter("max_user_pages", 0)));
    findings.push_back(judge_limit("max_pages", info.pinned, "all users together have no limit",
                                   info.page_size, parameter("max_pages", 0)));
    static constexpr std::uint64_t usual_pins = std::uint64_t{1} << 20U;
    findings.push_back(judge_limit("max_pins", info.pins, "one open file has no limit", 1,
                                   parameter("max_pins", usual_pins)));
}

finding judge_family(const facts& seen) {
    const family_facts& family = seen.family;
    if (family.failure) {
        if (!seen.module.loaded) {
            return {"netlink", note, "not tried: the module is not loaded",
                    command_that_loads(seen.module)};
        }
        finding result{"netlink", problem, family.failure->what()};
        if (family.failure->code() == std::errc::no_such_file_or_directory) {
            result.sentence = "the module that is loaded has no netlink family: it is older than "
                              "this pinpin";
            result.mend = reload;
        }
        return result;
    }
    if (seen.caller.sees_all) {
        return {"netlink", ok,
                fmt::format("you see the pins of all users: {} now", family.pins_seen)};
    }
    if (!family.pins_held) {
        return {"netlink", note,
                fmt::format("you see the pins of the user {} in this container alone: {} now",
                            seen.caller.name, family.pins_seen)};
    }
    return {"netlink", note,
            fmt::format("you see the pins of the user {} alone: {} of {} now", seen.caller.name,
                        family.pins_seen, *family.pins_held),
            "sudo pinpin list"};
}

finding judge_leases(const facts& seen) {
    if (!seen.node.info) {
        return {"leases", note, "not tried: only the device tells"};
    }
    const longpin::device_info& info = *seen.node.info;
    if (info.leases) {
        return {"leases", ok,
                fmt::format("this kernel and longpin {} have them: pins that the kernel may take "
                            "back, with a grace of at most {} ms",
                            info.version, info.max_grace.count())};
    }
    return {"leases", note,
            fmt::format("none: the kernel {} has no means for them (it is older than 5.5, or built "
                        "without CONFIG_MMU_NOTIFIER), or longpin {} is older than leases; so "
                        "memory that a file system may take back is refused",
                        seen.module.kernel, info.version)};
}

/// What came of a dry run. \p what is "a pin of ...".
finding judge_trial(const facts& seen, const std::string& check, const std::string& what,
                    const trial& tried) {
    if (tried.allowed) {
        return {check, ok,
                fmt::format("{} is allowed (kind of memory: {})", what,
                            fmt::join(longpin::names(*tried.allowed), ", "))};
    }
    if (!tried.refused) {
        finding result{check, note, fmt::format("{}: not tried: {}", what, tried.obstacle)};
        if (tried.needs_rights) {
            result.mend = "sudo pinpin doctor";
        }
        return result;
    }
    finding result{check, problem,
                   fmt::format("{} is refused: {}", what, explanation(*tried.refused))};
    switch (tried.refused->reason()) {
    case longpin::reason::fsdax:
        result.state = note;
        result.sentence = what + " is refused: on fs-DAX the pages are the storage itself, and "
                                 "the file system must be able to take them back";
        if (tried.leased) {
            result.sentence += "; a lease is allowed (pinpin hold --lease)";
        }
        break;
    case longpin::reason::memlock: result.mend = command_that_raises_memlock(seen.caller); break;
    default: break;
    }
    return result;
}

finding judge_namespace(const namespace_facts& space, const std::vector<std::string>& mounted) {
    const std::string size = format_size(space.size);
    if (!space.bound) {
        return {space.name, note, fmt::format("{}, disabled: no driver has it", size),
                "ndctl enable-namespace " + space.name};
    }
    const std::string devices = fmt::format("{}", fmt::join(space.devices, ", "));
    if (space.mode == "dax") {
        return {space.name, ok, fmt::format("{}, for device-DAX: {}", size, devices)};
    }
    const std::string convert =
        fmt::format("ndctl create-namespace -f -m devdax -e {} # erases it", space.name);
    if (space.mode != "memory") {
        return {space.name, note,
                fmt::format("{}, in {} mode, without DAX: {}", size, space.mode, devices), convert};
    }
    // Of a device, its partitions too.
    const bool in_use = std::ranges::any_of(mounted, [&](const std::string& source) {
        return std::ranges::any_of(space.devices, [&](const std::string& device) {
            return source == "/dev/" + device || source.starts_with("/dev/" + device + 'p');
        });
    });
    finding result{space.name, ok, fmt::format("{}, for file systems: {}", size, devices)};
    if (!in_use) {
        result.state = note;
        result.sentence += "; not mounted, so what a pin of a file would say was not tried";
        result.mend = space.devices.empty()
                          ? convert
                          : fmt::format("mount -o dax /dev/{} /mnt", space.devices.front());
    }
    return result;
}

finding judge_dax(const facts& seen, const dax_facts& device) {
    const std::string size = format_size(device.size);
    if (device.driver.empty()) {
        return {device.name, note, fmt::format("{}, disabled: no driver has it", size),
                "daxctl enable-device " + device.name};
    }
    if (device.driver != "device_dax") {
        return {device.name, note,
                fmt::format("{}, in use as system memory (driver {})", size, device.driver),
                "daxctl reconfigure-device -f -m devdax " + device.name};
    }
    return judge_trial(
        seen, device.name,
        fmt::format("{} of device-DAX: a pin of its first {}", size, format_size(device.alignment)),
        device.tried);
}

finding judge_mount(const facts& seen, const mount_facts& mount) {
    finding result =
        judge_trial(seen, mount.directory,
                    fmt::format("{} on {} with {}: a pin of a new file", mount.type, mount.source,
                                mount.option.empty() ? "DAX if a file says so" : mount.option),
                    mount.tried);
    if (mount.tried.refused && mount.tried.refused->reason() == longpin::reason::fsdax) {
        result.mend =
            fmt::format("umount {0} && mount -o dax=never {1} {0}", mount.directory, mount.source);
    }
    return result;
}

} // namespace

std::string_view name(severity how_bad) noexcept {
    switch (how_bad) {
    case ok: return "ok";
    case note: return "note";
    case problem: break;
    }
    return "problem";
}

std::vector<finding> examine(const facts& seen) {
    std::vector<finding> result{judge_module(seen.module)};
    if (seen.module.secure_boot && !seen.module.loaded) {
        result.push_back(judge_signature());
    }
    result.push_back(judge_node(seen));
    judge_limits(seen, result);
    result.push_back(judge_family(seen));
    result.push_back(judge_leases(seen));
    for (const namespace_facts& space : seen.namespaces) {
        result.push_back(judge_namespace(space, seen.mounted));
    }
    for (const dax_facts& device : seen.dax_devices) {
        result.push_back(judge_dax(seen, device));
    }
    for (const mount_facts& mount : seen.dax_mounts) {
        result.push_back(judge_mount(seen, mount));
    }
    if (seen.namespaces.empty() && seen.dax_devices.empty() && seen.dax_mounts.empty()) {
        result.push_back(
            {"persistent memory", ok, "none, and neither a DAX device nor a DAX mount"});
    }
    return result;
}

} // namespace pinpin
