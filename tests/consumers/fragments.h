/* SPDX-License-Identifier: MIT */
/* What the fragments of C in the README leave to the reader's imagination. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

extern char* buffer;
extern size_t length;
