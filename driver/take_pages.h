/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_TAKE_PAGES_H
#define LONGPIN_TAKE_PAGES_H

struct longpin_refusal;
struct memory_segment;
struct pinned_range;

int longpin_take_pages(struct pinned_range *range, unsigned long first, unsigned long end,
		       const struct memory_segment *segment, struct longpin_refusal *why);

#endif /* LONGPIN_TAKE_PAGES_H */
