/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What the benchmark asks of /dev/longpin-floor. */
#ifndef LONGPIN_FLOOR_H
#define LONGPIN_FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Pages that one open file can hold at a time. */
#define LONGPIN_FLOOR_MAX_PAGES (1U << 18)

/**
 * struct longpin_floor_pin - LONGPIN_FLOOR_PIN: pin pages of the caller's memory
 * @addr: the first page's address
 * @pages: how many
 * @longterm: 1 for FOLL_LONGTERM, 0 without it
 */
struct longpin_floor_pin {
	__aligned_u64 addr;
	__u32 pages;
	__u32 longterm;
};

#define LONGPIN_FLOOR_PIN _IOW('F', 0, struct longpin_floor_pin)

/* Unpin as many of the pages that were pinned last as the argument says. */
#define LONGPIN_FLOOR_UNPIN _IO('F', 1)

#endif
