// SPDX-License-Identifier: MIT
// A program outside of the tree. Where it is run there is no device: that has to be said in words.
#include <longpin/longpin.hpp>

#include <iostream>
#include <linux/longpin.h>

int main() {
    static_assert(LONGPIN_PIN_WRITE == 1);
    const auto device = longpin::device::try_open("/nowhere");
    std::cout << longpin::version() << ": " << (device ? "?" : device.error().what()) << '\n';
}
