/* SPDX-License-Identifier: MIT */
/* The kernel's interface alone, before any other header: it must not need one. */
#include <linux/longpin.h>

#include "abi_layout.h"
