// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a pin would be, without a page taken for it.
 *
 * Whether a pin is refused follows from the mappings and the limits, which were asked before, and
 * from where the files behind the mappings end. So nothing is brought in to find out: that would
 * copy files into the process, fill holes, and mark pages dirty, and all that would stay. What only
 * shows when a page is brought in is not known then, and the interface says so.
 *
 * How many runs there would be is an estimate. Pages that are mapped are looked at. Those that are
 * not are taken to lie beside their neighbours.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include <linux/longpin.h>

#include "dry_run.h"
#include "kernel_compat.h"
#include "memory_kind.h"
#include "pin.h"
#include "refusal.h"
#include "unit.h"

/* Pages in one look; they are on the stack. */
#define LOOK_PAGES 32UL

/* The records of so many runs are part of a pin that holds nothing yet. */
#define RUNS_AT_FIRST 4

/* A page of which it isn't known where it is */
#define UNKNOWN (~0UL)

/**
 * struct look - the state of one walk
 * @addr: address of the next page
 * @segment: the mapping there
 * @pfn: the page before it, if it is in the same mapping; or UNKNOWN
 * @runs: so far
 * @kinds: LONGPIN_KIND_*, so far
 */
struct look {
	unsigned long addr;
	struct memory_segment segment;
	unsigned long pfn;
	u64 runs;
	u32 kinds;
};

static void count_page(struct look *look, unsigned long pfn)
{
	/* The zero page, which is mapped again and again, says nothing of what will be there. */
	if (pfn == look->pfn)
		pfn = UNKNOWN;
	else if (look->pfn != UNKNOWN && pfn != look->pfn + 1)
		look->runs++;
	look->pfn = pfn;
	look->addr += PAGE_SIZE;
}

/* The pages present there, as many as there are in a row. Returns how many. */
static long count_present(struct look *look, unsigned long nr)
{
	struct page *pages[LOOK_PAGES];
	long got, i;

	/* As in take_pages.c: a device may be going. */
	longpin_pagemap_read_lock();
	got = longpin_gup_present(look->addr, nr, false, pages);
	for (i = 0; i < got; i++) {
		count_page(look, page_to_pfn(pages[i]));
		put_page(pages[i]);
	}
	longpin_pagemap_read_unlock();
	return got;
}

/* Behind a page that isn't there; or behind a whole page table that isn't. */
static void skip(struct look *look, unsigned long end)
{
	unsigned long next = look->addr + PAGE_SIZE;

	if (!longpin_is_mapped_by_page(current->mm, look->addr))
		next = ALIGN(next, PMD_SIZE);
	look->addr = next ? min(next, end) : end;
	look->pfn = UNKNOWN;
}

static int look_up_segment(struct look *look, struct pinned_range *range,
			   struct longpin_refusal *why)
{
	struct mm_struct *mm = current->mm;
	int err = longpin_mmap_read_lock(mm);

	if (err)
		return err;
	err = longpin_classify(mm, look->addr, range->flags, &look->segment, why);
	longpin_mmap_read_unlock(mm);
	return err;
}

static int look_at_segment(struct look *look, unsigned long end, struct longpin_refusal *why)
{
	end = min(end, look->segment.end);
	look->runs++;
	look->pfn = UNKNOWN;
	while (look->addr < end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (look->addr >= look->segment.data_end)
			return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_FAULT, look->addr);
		if (!count_present(look, min((end - look->addr) >> PAGE_SHIFT, LOOK_PAGES)))
			skip(look, min(end, look->segment.data_end));
		cond_resched();
	}
	return 0;
}

static void estimate(struct pinned_range *range, const struct look *look)
{
	struct longpin_footprint *footprint = &range->footprint;

	spin_lock(&range->lock);
	/* That of one which holds nothing, but has room for some runs. */
	pinned_range_changed(range);
	range->kinds = look->kinds;
	footprint->pages = range->runs.total;
	footprint->runs = look->runs;
	if (look->runs > RUNS_AT_FIRST)
		footprint->bookkeeping += (look->runs - RUNS_AT_FIRST) * sizeof(struct longpin_run);
	spin_unlock(&range->lock);
}

/**
 * longpin_dry_run - tell what a pin of the current process would hold
 * @range: the pin, which holds nothing; its kinds and its footprint are filled
 * @why: filled on refusal
 *
 * Return: 0; -EFAULT or -EOPNOTSUPP with a reason; -EINTR on a fatal signal. Takes and drops the
 * mmap lock; may sleep.
 */
int longpin_dry_run(struct pinned_range *range, struct longpin_refusal *why)
{
	struct look look = { .addr = range->addr & PAGE_MASK };
	unsigned long end = look.addr + (range->runs.total << PAGE_SHIFT);
	int err = 0;

	while (!err && look.addr < end) {
		err = look_up_segment(&look, range, why);
		if (!err)
			err = look_at_segment(&look, end, why);
		look.kinds |= look.segment.kind;
	}
	if (why->bad_addr && why->bad_addr < range->addr)
		why->bad_addr = range->addr; /* it may start within its first page */
	estimate(range, &look);
	return err;
}
