// SPDX-License-Identifier: MIT
// The interface from C, for programs of 64 and of 32 bits (caller.c, built twice).
#include <catch2/catch.hpp>

#include <cstdlib>

TEST_CASE("a C program uses every ioctl") {
    CHECK(std::system("longpin-caller-64") == 0);
}

TEST_CASE("a 32-bit C program uses every ioctl on the 64-bit kernel") {
    CHECK(std::system("longpin-caller-32") == 0);
}
