// SPDX-License-Identifier: MIT
#include "explain.hpp"

#include <longpin/size.hpp>

#include <fmt/format.h>

#include <cerrno>

#include <linux/longpin.h>

namespace longpin::detail {

std::string explain(const refusal& facts, uid_t user) {
    const std::uint64_t at = facts.bad_address;
    switch (facts.why) {
    case reason::none: return {};
    case reason::zero_length: return "the range is empty; give it at least one byte";
    case reason::wraps:
        return "the range runs past the end of the address space; check its address and length";
    case reason::flags:
        return "the module does not know a flag of the request; load a module as new as the "
               "program's library";
    case reason::reserved:
        return "a reserved member of the request is not zero; clear the whole structure before "
               "filling it in";
    case reason::lease_kernel:
        return "this kernel has no means to take a pin back (it is older than 5.5, or built "
               "without "
               "CONFIG_MMU_NOTIFIER), so there are no leases; use a newer one, or pin without a "
               "lease";
    case reason::lease_only:
        return "a grace and an eventfd are for leases; ask for a lease, or leave them out";
    case reason::eventfd:
        return "the descriptor for events is not that of an eventfd; make one with eventfd()";
    case reason::grace:
        return fmt::format("the module allows a grace of {} ms; ask for no more, or have the "
                           "administrator raise the module parameter max_grace_ms",
                           facts.limit);
    case reason::hole:
        return fmt::format("nothing is mapped at {:#x}; map the whole range first, or pin only "
                           "what is mapped",
                           at);
    case reason::not_readable:
        return fmt::format("the mapping at {:#x} may not be read, by its protection or by this "
                           "thread's protection keys; map it with PROT_READ, and allow it with "
                           "pkey_set()",
                           at);
    case reason::not_writable:
        return fmt::format("the mapping at {:#x} may not be written, by its protection or by this "
                           "thread's protection keys, and the pin is for writing; map it with "
                           "PROT_WRITE, allow it with pkey_set(), or pin it for reading",
                           at);
    case reason::io:
        return fmt::format("the mapping at {:#x} is a device's own address range (VM_IO), not "
                           "memory that could be held; leave it out of the range",
                           at);
    case reason::pfnmap:
        return fmt::format("the mapping at {:#x} has no page structures (VM_PFNMAP), so there is "
                           "nothing to hold; leave it out of the range",
                           at);
    case reason::secretmem:
        return fmt::format("the memory at {:#x} comes from memfd_secret(), which the kernel keeps "
                           "out of everybody's reach; use other memory, from memfd_create() say",
                           at);
    case reason::fault:
        return fmt::format("the page at {:#x} could not be brought in: it may lie beyond the end "
                           "of its file, or memory (huge pages, say) may have run out; check the "
                           "length of the file and what memory is free",
                           at);
    case reason::fsdax:
        return fmt::format("the memory at {:#x} is a file on fs-DAX: its pages are the storage "
                           "itself, and the file system must be able to take them back when the "
                           "file is truncated, so they can't be held for as long as a program "
                           "likes; take a lease (pinpin: --lease), use device-DAX (/dev/daxX.Y), "
                           "or copy the data to anonymous "
                           "or memfd memory and pin that",
                           at);
    case reason::dirty_tracking:
        return fmt::format("the mapping at {:#x} is of a file whose file system must learn of "
                           "every write, and a pin for writing would write behind its back; pin "
                           "it for reading, map it MAP_PRIVATE, or use memfd memory",
                           at);
    case reason::device_gone:
        return fmt::format("the DAX device behind {:#x} is being unbound from its driver; bind it "
                           "again and map it afresh",
                           at);
    case reason::device_page:
        return fmt::format("the memory at {:#x} belongs to a device and is not device-DAX; copy "
                           "the data to ordinary memory and pin that",
                           at);
    case reason::lease_memory:
        return fmt::format("the memory at {:#x} can't be leased: it is a file in the page cache, a "
                           "private mapping of a file, or pages that a driver mapped; pin it "
                           "without a lease, or use anonymous or memfd memory",
                           at);
    case reason::driver_memory:
        return fmt::format("the memory at {:#x} is another driver's, which must know who writes to "
                           "it, and a pin for writing would outlive the mapping by which it does; "
                           "pin it for reading, or use anonymous or memfd memory",
                           at);
    case reason::memlock:
        return fmt::format("RLIMIT_MEMLOCK allows {} for user {}, {} are pinned, {} more were "
                           "asked for; raise the limit (ulimit -l, LimitMEMLOCK=), unpin "
                           "something, or run with CAP_IPC_LOCK",
                           format_size(facts.limit), user, format_size(facts.used),
                           format_size(facts.asked));
    case reason::max_pages:
        return fmt::format("the module allows {} for all users together, {} are kept, {} more "
                           "were asked for; unpin something, or have the administrator raise the "
                           "module parameter max_pages",
                           format_size(facts.limit), format_size(facts.used),
                           format_size(facts.asked));
    case reason::max_user_pages:
        return fmt::format("the module allows {} for user {}, {} are kept, {} more were asked "
                           "for; unpin something, or have the administrator raise the module "
                           "parameter max_user_pages",
                           format_size(facts.limit), user, format_size(facts.used),
                           format_size(facts.asked));
    case reason::max_pins:
        return fmt::format("the module allows {} pins in an open file, and {} are held; unpin "
                           "something, open the device once more, or have the administrator raise "
                           "the module parameter max_pins",
                           facts.limit, facts.used);
    }
    return fmt::format("the module gave a reason that this library does not know ({}); use a "
                       "library as new as the module",
                       static_cast<std::uint32_t>(facts.why));
}

std::string explain(unsigned long request, int errno_value) {
    const bool has_buffer = request == LONGPIN_COPY || request == LONGPIN_EXTENTS;
    const bool has_range = has_buffer || request == LONGPIN_LET_GO || request == LONGPIN_REPIN;
    switch (errno_value) {
    case ENOTTY:
        return "the file is not a longpin device, or its module is older than this library; "
               "check the path and the version of the module";
    case ENOENT:
        return "the open file has no pin of that handle; it was unpinned already, or belongs to "
               "another open file";
    case EINTR: return "signals came again and again meanwhile; try again";
    case EAGAIN:
        return "the memory was mapped anew again and again meanwhile; try again when it is not";
    case ENOMEM:
        return "the kernel had no memory for its records; free some, or raise the limit of the "
               "memory cgroup";
    case EBADF:
        return request == LONGPIN_PIN
                   ? "to pin for writing, the file has to be open for writing; open it O_RDWR"
                   : "the file is not open for that, reading or writing; open it O_RDWR";
    case EPERM:
        if (request == LONGPIN_COPY) {
            return "the pin was made for reading; make one for writing";
        }
        if (request == LONGPIN_REPIN) {
            return "another process made the pin, or this one has called execve() since; make a "
                   "pin of this process's own memory";
        }
        break;
    case ESTALE:
        return "the kernel took a page of it back, and what lies before that was copied; repin() "
               "takes what is mapped there now";
    case EOPNOTSUPP:
        if (request == LONGPIN_REPIN || request == LONGPIN_LET_GO) {
            return "the pin is no lease; make one with pin_options::lease";
        }
        break;
    case EFAULT:
        if (has_buffer) {
            return "the buffer is not memory that the program may use so; check its address and "
                   "length";
        }
        break;
    case EINVAL:
        if (has_range) {
            return "the range is empty or reaches beyond the end of the pin; stay within its "
                   "length";
        }
        [[fallthrough]];
    case E2BIG:
        return "the module does not understand the request; use a library and a module of the "
               "same version";
    default: break;
    }
    return std::generic_category().message(errno_value);
}

std::string explain_map(int errno_value, std::size_t size, bool hugetlb) {
    if (size == 0) {
        return "the buffer is empty; give it at least one byte";
    }
    switch (errno_value) {
    case ENOMEM:
        return hugetlb ? "not so many are free; have the administrator reserve more "
                         "(/sys/kernel/mm/hugepages, or hugepages= on the kernel's command line)"
                       : "there is no room for it; ask for less, or raise what limits the address "
                         "space (ulimit -v, vm.overcommit_memory)";
    case EINVAL:
        if (hugetlb) {
            return "the kernel has no huge pages of that size; take another, or transparent ones";
        }
        break;
    default: break;
    }
    return std::generic_category().message(errno_value);
}

std::string explain_netlink(int errno_value, std::string_view from_kernel) {
    const std::string said =
        from_kernel.empty() ? std::string() : fmt::format(" ({})", from_kernel);
    switch (errno_value) {
    case ENOENT:
        return "the module is not loaded, or is older than this library; load it with 'modprobe "
               "longpin'";
    case ENODEV:
        return "the module was unloaded meanwhile; load it with 'modprobe longpin', and start "
               "afresh";
    case EDQUOT:
        return "this user has as many subscriptions as a user may have; end a program that "
               "listens to the module's events";
    case EPERM:
        return fmt::format("this process may not see it{}; ask outside of containers, or with the "
                           "capability CAP_SYS_ADMIN of the initial user namespace",
                           said);
    case ERANGE:
        return fmt::format("the module has nothing of such a number{}; contexts, handles and pids "
                           "begin at 1",
                           said);
    case EINVAL:
        if (!from_kernel.empty()) {
            return fmt::format("the module refuses the request: {}; ask for something else, or "
                               "use a library and a module of the same version",
                               from_kernel);
        }
        [[fallthrough]];
    case EOPNOTSUPP:
    case EPROTO:
        return fmt::format("the module and this library do not understand each other{}; use a "
                           "library and a module of the same version",
                           said);
    case ENOMEM:
    case ENOBUFS: return "the kernel had no memory for the answer; free some, and try again";
    default: return std::generic_category().message(errno_value) + said;
    }
}

std::string explain_read(int errno_value) {
    switch (errno_value) {
    case EINVAL:
        return "the module is older than this library and knows no leases, or the buffer is empty; "
               "load a newer module, or give the buffer room for one event";
    case EPROTO: return "the module's answer makes no sense; report this";
    case ENOMEM: return "the kernel had no memory for it; free some, and try again";
    default: return std::generic_category().message(errno_value);
    }
}

std::string explain_generation(int errno_value) {
    switch (errno_value) {
    case EINVAL:
    case ENODEV:
        return "the file is not a longpin device, or its module is older than this library and "
               "knows no leases; check the path and the version of the module";
    case ENOMEM:
        return "the process may map no more; unmap something, or have the administrator raise "
               "vm.max_map_count";
    default: return std::generic_category().message(errno_value);
    }
}

std::string explain_open(const std::string& path, int errno_value) {
    switch (errno_value) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return "there is no such device; load the module with 'modprobe longpin', or check the "
               "path";
    case EACCES:
    case EPERM:
        return fmt::format("this user may not; {} is for root, and for those whom its group and "
                           "mode let in: 'pinpin doctor' tells who may, and how to become one",
                           path);
    default: return std::generic_category().message(errno_value);
    }
}

} // namespace longpin::detail
