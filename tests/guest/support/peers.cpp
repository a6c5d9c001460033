// SPDX-License-Identifier: MIT
#include "peers.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <linux/io_uring.h>
#include <linux/videodev2.h>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <system_error>
#include <unistd.h>

namespace guest {

namespace {

ibv_context* open_rdma_device() {
    int count = 0;
    const std::unique_ptr<ibv_device*, void (*)(ibv_device**)> devices(
        ::ibv_get_device_list(&count), ::ibv_free_device_list);
    must(devices != nullptr, "ibv_get_device_list");
    if (count != 1) {
        throw std::runtime_error("the guest has one RDMA device, and libibverbs finds " +
                                 std::to_string(count));
    }
    ibv_context* const device = ::ibv_open_device(*devices);
    must(device != nullptr, "ibv_open_device");
    return device;
}

ibv_pd* allocate_domain(ibv_context* device) {
    ibv_pd* const domain = ::ibv_alloc_pd(device);
    must(domain != nullptr, "ibv_alloc_pd");
    return domain;
}

} // namespace

void add_peer_devices() {
    if (std::system("/longpin/peers up") != 0) {
        throw std::runtime_error("/longpin/peers up failed");
    }
}

bool remove_peer_devices() {
    return std::system("/longpin/peers down") == 0;
}

rdma_peer::rdma_peer()
    : device_(open_rdma_device(), ::ibv_close_device),
      domain_(allocate_domain(device_.get()), ::ibv_dealloc_pd) {}

ibv_mr* rdma_peer::add_region(void* address, std::size_t length, direction wanted) const {
    const unsigned int flags =
        wanted == direction::write ? IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE : 0;
    return ::ibv_reg_mr(domain_.get(), address, length, flags);
}

void rdma_peer::remove_region(ibv_mr* region) {
    if (const int err = ::ibv_dereg_mr(region)) {
        throw std::system_error(err, std::generic_category(), "ibv_dereg_mr");
    }
}

int rdma_peer::try_to_register(const mapping& memory, direction wanted) const {
    ibv_mr* const region = add_region(memory.data(), memory.length(), wanted);
    if (region == nullptr) {
        return errno;
    }
    remove_region(region);
    return 0;
}

io_uring_peer::io_uring_peer() {
    io_uring_params parameters{};
    ring_ = file(static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters)));
    must(ring_.get() >= 0, "io_uring_setup");
}

int io_uring_peer::add_buffers(std::span<const iovec> buffers) const {
    return ::syscall(SYS_io_uring_register, ring_.get(), IORING_REGISTER_BUFFERS, buffers.data(),
                     buffers.size()) == 0
               ? 0
               : errno;
}

void io_uring_peer::remove_buffers() const {
    must(::syscall(SYS_io_uring_register, ring_.get(), IORING_UNREGISTER_BUFFERS, nullptr, 0) == 0,
         "IORING_UNREGISTER_BUFFERS");
}

int io_uring_peer::try_to_register(const mapping& memory) const {
    const iovec buffer{memory.data(), memory.length()};
    const int err = add_buffers({&buffer, 1});
    if (err == 0) {
        remove_buffers();
    }
    return err;
}

// NOLINTBEGIN(cppcoreguidelines-pro-type-union-access): as the interface is
int try_v4l2(const mapping& memory, direction wanted) {
    const bool camera = wanted == direction::write;
    const auto type = camera ? V4L2_BUF_TYPE_VIDEO_CAPTURE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
    // As tests/guest/peers numbers them. Closing the device gives the buffer back.
    const file device = open_file(camera ? "/dev/video0" : "/dev/video1", O_RDWR);

    // A picture that fits into the smallest mapping; a buffer may be larger.
    v4l2_format format{};
    format.type = type;
    format.fmt.pix.width = 32;
    format.fmt.pix.height = 32;
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_GREY;
    format.fmt.pix.field = V4L2_FIELD_NONE;
    must(::ioctl(device.get(), VIDIOC_S_FMT, &format) == 0, "VIDIOC_S_FMT");
    if (format.fmt.pix.sizeimage > memory.length()) {
        throw std::runtime_error("vivid's smallest picture is too large: " +
                                 std::to_string(format.fmt.pix.sizeimage));
    }

    v4l2_requestbuffers request{};
    request.count = 1;
    request.type = type;
    request.memory = V4L2_MEMORY_USERPTR;
    must(::ioctl(device.get(), VIDIOC_REQBUFS, &request) == 0, "VIDIOC_REQBUFS");

    v4l2_buffer buffer{};
    buffer.type = type;
    buffer.memory = V4L2_MEMORY_USERPTR;
    buffer.field = V4L2_FIELD_NONE;
    buffer.m.userptr = reinterpret_cast<std::uintptr_t>(memory.data());
    buffer.length = static_cast<std::uint32_t>(memory.length());
    buffer.bytesused = format.fmt.pix.sizeimage;
    // Pins at once, though no picture is wanted before VIDIOC_STREAMON.
    return ::ioctl(device.get(), VIDIOC_QBUF, &buffer) == 0 ? 0 : errno;
}
// NOLINTEND(cppcoreguidelines-pro-type-union-access)

} // namespace guest
