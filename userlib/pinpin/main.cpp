// SPDX-License-Identifier: MIT
#include "cli.hpp"

#include <iostream>
#include <span>

int main(int argc, char** argv) {
    const std::span words(argv, static_cast<std::size_t>(argc));
    return pinpin::run({words.begin() + 1, words.end()}, std::cout, std::cerr);
}
