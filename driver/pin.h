/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PIN_H
#define LONGPIN_PIN_H

#include <linux/kref.h>
#include <linux/rwsem.h>
#include <linux/types.h>

#include "accounting.h"
#include "process.h"
#include "runs.h"

struct longpin_copy;
struct longpin_extents;
struct longpin_file;
struct longpin_pin;
struct longpin_query;
struct longpin_refusal;

/**
 * struct longpin_footprint - what a pin holds
 * @pages: pages
 * @runs: physically contiguous runs among them
 * @bookkeeping: bytes of kernel memory that the pin's records take
 */
struct longpin_footprint {
	u64 pages;
	u64 runs;
	u64 bookkeeping;
};

/**
 * struct pinned_range - a pin
 * @ref: one for the table, one for each call that works on the pin
 * @sem: held for reading while the pages are used, for writing to release them, so that
 *	they are released when UNPIN returns and not when the last reader lets go
 * @released: the pages are gone; the handle is, or is about to be. Protected by @sem
 * @flags: LONGPIN_PIN_*, as asked
 * @kinds: LONGPIN_KIND_* of the memory
 * @addr: first byte, as asked, without a tag
 * @length: bytes, as asked
 * @cookie: as asked
 * @context: id of its context
 * @handle: names it there
 * @footprint: what it holds
 * @made: when it was made, by CLOCK_BOOTTIME, in nanoseconds
 * @maker: the process that made it
 * @file: the file behind the first mapping that has one, or NULL
 * @runs: the pages; protected by @sem
 * @charge: who pays for them
 *
 * All but @ref, @sem, @released, @runs and @charge never change once the pin is published.
 *
 * Lock order: @sem, then the mmap lock (COPY and EXTENTS touch user memory under @sem),
 * and the table's lock. PIN takes the mmap lock before anyone else can see the pin.
 */
struct pinned_range {
	struct kref ref;
	struct rw_semaphore sem;
	bool released;
	u32 flags;
	u32 kinds;
	u64 addr;
	u64 length;
	u64 cookie;
	u32 context;
	u32 handle;
	struct longpin_footprint footprint;
	u64 made;
	struct longpin_process maker;
	struct longpin_file *file;
	struct longpin_runs runs;
	struct longpin_charge charge;
};

struct pinned_range *pinned_range_create(const struct longpin_pin *request,
					 struct longpin_refusal *why);
void pinned_range_get(struct pinned_range *range);
void pinned_range_put(struct pinned_range *range);
void pinned_range_release(struct pinned_range *range);
void pinned_range_end(struct pinned_range *range, u32 cause);

int pinned_range_query(struct pinned_range *range, struct longpin_query *query);
int pinned_range_copy(struct pinned_range *range, const struct longpin_copy *copy);
int pinned_range_extents(struct pinned_range *range, struct longpin_extents *extents);

#endif /* LONGPIN_PIN_H */
