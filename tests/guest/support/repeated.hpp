// SPDX-License-Identifier: MIT
// Work that goes on beside a test.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace guest {

/// A thread that does something over and over, for as long as the object lives.
class repeated {
public:
    explicit repeated(std::function<void()> work)
        : thread_([this, work = std::move(work)] {
              while (!stop_) {
                  work();
              }
          }) {}
    repeated(const repeated&) = delete;
    repeated& operator=(const repeated&) = delete;
    repeated(repeated&&) = delete;
    repeated& operator=(repeated&&) = delete;
    ~repeated() {
        stop_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

} // namespace guest
