// SPDX-License-Identifier: MIT
//
// Pins a buffer, unmaps it, and reads it back through the pin.
//
//     c++ -std=c++20 hold_buffer.cpp $(pkg-config --cflags --libs longpin)
#include <longpin/longpin.hpp>

#include <cstddef>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <span>
#include <string>

#include <sys/mman.h>

int main() try {
    constexpr std::size_t length = 1U << 20U;
    void* const memory =
        ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) { // NOLINT: a macro of the system
        throw std::bad_alloc();
    }
    const std::string message = "still here";
    std::memcpy(memory, message.data(), message.size());

    const longpin::device device;
    const longpin::pin held = device.pin(std::span(static_cast<std::byte*>(memory), length));
    std::cout << "pinned " << longpin::format_size(held.length()) << ", " << held.footprint().pages
              << " pages in " << held.footprint().runs << " runs\n";

    ::munmap(memory, length);

    std::string back(message.size(), '\0');
    held.read(0, std::as_writable_bytes(std::span(back)));
    std::cout << "unmapped, and read through the pin: " << back << '\n';
    return back == message ? 0 : 1;

} catch (const std::exception& failure) {

    std::cerr << failure.what() << '\n';
    return 1;
}
