/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PIN_H
#define LONGPIN_PIN_H

#include <linux/kref.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "accounting.h"
#include "process.h"
#include "runs.h"

struct longpin_context;
struct longpin_copy;
struct longpin_extents;
struct longpin_file;
struct longpin_lease;
struct longpin_let_go;
struct longpin_pin;
struct longpin_query;
struct longpin_refusal;
struct longpin_repin;

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
 * struct longpin_change - a part of a pin, in bytes from its first
 * @offset: where it begins
 * @length: bytes
 */
struct longpin_change {
	u64 offset;
	u64 length;
};

/**
 * struct longpin_part - consecutive pages of a pin
 * @first: first page
 * @end: one past the last
 */
struct longpin_part {
	unsigned long first;
	unsigned long end;
};

/**
 * struct longpin_revoke - what to revoke of a lease, and how
 * @part: the pages
 * @mode: which units of them
 * @cause: LONGPIN_CAUSE_* to report, if others know of the pin; 0 to report nothing
 * @may_sleep: let others run in between
 * @pages: set to how many pages were revoked that others could see
 */
struct longpin_revoke {
	struct longpin_part part;
	enum longpin_revoke_mode mode;
	u32 cause;
	bool may_sleep;
	unsigned long pages;
};

/**
 * typedef longpin_answer_fn - gives a call's answer to the caller
 * @call: the call, whose structure has its results
 *
 * Return: 0, -EFAULT.
 */
typedef int (*longpin_answer_fn)(const void *call);

/**
 * struct pinned_range - a pin
 * @ref: one for the table, one for each call that works on the pin, and one for each event about it
 *	that has yet to be sent
 * @context: its context; a reference is held
 * @handle: names it there
 * @flags: LONGPIN_PIN_*, as asked
 * @addr: first byte, as asked, without a tag
 * @length: bytes, as asked
 * @cookie: as asked
 * @made: when it was made, by CLOCK_BOOTTIME, in nanoseconds; 0 before
 * @maker: the process that made it
 * @file: the file behind the first mapping that has one, or NULL
 * @lease: what the kernel takes it back by, or NULL
 * @lock: protects all below. Nothing is allocated under it that could wait, nor user memory
 *	touched, nor does anybody sleep: lease.c takes it where none of that is possible
 * @released: the pages are being given back for good: nobody uses @runs but who does that
 * @filling: gaps are being filled: @charge covers more than is held, and doesn't shrink
 * @filled: the part whose gaps are filled then
 * @filled_kinds: LONGPIN_KIND_* of what was filled in
 * @lost: pages of that part were revoked since the last walk over it began
 * @detached: pages that were taken out of @runs, and are about to be given back
 * @announced: others were told of it, and are told what happens to it
 * @kinds: LONGPIN_KIND_* of the memory
 * @runs: the pages
 * @charge: who pays for them: for those in @runs and @detached ones, unless @filling
 * @footprint: what it holds; once it is released, what it held last
 * @counted: of that, what the statistics know
 *
 * All above @lock never change once the pin is published.
 *
 * Lock order, over all files: struct longpin_lease.filling; the mmap lock and file systems' locks;
 * the table's lock; @lock; and under it, each a leaf, those of the event queue, of struct
 * longpin_audience and of dax_devices.c.
 */
struct pinned_range {
	struct kref ref;
	struct longpin_context *context;
	u32 handle;
	u32 flags;
	u64 addr;
	u64 length;
	u64 cookie;
	u64 made;
	struct longpin_process maker;
	struct longpin_file *file;
	struct longpin_lease *lease;

	spinlock_t lock; /* see above */
	bool released;
	bool filling;
	struct longpin_part filled;
	u32 filled_kinds;
	bool lost;
	unsigned long detached;
	bool announced;
	u32 kinds;
	struct longpin_runs runs;
	struct longpin_charge charge;
	struct longpin_footprint footprint;
	struct longpin_footprint counted;
};

/* Is what is held, and @pages more, charged for? The lock is held. */
static inline bool longpin_pin_fits(const struct pinned_range *range, unsigned long pages)
{
	return range->runs.pages + range->detached + pages <= range->charge.pages;
}

struct pinned_range *pinned_range_create(struct longpin_context *context, u32 handle,
					 const struct longpin_pin *request,
					 struct longpin_refusal *why);
void pinned_range_get(struct pinned_range *range);
void pinned_range_put(struct pinned_range *range);
void pinned_range_announce(struct pinned_range *range, u64 ns);
void pinned_range_release(struct pinned_range *range);
void pinned_range_end(struct pinned_range *range, u32 cause);
void pinned_range_close(struct pinned_range *range);

void pinned_range_changed(struct pinned_range *range);
void pinned_range_filled(struct pinned_range *range);
void pinned_range_footprint(struct pinned_range *range, struct longpin_footprint *footprint,
			    u32 *kinds);
bool pinned_range_has_room(struct pinned_range *range);
bool pinned_range_is_empty(struct pinned_range *range);
bool pinned_range_holds_dax(struct pinned_range *range, unsigned long first, unsigned long end);
u64 pinned_range_offset(const struct pinned_range *range, unsigned long page);
bool pinned_range_revoke(struct pinned_range *range, struct longpin_revoke *what);

int pinned_range_unpin(struct pinned_range *range);
int pinned_range_query(struct pinned_range *range, struct longpin_query *query);
int pinned_range_copy(struct pinned_range *range, struct longpin_copy *copy);
int pinned_range_extents(struct pinned_range *range, struct longpin_extents *extents);
int pinned_range_repin(struct pinned_range *range, struct longpin_repin *repin,
		       struct longpin_refusal *why, longpin_answer_fn answer, const void *call);
int pinned_range_let_go(struct pinned_range *range, struct longpin_let_go *let_go);

#endif /* LONGPIN_PIN_H */
