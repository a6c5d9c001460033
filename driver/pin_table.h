/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PIN_TABLE_H
#define LONGPIN_PIN_TABLE_H

#include <linux/idr.h>
#include <linux/mutex.h>
#include <linux/types.h>

struct longpin_info;
struct longpin_refusal;
struct pinned_range;

/**
 * struct longpin_pin_table - the pins of a context, by handle
 * @lock: protects @ranges and @count. No other lock is taken under it, no user memory is
 *	touched, and no pages are taken or released
 * @ranges: struct pinned_range by handle; NULL for a handle that is reserved
 * @count: handles in use, reserved ones included
 */
struct longpin_pin_table {
	struct mutex lock; /* for the two below */
	struct idr ranges;
	unsigned long count;
};

void longpin_table_init(struct longpin_pin_table *table);
void longpin_table_destroy(struct longpin_pin_table *table);

int longpin_table_reserve(struct longpin_pin_table *table, struct longpin_refusal *why);
void longpin_table_publish(struct longpin_pin_table *table, int handle, struct pinned_range *range);
void longpin_table_remove(struct longpin_pin_table *table, int handle);

struct pinned_range *longpin_table_get(struct longpin_pin_table *table, u32 handle);
void longpin_table_info(struct longpin_pin_table *table, struct longpin_info *info);

#endif /* LONGPIN_PIN_TABLE_H */
