// SPDX-License-Identifier: MIT
// The kernel's other long-term pinners. Each registers memory as its own users do.
#pragma once

#include "mapping.hpp"

#include <memory>
#include <span>
#include <sys/uio.h>

struct ibv_context;
struct ibv_mr;
struct ibv_pd;

namespace guest {

/// Whether a device may only read the memory, or write to it too.
enum class direction { read, write };

/// Loads the modules of RDMA and V4L2 and makes their devices (tests/guest/peers). Throws if that
/// fails.
void add_peer_devices();

/// Takes them away again. False if they were still in use: by memory that a peer holds, say.
bool remove_peer_devices();

/// RDMA memory regions, on a device made of software (rxe).
class rdma_peer {
public:
    rdma_peer();

    /// ibv_reg_mr(3): the region, or null and errno says why.
    [[nodiscard]] ibv_mr* add_region(void* address, std::size_t length, direction wanted) const;

    static void remove_region(ibv_mr* region);

    /// Registers the memory and gives it back: 0 or the errno.
    [[nodiscard]] int try_to_register(const mapping& memory, direction wanted) const;

private:
    std::unique_ptr<ibv_context, int (*)(ibv_context*)> device_;
    std::unique_ptr<ibv_pd, int (*)(ibv_pd*)> domain_;
};

/// io_uring's fixed buffers, which are always for reading and writing.
class io_uring_peer {
public:
    io_uring_peer();

    /// IORING_REGISTER_BUFFERS: 0 or the errno.
    [[nodiscard]] int add_buffers(std::span<const iovec> buffers) const;

    /// IORING_UNREGISTER_BUFFERS. Closing the ring would give the pages back too, but some time
    /// later.
    void remove_buffers() const;

    /// Registers the memory and gives it back: 0 or the errno.
    [[nodiscard]] int try_to_register(const mapping& memory) const;

private:
    file ring_;
};

/// VIDIOC_QBUF of a buffer in the user's memory: 0 or the errno. vivid's screen reads it, its
/// camera writes to it.
int try_v4l2(const mapping& memory, direction wanted);

} // namespace guest
