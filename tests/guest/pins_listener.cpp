// SPDX-License-Identifier: MIT
//
// Names the test case after which pages are still pinned that were not pinned before it.
// A listener can't fail a case: tests/guest/run judges by the whole run's balance, and
// this says where to look.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "support/system_state.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <iostream>
#include <thread>

namespace {

class pins_listener : public Catch::TestEventListenerBase {
public:
    using TestEventListenerBase::TestEventListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        TestEventListenerBase::testCaseStarting(info);
        before_ = guest::pinned_pages();
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        // A process that ended a moment ago may still have files to close.
        using namespace std::chrono_literals;
        const auto deadline = std::chrono::steady_clock::now() + 2s;
        while (guest::pinned_pages() != before_ && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(10ms);
        }
        if (const long left = guest::pinned_pages() - before_; left != 0) {
            std::cout << "after \"" << stats.testInfo.name << "\" " << left
                      << " pages more are pinned than before it\n";
        }
        TestEventListenerBase::testCaseEnded(stats);
    }

private:
    long before_ = 0;
};

CATCH_REGISTER_LISTENER(pins_listener) // NOLINT: what the macro makes

} // namespace
