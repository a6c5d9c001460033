// SPDX-License-Identifier: MIT
// The same as abi.c, for C++.
#include <linux/longpin.h>

#include "abi_layout.h"
