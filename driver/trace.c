// SPDX-License-Identifier: GPL-2.0-only
/* The tracepoints' own code. */
#include "kernel_compat.h" /* before it is about tracepoints: it brings the kernel's with it */

#define CREATE_TRACE_POINTS
#include "trace.h"
