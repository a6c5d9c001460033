/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_UNIT_H
#define LONGPIN_UNIT_H

#include <linux/types.h>

struct mm_struct;
struct page;

bool longpin_is_mapped_by_page(struct mm_struct *mm, unsigned long addr);
unsigned int longpin_unit_order(struct mm_struct *mm, unsigned long addr, const struct page *page,
				bool write);

#endif /* LONGPIN_UNIT_H */
