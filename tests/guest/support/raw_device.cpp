// SPDX-License-Identifier: MIT
#include "raw_device.hpp"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

namespace guest {

void file::close() {
    if (descriptor_ >= 0) {
        ::close(std::exchange(descriptor_, -1));
    }
}

void must(bool good, const char* call) {
    if (!good) {
        throw std::system_error(errno, std::generic_category(), call);
    }
}

file open_file(const std::string& path, int flags) {
    const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        throw std::system_error(errno, std::generic_category(), "open " + path);
    }
    return file(descriptor);
}

raw_device::raw_device() : file_(open_file("/dev/longpin", O_RDWR)) {}

int raw_device::call(unsigned long command, void* arguments) const {
    return ::ioctl(file_.get(), command, arguments) == 0 ? 0 : errno;
}

int raw_device::pin(const void* address, std::uint64_t length, std::uint32_t flags,
                    longpin_pin& answer) const {
    answer = request<longpin_pin>();
    answer.flags = flags;
    answer.addr = reinterpret_cast<std::uintptr_t>(address);
    answer.length = length;
    return call(LONGPIN_PIN, &answer);
}

int raw_device::pin(const void* address, std::uint64_t length, std::uint32_t flags) const {
    longpin_pin answer{};
    return pin(address, length, flags, answer);
}

std::uint32_t raw_device::must_pin(const void* address, std::uint64_t length,
                                   std::uint32_t flags) const {
    longpin_pin answer{};
    if (const int err = pin(address, length, flags, answer)) {
        throw std::system_error(err, std::generic_category(),
                                "LONGPIN_PIN, reason " + std::to_string(answer.out_reason));
    }
    return answer.out_handle;
}

int raw_device::unpin(std::uint32_t handle) const {
    auto arguments = request<longpin_unpin>();
    arguments.handle = handle;
    return call(LONGPIN_UNPIN, &arguments);
}

int raw_device::query(std::uint32_t handle, longpin_query& answer) const {
    answer = request<longpin_query>();
    answer.handle = handle;
    return call(LONGPIN_QUERY, &answer);
}

int raw_device::read(std::uint32_t handle, std::uint64_t offset, void* buffer,
                     std::uint64_t length) const {
    auto arguments = request<longpin_copy>();
    arguments.handle = handle;
    arguments.offset = offset;
    arguments.length = length;
    arguments.buffer = reinterpret_cast<std::uintptr_t>(buffer);
    return call(LONGPIN_COPY, &arguments);
}

int raw_device::write(std::uint32_t handle, std::uint64_t offset, const void* buffer,
                      std::uint64_t length) const {
    auto arguments = request<longpin_copy>();
    arguments.flags = LONGPIN_COPY_WRITE;
    arguments.handle = handle;
    arguments.offset = offset;
    arguments.length = length;
    arguments.buffer = reinterpret_cast<std::uintptr_t>(buffer);
    return call(LONGPIN_COPY, &arguments);
}

longpin_info raw_device::info() const {
    auto answer = request<longpin_info>();
    if (const int err = call(LONGPIN_INFO, &answer)) {
        throw std::system_error(err, std::generic_category(), "LONGPIN_INFO");
    }
    return answer;
}

int raw_device::repin(std::uint32_t handle, longpin_repin& answer, std::uint64_t offset,
                      std::uint64_t length) const {
    answer = request<longpin_repin>();
    answer.handle = handle;
    answer.offset = offset;
    answer.length = length;
    return call(LONGPIN_REPIN, &answer);
}

int raw_device::let_go(std::uint32_t handle, std::uint64_t offset, std::uint64_t length) const {
    auto arguments = request<longpin_let_go>();
    arguments.handle = handle;
    arguments.offset = offset;
    arguments.length = length;
    return call(LONGPIN_LET_GO, &arguments);
}

std::vector<longpin_event> raw_device::events() const {
    return events_within(0);
}

std::vector<longpin_event> raw_device::events_within(int milliseconds) const {
    std::vector<longpin_event> all;
    pollfd wanted{file_.get(), POLLIN, 0};
    while (::poll(&wanted, 1, all.empty() ? milliseconds : 0) > 0) {
        longpin_event some[16];
        const ssize_t got = ::read(file_.get(), some, sizeof(some));
        if (got < 0) {
            throw std::system_error(errno, std::generic_category(), "read of events");
        }
        all.insert(all.end(), some, some + static_cast<std::size_t>(got) / sizeof(some[0]));
    }
    return all;
}

std::vector<longpin_extent> raw_device::extents(std::uint32_t handle, std::uint32_t at_once) const {
    longpin_query whole{};
    if (const int err = query(handle, whole)) {
        throw std::system_error(err, std::generic_category(), "LONGPIN_QUERY");
    }

    std::vector<longpin_extent> all;
    std::vector<longpin_extent> some(at_once);
    auto arguments = request<longpin_extents>();
    arguments.handle = handle;
    arguments.count = at_once;
    arguments.buffer = reinterpret_cast<std::uintptr_t>(some.data());
    while (arguments.offset < whole.out_length) {
        if (const int err = call(LONGPIN_EXTENTS, &arguments)) {
            throw std::system_error(err, std::generic_category(), "LONGPIN_EXTENTS");
        }
        all.insert(all.end(), some.begin(), some.begin() + arguments.out_count);
        if (arguments.out_next <= arguments.offset) {
            throw std::logic_error("LONGPIN_EXTENTS doesn't move on");
        }
        arguments.offset = arguments.out_next;
    }
    return all;
}

} // namespace guest
