// SPDX-License-Identifier: MIT
// Pins as the kernel might list them.
#pragma once

#include <longpin/inventory.hpp>

#include <chrono>

/// Anonymous memory of a process of root.
inline longpin::pin_record anonymous_pin() {
    return {.context = 3,
            .handle = 1,
            .pid = 1234,
            .comm = "server",
            .uid = 0,
            .address = 0x7f0000001800,
            .length = 0x3000,
            .cookie = 0x2a,
            .writable = true,
            .footprint = {longpin::memory_kind::anon, 4, 2, 272},
            .age = std::chrono::milliseconds(65'500)};
}

/// A part of a device-DAX device, by a process that is gone.
inline longpin::pin_record orphaned_pin() {
    return {.context = 12,
            .handle = 7,
            .pid = 99,
            .comm = "loader",
            .uid = 4'000'000'000, // has no name
            .address = 0x7f1000000000,
            .length = 64U << 20U,
            .orphaned = true,
            .footprint = {longpin::memory_kind::devdax, 16384, 1, 240},
            .age = std::chrono::hours(49),
            .file = longpin::mapped_file{.path = "/dev/dax0.0",
                                         .device_major = 0,
                                         .device_minor = 5,
                                         .inode = 140,
                                         .offset = 1U << 30U}};
}

/// A file on fs-DAX of which pages were taken back.
inline longpin::pin_record leased_pin() {
    longpin::pin_record pin = anonymous_pin();
    pin.handle = 2;
    pin.footprint = {longpin::memory_kind::fsdax, 2, 1, 272};
    pin.lease = true;
    pin.state = longpin::pin_state::partly_revoked;
    pin.revoked_pages = 2;
    pin.grace = std::chrono::milliseconds(250);
    pin.file = longpin::mapped_file{.path = "/mnt/pmem/data", .inode = 12};
    return pin;
}
