// SPDX-License-Identifier: MIT
#include "bpf_array.hpp"

#include "system_state.hpp"

#include <cerrno>
#include <cstdint>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace guest {

namespace {

long bpf(int command, bpf_attr& arguments) {
    return ::syscall(SYS_bpf, command, &arguments, sizeof(arguments));
}

} // namespace

// NOLINTBEGIN(cppcoreguidelines-pro-type-union-access): as the interface is
file mappable_array(std::size_t length) {
    bpf_attr wanted{};
    wanted.map_type = BPF_MAP_TYPE_ARRAY;
    wanted.key_size = 4;
    wanted.value_size = page;
    wanted.max_entries = static_cast<std::uint32_t>(length / page);
    wanted.map_flags = BPF_F_MMAPABLE;
    file array(static_cast<int>(bpf(BPF_MAP_CREATE, wanted)));
    must(array.get() >= 0, "BPF_MAP_CREATE");
    return array;
}

int freeze(const file& array) {
    bpf_attr wanted{};
    wanted.map_fd = static_cast<std::uint32_t>(array.get());
    return bpf(BPF_MAP_FREEZE, wanted) == 0 ? 0 : errno;
}

// NOLINTEND(cppcoreguidelines-pro-type-union-access)

} // namespace guest
