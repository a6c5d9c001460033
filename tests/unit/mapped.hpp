// SPDX-License-Identifier: MIT
#pragma once

#include "fake_kernel.hpp"

#include <cstddef>
#include <cstring>
#include <span>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/// Memory that begins at a page, filled with 1.
class mapped {
public:
    explicit mapped(std::size_t pages)
        : bytes_(static_cast<std::byte*>(::mmap(nullptr, pages * fake_kernel::page_size,
                                                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                                -1, 0)),
                 pages * fake_kernel::page_size) {
        std::memset(bytes_.data(), 1, bytes_.size());
    }
    mapped(const mapped&) = delete;
    mapped& operator=(const mapped&) = delete;
    mapped(mapped&&) = delete;
    mapped& operator=(mapped&&) = delete;
    ~mapped() { ::munmap(bytes_.data(), bytes_.size()); }

    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
    [[nodiscard]] std::span<std::byte> pages(std::size_t first, std::size_t count) const {
        return bytes_.subspan(first * fake_kernel::page_size, count * fake_kernel::page_size);
    }

private:
    std::span<std::byte> bytes_;
};

/// What a child that runs \p work returns with: true as 0.
template <typename Work>
int in_child(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20); // rather than wait for ever
        ::_exit(work() ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}
