// SPDX-License-Identifier: MIT
// Making things fail in the kernel: allocations, and copies from and to the caller. Only the debug
// kernel can.
#pragma once

#include "raw_device.hpp"

#include <functional>
#include <string>

namespace guest {

/// The next system calls of the thread that makes the object have one failure: that of the n-th
/// thing in them that can fail. That is an allocation, a copy from or to the caller, or a call of
/// one of the module's functions that are made for it (ALLOW_ERROR_INJECTION).
class fault {
public:
    fault();
    fault(const fault&) = delete;
    fault& operator=(const fault&) = delete;
    fault(fault&&) = delete;
    fault& operator=(fault&&) = delete;
    ~fault();

    void arm(int n) const;

    /// From now on nothing fails. Whether something did.
    [[nodiscard]] bool disarm() const;

private:
    file nth_;
};

/// A call in which things are made to fail, one after the other.
struct faulty_call {
    /// What is done before each round, and undone after it: nothing fails in these. The call may
    /// have succeeded in spite of the failure, or not.
    std::function<void()> prepare = [] {};
    /// Nothing but the system calls that are to fail. The errno.
    std::function<int()> call;
    std::function<void(int err)> clean_up = [](int /*err*/) {};
};

/// Lets the 1st, the 2nd, ... thing in the call fail, until there is none left: then it has to
/// succeed. \p judge is told of each round's errno before it is cleaned up. Prints how many there
/// were, by the name \p what, which is told with the round if an assertion of the judge's fails.
/// Returns in how many rounds something failed.
int let_each_fail(const std::string& what, const faulty_call& faulty,
                  const std::function<void(int err)>& judge);

} // namespace guest
