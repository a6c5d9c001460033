// SPDX-License-Identifier: MIT
//
// Registers a buffer over and over, as programs do that hand it to a device, and maps other memory
// in its place: the cache finds the first, and never takes it for the second.
//
//     c++ -std=c++20 cache_registrations.cpp $(pkg-config --cflags --libs longpin)
#include <longpin/longpin.hpp>

#include <cstddef>
#include <exception>
#include <iostream>
#include <new>
#include <span>

#include <sys/mman.h>

int main() try {
    constexpr std::size_t length = 1U << 20U;
    const auto map = [](void* place, int flags) {
        void* const memory = ::mmap(place, length, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
        if (memory == MAP_FAILED) { // NOLINT: a macro of the system
            throw std::bad_alloc();
        }
        return static_cast<std::byte*>(memory);
    };
    const std::span buffer(map(nullptr, 0), length);

    const longpin::registration_cache cache{longpin::device()};
    for (int i = 0; i < 1000; ++i) {
        const longpin::registration sent = cache.get(buffer);
        // Here a device would be told of sent.pin().extents(), from sent.offset() on.
    }

    const longpin::registration before = cache.get(buffer);
    map(buffer.data(), MAP_FIXED);
    buffer.front() = std::byte{42};
    const longpin::registration after = cache.get(buffer);
    std::byte seen{};
    after.pin().read(after.offset(), std::span(&seen, 1));

    const longpin::cache_statistics did = cache.statistics();
    std::cout << did.hits << " hits, " << did.misses << " misses, " << did.invalidations
              << " invalidated by the kernel\n"
              << "the old registration is " << (before.valid() ? "valid" : "not valid")
              << ", through the new one is read: " << std::to_integer<int>(seen) << '\n';
    return before.valid() || seen != std::byte{42} ? 1 : 0;

} catch (const std::exception& failure) {

    std::cerr << failure.what() << '\n';
    return 1;
}
