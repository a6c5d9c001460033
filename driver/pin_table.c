// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pins of a context, by handle. Handles go round, so one that was just given up is
 * not the next to be given out.
 */
#include <linux/module.h>

#include <linux/longpin.h>

#include "pin.h"
#include "pin_table.h"
#include "refusal.h"

static unsigned int max_pins = 1 << 20;
module_param(max_pins, uint, 0644);
MODULE_PARM_DESC(max_pins, "Pins that one open file may hold (default 1048576)");

/**
 * longpin_table_init - make an empty table
 * @table: the table
 */
void longpin_table_init(struct longpin_pin_table *table)
{
	mutex_init(&table->lock);
	idr_init(&table->ranges);
	table->count = 0;
}

/**
 * longpin_table_destroy - end every pin in the table
 * @table: no longer used by anyone else
 */
void longpin_table_destroy(struct longpin_pin_table *table)
{
	struct pinned_range *range;
	int handle;

	idr_for_each_entry(&table->ranges, range, handle) {
		pinned_range_release(range);
		pinned_range_put(range);
		cond_resched();
	}
	idr_destroy(&table->ranges);
	mutex_destroy(&table->lock);
}

/**
 * longpin_table_reserve - a handle for a pin that is being made
 * @table: the table
 * @why: filled on refusal
 *
 * Nobody finds the handle before longpin_table_publish(); longpin_table_remove() gives it
 * back.
 *
 * Return: the handle, or -ENOMEM.
 */
int longpin_table_reserve(struct longpin_pin_table *table, struct longpin_refusal *why)
{
	unsigned int limit = READ_ONCE(max_pins);
	int handle;

	mutex_lock(&table->lock);
	if (table->count >= limit) {
		why->limit = limit;
		why->used = table->count;
		why->asked = 1;
		handle = longpin_refuse(why, -ENOMEM, LONGPIN_REASON_MAX_PINS);
	} else {
		handle = idr_alloc_cyclic(&table->ranges, NULL, 1, 0, GFP_KERNEL_ACCOUNT);
		if (handle > 0)
			table->count++;
	}
	mutex_unlock(&table->lock);
	return handle == -ENOSPC ? -ENOMEM : handle;
}

/**
 * longpin_table_publish - let a pin be found
 * @table: the table
 * @handle: from longpin_table_reserve()
 * @range: the pin; the table takes over the caller's reference
 */
void longpin_table_publish(struct longpin_pin_table *table, int handle, struct pinned_range *range)
{
	mutex_lock(&table->lock);
	idr_replace(&table->ranges, range, handle);
	mutex_unlock(&table->lock);
}

/**
 * longpin_table_remove - give up a handle
 * @table: the table
 * @handle: reserved or published; the caller takes over the table's reference on its pin
 */
void longpin_table_remove(struct longpin_pin_table *table, int handle)
{
	mutex_lock(&table->lock);
	idr_remove(&table->ranges, handle);
	table->count--;
	mutex_unlock(&table->lock);
}

/**
 * longpin_table_get - find a pin
 * @table: the table
 * @handle: any number, as it came from the user
 *
 * Return: the pin with a reference for the caller, or NULL.
 */
struct pinned_range *longpin_table_get(struct longpin_pin_table *table, u32 handle)
{
	struct pinned_range *range;

	mutex_lock(&table->lock);
	range = idr_find(&table->ranges, handle);
	if (range)
		pinned_range_get(range);
	mutex_unlock(&table->lock);
	return range;
}

/**
 * longpin_table_info - the table's part of LONGPIN_INFO
 * @table: the table
 * @info: the answer to fill in
 */
void longpin_table_info(struct longpin_pin_table *table, struct longpin_info *info)
{
	info->out_max_pins_limit = READ_ONCE(max_pins);
	mutex_lock(&table->lock);
	info->out_max_pins_used = table->count;
	mutex_unlock(&table->lock);
}
