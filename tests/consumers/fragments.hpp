// SPDX-License-Identifier: MIT
// What the fragments of C++ in the README and in docs/how-to leave to the reader's imagination.
#pragma once

#include <longpin/longpin.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/mman.h>

extern const longpin::device device;
extern const std::span<std::byte> buffer, bytes, copy, memory;

void add_to_ring(std::uint64_t physical_address, std::uint64_t length);
void fill(std::span<std::byte> bytes);
void log(const char* message);
void post(const longpin::extent_range& extents, std::uint64_t offset);
void program_the_device(std::uint64_t physical_address, std::uint64_t length);
bool show(std::uint64_t done, std::uint64_t total);
