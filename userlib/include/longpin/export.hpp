// SPDX-License-Identifier: MIT
#pragma once

/// Marks what the shared library exports; everything else is hidden.
#define LONGPIN_EXPORT __attribute__((visibility("default")))
