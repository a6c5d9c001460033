// SPDX-License-Identifier: MIT
#include "swap_space.hpp"

#include "shell.hpp"

#include <stdexcept>

namespace guest {

swap_space::swap_space() {
    const run_result made =
        shell("/usr/sbin/modprobe zram && echo 128M > /sys/block/zram0/disksize "
              "&& mkswap /dev/zram0 > /dev/null && swapon /dev/zram0");
    if (made.code != 0) {
        throw std::runtime_error(made.output);
    }
}

swap_space::~swap_space() {
    shell("swapoff /dev/zram0; rmmod zram");
}

} // namespace guest
