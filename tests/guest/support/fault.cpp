// SPDX-License-Identifier: MIT
#include "fault.hpp"

#include "system_state.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unistd.h>

namespace guest {

namespace {

const std::string fail_function = "/sys/kernel/debug/fail_function/";

/// Of the module, and what they say when they fail.
struct function {
    const char* name;
    int err;
};
constexpr std::array<function, 4> functions = {{{"gup_longterm", ENOMEM},
                                                {"bring_in", ENOMEM},
                                                {"fault_in", ENOMEM},
                                                {"copy_from_page", EHWPOISON}}};

/// Allocations that may sleep fail too, of one page and of user memory as well; and nothing is
/// printed, since what is printed looks like a crash.
void set_up() {
    const std::string debug = "/sys/kernel/debug/";
    for (const std::string kind :
         {"failslab", "fail_page_alloc", "fail_usercopy", "fail_function"}) {
        must(write_line(debug + kind + "/verbose", "0") == 0, "verbose of fault injection");
    }
    for (const std::string kind : {"failslab", "fail_page_alloc"}) {
        must(write_line(debug + kind + "/ignore-gfp-wait", "N") == 0, "ignore-gfp-wait");
    }
    must(write_line(debug + "fail_page_alloc/ignore-gfp-highmem", "N") == 0, "ignore-gfp-highmem");
    must(write_line(debug + "fail_page_alloc/min-order", "0") == 0, "min-order");
    for (const auto& [name, err] : functions) {
        if (write_line(fail_function + "inject", name) == 0) { // the module is loaded
            char value[20];                                    // -err, as an unsigned long
            std::snprintf(value, sizeof(value), "0x%lx", -static_cast<unsigned long>(err));
            must(write_line(fail_function + name + "/retval", value) == 0, "retval");
        }
    }
}

} // namespace

fault::fault() : nth_(open_file("/proc/thread-self/fail-nth", O_RDWR)) {
    set_up();
}

fault::~fault() {
    write_line(fail_function + "inject", ""); // none any more
}

void fault::arm(int n) const {
    const std::string text = std::to_string(n);
    must(::pwrite(nth_.get(), text.data(), text.size(), 0) > 0, "fail-nth");
}

bool fault::disarm() const {
    // Reading and writing the number are calls in which something can fail, too.
    char text[16] = "";
    const bool armed = ::pread(nth_.get(), text, sizeof(text) - 1, 0) < 0 || std::atoi(text) > 0;
    for (int tries = 0; ::pwrite(nth_.get(), "0", 1, 0) < 0; tries++) {
        must(tries < 2, "fail-nth");
    }
    return !armed;
}

int let_each_fail(const std::string& what, const faulty_call& faulty,
                  const std::function<void(int err)>& judge) {
    const fault one;
    int survived = 0;
    for (int round = 1;; round++) {
        faulty.prepare();
        one.arm(round);
        const int err = faulty.call();
        const bool failed = one.disarm();
        if (!failed && err != 0) {
            throw std::system_error(err, std::generic_category(), "a call in which nothing failed");
        }
        INFO(what << ", failure " << round << ": errno " << err);
        judge(err);
        faulty.clean_up(err);
        if (!failed) {
            std::printf("  %-52s %4d failures, %d survived\n", what.c_str(), round - 1, survived);
            std::fflush(stdout); // it takes minutes
            return round - 1;
        }
        survived += err == 0 ? 1 : 0;
        if (round > 5000) {
            throw std::runtime_error("things to fail without end");
        }
    }
}

} // namespace guest
