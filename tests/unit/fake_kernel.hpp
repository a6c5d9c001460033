// SPDX-License-Identifier: MIT
#pragma once

#include <longpin/device.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include <linux/longpin.h>
#include <sys/types.h>

/// Stands in for the module: answers the library's ioctls from memory, on whatever file
/// descriptor they come. One at a time; it is in place for as long as it lives.
///
/// Each file that open() gives is a context of its own, with the events and the generation of its
/// leases. Memory is revoked when the test says so.
///
/// System calls may come from several threads at once, and so may revoke(). The other members are
/// for a test that has no other thread running.
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
        std::vector<bool> revoked; ///< by pages
        int descriptor = -1;

        [[nodiscard]] std::uint64_t revoked_pages() const;
    };

    std::map<std::uint32_t, held> pins;

    /// What it answers.
    longpin_info info{};
    std::uint32_t extents_in_an_answer = 2; ///< it lists one extent a page; 0: none, for ever

    /// Lets an ioctl fail from now on; errno_value 0 lets it succeed again.
    void fail(unsigned long request, int errno_value, const longpin::refusal& facts = {});

    /// A device that talks to it. If its descriptor is one that a device had before, whose file is
    /// closed so, that one's pins are gone.
    static longpin::device open();

    /// Takes the pages that \p range touches from the leases that hold them.
    void revoke(std::span<const std::byte> range, std::uint32_t cause = LONGPIN_CAUSE_UNMAP);

    /// Puts an event into the queue of an open file.
    void tell(int descriptor, const longpin_event& event);

    /// Puts an event into the queue of the context that has its pin.
    void tell(const longpin_event& event);

    std::size_t event_limit = 1000;                 ///< events in a queue
    std::size_t event_size = sizeof(longpin_event); ///< bytes of a record; what is more is not 0
    std::set<std::uint64_t> holes;                  ///< addresses at which nothing is mapped
    bool has_limits = false; ///< whether it keeps to info's limits of memlock and of pins

    /// Called when a pin is made, or refused by fail(), and before the caller knows.
    std::function<void(const longpin_pin&)> while_pinning;

    /// Called before it looks at a LONGPIN_REPIN.
    std::function<void(const longpin_repin&)> before_repin;

    static constexpr std::uint64_t page_size = 4096;

private:
    static int ioctl(int descriptor, unsigned long request, void* argument);
    static ssize_t read(int descriptor, void* buffer, std::size_t size);
    static void* map(int descriptor, std::size_t size);

    int answer(int descriptor, unsigned long request, void* argument);
    int pin(int descriptor, longpin_pin& request);
    int copy(const longpin_copy& request);
    int extents(longpin_extents& request) const;
    int repin(longpin_repin& request);
    int let_go(longpin_let_go& request);

    /// What an open file has beside its pins.
    struct context {
        explicit context(int own);
        ~context();
        context(const context&) = delete;
        context& operator=(const context&) = delete;
        context(context&&) = delete;
        context& operator=(context&&) = delete;

        void put(longpin_event event, std::size_t limit);

        std::deque<longpin_event> events;
        int readable;           // an eventfd that is not 0 while there are events; owned
        int memory;             // a memfd: the page of the status
        longpin_status* status; // mapped
    };

    context& context_of(int descriptor);

    struct failure {
        int errno_value = 0;
        longpin::refusal facts;
    };

    std::mutex mutex_; // held while it answers
    std::map<unsigned long, failure> failures_;
    std::map<int, context> contexts_; // by their descriptors
    std::uint32_t last_handle_ = 0;
};
