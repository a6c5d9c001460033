// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pins of a context, by handle. Handles go round, so one that was just given up is
 * not the next to be given out.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include <linux/longpin.h>

#include "pin.h"
#include "pin_table.h"
#include "refusal.h"

static unsigned int max_pins = 1 << 20;
module_param(max_pins, uint, 0644);
MODULE_PARM_DESC(max_pins, "Pins that one open file may hold; 0 for no limit (default 1048576)");

/**
 * longpin_table_init - make an empty table
 * @table: the table
 */
void longpin_table_init(struct longpin_pin_table *table)
{
	mutex_init(&table->lock);
	idr_init(&table->ranges);
	table->count = 0;
	table->pins = 0;
	atomic64_set(&table->pages, 0);
}

/**
 * longpin_table_end_pins - end every pin in the table
 * @table: nobody adds to it or removes from it any more, as its context is being closed
 *
 * One after the other, so that each can be found until it is released.
 */
void longpin_table_end_pins(struct longpin_pin_table *table)
{
	struct pinned_range *range;
	int handle;

	idr_for_each_entry(&table->ranges, range, handle) {
		longpin_table_remove(table, handle, range);
		pinned_range_close(range);
		pinned_range_put(range);
		cond_resched();
	}
}

/**
 * longpin_table_destroy - undo longpin_table_init()
 * @table: no longer used by anyone; empty
 */
void longpin_table_destroy(struct longpin_pin_table *table)
{
	WARN_ON_ONCE(table->count);
	idr_destroy(&table->ranges);
	mutex_destroy(&table->lock);
}

/* A handle, or -ENOMEM: with @why filled at the limit, and else without memory. */
static int try_reserve(struct longpin_pin_table *table, struct longpin_refusal *why)
{
	unsigned int limit = READ_ONCE(max_pins);
	int handle;

	mutex_lock(&table->lock);
	if (limit && table->count >= limit) {
		why->limit = limit;
		why->used = table->count;
		why->asked = 1;
		handle = longpin_refuse(why, -ENOMEM, LONGPIN_REASON_MAX_PINS);
	} else {
		/*
		 * The last number is left out, so that a walk can step behind what it saw. Memory
		 * is not waited for: those who look at the table would wait, too, and reclaim in a
		 * memory cgroup that is full may have no end.
		 */
		idr_preload(GFP_NOWAIT | __GFP_NOWARN);
		handle = idr_alloc_cyclic(&table->ranges, NULL, 1, INT_MAX,
					  GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN);
		idr_preload_end();
		if (handle > 0)
			table->count++;
	}
	mutex_unlock(&table->lock);
	return handle == -ENOSPC ? -ENOMEM : handle;
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
	int handle, tries;
	void *room;

	for (tries = 0;; tries++) {
		handle = try_reserve(table, why);
		if (handle != -ENOMEM || why->reason || tries == 10)
			return handle;
		/* Have some freed where it may be waited for. */
		room = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
		if (!room)
			return -ENOMEM;
		kfree(room);
	}
}

/**
 * longpin_table_publish - let a pin be found
 * @table: the table
 * @range: the pin, whose handle is from longpin_table_reserve(); the table takes over the
 *	caller's reference
 */
void longpin_table_publish(struct longpin_pin_table *table, struct pinned_range *range)
{
	mutex_lock(&table->lock);
	idr_replace(&table->ranges, range, range->handle);
	table->pins++;
	mutex_unlock(&table->lock);
}

/**
 * longpin_table_remove - give up a handle
 * @table: the table
 * @handle: reserved or published
 * @range: its pin, of which the caller takes over the table's reference; NULL for a handle that is
 *	reserved
 *
 * Return: true; false when somebody else has done so before.
 */
bool longpin_table_remove(struct longpin_pin_table *table, int handle,
			  const struct pinned_range *range)
{
	bool found;

	mutex_lock(&table->lock);
	found = idr_find(&table->ranges, handle) == range;
	if (found) {
		idr_remove(&table->ranges, handle);
		table->count--;
		if (range)
			table->pins--;
	}
	mutex_unlock(&table->lock);
	return found;
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
 * longpin_table_walk - visit the pins from a handle on, in the order of their handles
 * @table: the table
 * @handle: where to start, not negative; set to where to go on
 * @visit: called for each
 * @data: given to it
 *
 * Return: what @visit returned when it stopped the walk, else 0.
 */
int longpin_table_walk(struct longpin_pin_table *table, int *handle, longpin_visit_fn visit,
		       void *data)
{
	struct pinned_range *range;
	int stopped = 0;

	mutex_lock(&table->lock);
	while ((range = idr_get_next(&table->ranges, handle))) {
		stopped = visit(range, data);
		if (stopped)
			break;
		++*handle;
	}
	mutex_unlock(&table->lock);
	return stopped;
}

/**
 * longpin_table_visit - visit one pin
 * @table: the table
 * @handle: any number, as it came from the user
 * @visit: called for it
 * @data: given to it
 *
 * Return: what @visit returned, or -ENOENT.
 */
int longpin_table_visit(struct longpin_pin_table *table, u32 handle, longpin_visit_fn visit,
			void *data)
{
	struct pinned_range *range;
	int result = -ENOENT;

	mutex_lock(&table->lock);
	range = idr_find(&table->ranges, handle);
	if (range)
		result = visit(range, data);
	mutex_unlock(&table->lock);
	return result;
}

/**
 * longpin_table_pins - how many pins there are
 * @table: the table
 *
 * Return: the number.
 */
unsigned long longpin_table_pins(struct longpin_pin_table *table)
{
	unsigned long pins;

	mutex_lock(&table->lock);
	pins = table->pins;
	mutex_unlock(&table->lock);
	return pins;
}

/**
 * longpin_table_info - the table's part of LONGPIN_INFO
 * @table: the table
 * @info: the answer to fill in
 */
void longpin_table_info(struct longpin_pin_table *table, struct longpin_info *info)
{
	unsigned int limit = READ_ONCE(max_pins);

	info->out_max_pins_limit = limit ? limit : LONGPIN_UNLIMITED;
	mutex_lock(&table->lock);
	info->out_max_pins_used = table->count;
	mutex_unlock(&table->lock);
}
