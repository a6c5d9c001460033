// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include <linux/longpin.h>

/// Stands in for the module: answers the library's ioctls from memory, on whatever file
/// descriptor they come. One at a time; it is in place for as long as it lives.
///
/// Ioctls may come from several threads at once. The members are for a test that has no
/// other thread running.
class fake_kernel {
public:
    fake_kernel();
    ~fake_kernel();
    fake_kernel(const fake_kernel&) = delete;
    fake_kernel& operator=(const fake_kernel&) = delete;
    fake_kernel(fake_kernel&&) = delete;
    fake_kernel& operator=(fake_kernel&&) = delete;

    /// What it was asked.
    struct call {
        int descriptor;
        unsigned long request;
        std::uint32_t size; ///< as the caller set it
    };

    std::vector<call> calls;

    /// How often it was asked that.
    [[nodiscard]] std::size_t count(unsigned long request) const;

    longpin_pin last_pin{}; ///< the last LONGPIN_PIN, as it came

    /// A pin that it holds. The bytes are those of the range when it was pinned.
    struct held {
        longpin_pin request{};
        std::vector<std::byte> bytes;
    };

    std::map<std::uint32_t, held> pins;

    /// What it answers.
    longpin_info info{};
    std::uint32_t extents_in_an_answer = 2; ///< it lists one extent a page; 0: none, for ever

    /// Lets an ioctl fail from now on; errno_value 0 lets it succeed again.
    void fail(unsigned long request, int errno_value, const longpin::refusal& facts = {});

    /// A device that talks to it.
    static longpin::device open();

    static constexpr std::uint64_t page_size = 4096;

private:
    static int ioctl(int descriptor, unsigned long request, void* argument);
    int answer(unsigned long request, void* argument);
    int pin(longpin_pin& request);
    int copy(const longpin_copy& request);
    int extents(longpin_extents& request) const;

    struct failure {
        int errno_value = 0;
        longpin::refusal facts;
    };

    std::mutex mutex_; // held while it answers
    std::map<unsigned long, failure> failures_;
    std::uint32_t last_handle_ = 0;
};
