/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PIN_TABLE_H
#define LONGPIN_PIN_TABLE_H

#include <linux/atomic.h>
#include <linux/idr.h>
#include <linux/mutex.h>
#include <linux/types.h>

struct longpin_info;
struct longpin_refusal;
struct pinned_range;

/**
 * struct longpin_pin_table - the pins of a context, by handle
 * @pages: pages that the pins hold which others were told of
 * @lock: protects the members below. No lock but a pin's is taken under it, no user memory is
 *	touched, and no pages are taken or released
 * @ranges: struct pinned_range by handle; NULL for a handle that is reserved
 * @count: handles in use, reserved ones included
 * @pins: of these, pins that were published
 *
 * A pin that is in the table has not been released, and so is not while the lock is held.
 */
struct longpin_pin_table {
	atomic64_t pages;
	struct mutex lock; /* for all below */
	struct idr ranges;
	unsigned long count;
	unsigned long pins;
};

/**
 * typedef longpin_visit_fn - what longpin_table_walk() calls for each pin
 * @range: the pin; the table's lock is held
 * @data: the caller's
 *
 * Return: 0 to go on, anything else to stop before the pin counts as visited.
 */
typedef int (*longpin_visit_fn)(struct pinned_range *range, void *data);

void longpin_table_init(struct longpin_pin_table *table);
void longpin_table_end_pins(struct longpin_pin_table *table);
void longpin_table_destroy(struct longpin_pin_table *table);

int longpin_table_reserve(struct longpin_pin_table *table, struct longpin_refusal *why);
void longpin_table_publish(struct longpin_pin_table *table, struct pinned_range *range);
bool longpin_table_remove(struct longpin_pin_table *table, int handle,
			  const struct pinned_range *range);

struct pinned_range *longpin_table_get(struct longpin_pin_table *table, u32 handle);
int longpin_table_walk(struct longpin_pin_table *table, int *handle, longpin_visit_fn visit,
		       void *data);
int longpin_table_visit(struct longpin_pin_table *table, u32 handle, longpin_visit_fn visit,
			void *data);
unsigned long longpin_table_pins(struct longpin_pin_table *table);
void longpin_table_info(struct longpin_pin_table *table, struct longpin_info *info);

#endif /* LONGPIN_PIN_TABLE_H */
