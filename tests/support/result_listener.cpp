// SPDX-License-Identifier: MIT
//
// Appends "passed NAME" or "failed NAME" for each test case to the file that the
// environment variable LONGPIN_TEST_RESULTS names, as soon as the case has ended. So
// whoever started the tests can count, even if they never come to their end. Says which
// ones took long.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace {

class result_listener : public Catch::TestEventListenerBase {
public:
    explicit result_listener(const Catch::ReporterConfig& config) : TestEventListenerBase(config) {
        if (const char* const path = std::getenv("LONGPIN_TEST_RESULTS")) {
            results_.open(path, std::ios::app);
        }
    }

    void testCaseStarting(const Catch::TestCaseInfo& test) override {
        start_ = clock::now();
        TestEventListenerBase::testCaseStarting(test);
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        // A case without an assertion has a failed one by now (see main.cpp).
        results_ << (stats.totals.assertions.allOk() ? "passed " : "failed ") << stats.testInfo.name
                 << std::endl; // NOLINT: flushed at once
        const auto took = std::chrono::duration_cast<std::chrono::seconds>(clock::now() - start_);
        if (took.count() >= 20) {
            std::printf("%lld s: %s\n", static_cast<long long>(took.count()),
                        stats.testInfo.name.c_str());
            std::fflush(stdout);
        }
        TestEventListenerBase::testCaseEnded(stats);
    }

private:
    using clock = std::chrono::steady_clock;
    clock::time_point start_;
    std::ofstream results_;
};

CATCH_REGISTER_LISTENER(result_listener) // NOLINT: what the macro makes

} // namespace
