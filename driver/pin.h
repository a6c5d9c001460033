/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PIN_H
#define LONGPIN_PIN_H

#include <linux/kref.h>
#include <linux/rwsem.h>
#include <linux/types.h>

#include "accounting.h"
#include "runs.h"

struct longpin_copy;
struct longpin_extents;
struct longpin_pin;
struct longpin_query;
struct longpin_refusal;

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
 * @runs: the pages; protected by @sem
 * @charge: who pays for them
 *
 * All but @ref, @sem, @released and @runs never change once the pin is published.
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
	struct longpin_runs runs;
	struct longpin_charge charge;
};

struct pinned_range *pinned_range_create(const struct longpin_pin *request,
					 struct longpin_refusal *why);
void pinned_range_get(struct pinned_range *range);
void pinned_range_put(struct pinned_range *range);
void pinned_range_release(struct pinned_range *range);
size_t pinned_range_bookkeeping(const struct pinned_range *range);

int pinned_range_query(struct pinned_range *range, struct longpin_query *query);
int pinned_range_copy(struct pinned_range *range, const struct longpin_copy *copy);
int pinned_range_extents(struct pinned_range *range, struct longpin_extents *extents);

#endif /* LONGPIN_PIN_H */
