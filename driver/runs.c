// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of the pages that a pin holds: runs of contiguous pages, 16 bytes each, in
 * a list of blocks. Blocks are never grown, each is up to twice as large as the one before,
 * up to a page: memory that comes in one piece costs one small block, and memory that comes in
 * single pages costs 16 bytes a page and needs no large allocation.
 *
 * What is not held is a run too, a gap. A pin starts as one gap, which is filled from its start on;
 * a lease that is revoked turns runs, or parts of them, into gaps. That must not fail, and
 * must not wait for memory: if there is none for the two ends of a run that is cut, all of the run
 * goes.
 */
#include <linux/gfp.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "accounting.h"
#include "kernel_compat.h"
#include "runs.h"

#define BLOCK_SPACE	 (PAGE_SIZE - sizeof(struct longpin_run_block))
#define BLOCK_ROOM_FIRST 4UL
#define BLOCK_ROOM_MAX	 ((unsigned long)(BLOCK_SPACE / sizeof(struct longpin_run)))

/* Pages released between two chances for others to run. */
#define RELEASE_CHUNK 512UL

static size_t block_bytes(unsigned int room)
{
	return sizeof(struct longpin_run_block) + room * sizeof(struct longpin_run);
}

static struct longpin_run_block *new_block(unsigned long room, gfp_t gfp)
{
	struct longpin_run_block *block = kmalloc(block_bytes(room), gfp);

	if (block) {
		block->pages = 0;
		block->used = 0;
		block->room = room;
	}
	return block;
}

/* A block that is to take what is behind a cut in another is to be as large as that one. */
static void larger_next(struct longpin_runs *runs, unsigned long room)
{
	WRITE_ONCE(runs->next_room, max(runs->next_room, min(2 * room, BLOCK_ROOM_MAX)));
}

static void link_block(struct longpin_runs *runs, struct longpin_run_block *block,
		       struct list_head *behind)
{
	list_add(&block->node, behind);
	runs->bytes += block_bytes(block->room);
}

static void drop_block(struct longpin_runs *runs, struct longpin_run_block *block)
{
	list_del(&block->node);
	runs->bytes -= block_bytes(block->room);
	kfree(block);
}

/**
 * longpin_runs_init - a list that holds nothing yet
 * @runs: filled
 * @pages: pages in the range, not 0
 *
 * Return: 0, -ENOMEM.
 */
int longpin_runs_init(struct longpin_runs *runs, unsigned long pages)
{
	/* There are never more runs than pages. */
	struct longpin_run_block *block =
		new_block(min(pages, BLOCK_ROOM_FIRST), GFP_KERNEL_ACCOUNT);

	if (!block)
		return -ENOMEM;
	memset(runs, 0, sizeof(*runs));
	INIT_LIST_HEAD(&runs->blocks);
	INIT_LIST_HEAD(&runs->spare);
	runs->revision = 1;
	larger_next(runs, BLOCK_ROOM_FIRST);
	runs->total = pages;

	block->used = 1;
	block->pages = pages;
	block->run[0] = (struct longpin_run){ .pfn = LONGPIN_GAP, .pages = pages };
	link_block(runs, block, &runs->blocks);
	return 0;
}

/**
 * longpin_runs_destroy - free what a list takes
 * @runs: holds no pages
 */
void longpin_runs_destroy(struct longpin_runs *runs)
{
	struct longpin_run_block *block, *next;

	WARN_ON_ONCE(runs->pages);
	longpin_runs_drop_spare(runs);
	list_for_each_entry_safe(block, next, &runs->blocks, node)
		drop_block(runs, block);
}

static bool is_gap(const struct longpin_run *run)
{
	return run->pfn == LONGPIN_GAP;
}

/* Is it held, and to be seen as a gap? */
static bool is_hidden(const struct longpin_runs *runs, const struct longpin_run *run)
{
	return runs->hiding && run->hidden;
}

/* There are @n more runs like this one. */
static void count_runs(struct longpin_runs *runs, const struct longpin_run *run, long n)
{
	if (is_gap(run))
		return;
	runs->runs += n;
	if (is_hidden(runs, run))
		runs->hidden_runs += n;
}

/* There are @n more pages in runs like this one, which is no gap. */
static void count_pages(struct longpin_runs *runs, const struct longpin_run *run, long n)
{
	runs->pages += n;
	if (is_hidden(runs, run))
		runs->hidden_pages += n;
}

static bool is_device(const struct longpin_run *run)
{
	return !is_gap(run) && is_zone_device_page(pfn_to_page(run->pfn));
}

static bool is_fs_dax(const struct longpin_run *run)
{
	return is_device(run) && longpin_is_fs_dax(pfn_to_page(run->pfn));
}

/* Does a run of a list hold no reference on its pages? */
static bool is_unreferenced(const struct longpin_run *run)
{
	return run->hole || is_fs_dax(run);
}

static struct longpin_run_block *prev_block(const struct longpin_runs *runs,
					    struct longpin_run_block *block)
{
	return block->node.prev == &runs->blocks ? NULL : list_prev_entry(block, node);
}

static struct longpin_run_block *next_block(const struct longpin_runs *runs,
					    struct longpin_run_block *block)
{
	return list_is_last(&block->node, &runs->blocks) ? NULL : list_next_entry(block, node);
}

/* The run before a place, or NULL at the start; *block is set to where it is. */
static struct longpin_run *run_before(const struct longpin_runs *runs,
				      struct longpin_run_block **block, unsigned int index)
{
	if (!index) {
		*block = prev_block(runs, *block);
		if (!*block)
			return NULL;
		index = (*block)->used;
	}
	return &(*block)->run[index - 1];
}

/* Pages in the unit. */
static unsigned long unit(const struct longpin_run *run)
{
	return 1UL << run->order;
}

/* The first page that a run has of the unit that one of its pages is in. */
static unsigned long unit_start(const struct longpin_run *run, unsigned long page)
{
	unsigned long pfn = ALIGN_DOWN(run->pfn + page, unit(run));

	return pfn > run->pfn ? pfn - run->pfn : 0;
}

/* The page behind the last. */
static unsigned long unit_end(const struct longpin_run *run, unsigned long page)
{
	unsigned long pfn = ALIGN(run->pfn + page + 1, unit(run));

	return min(pfn, run->pfn + run->pages) - run->pfn;
}

/* Are ordinary pages, or pages of one pagemap. */
static bool are_alike(const struct page *one, const struct page *other)
{
	if (!is_zone_device_page(one))
		return !is_zone_device_page(other);
	return is_zone_device_page(other) && longpin_page_pgmap(one) == longpin_page_pgmap(other);
}

/* Pages that are looked at without looking whether they are the last. */
#define SORT_STEP 8

/*
 * Pages from the first on that are contiguous; of their flags those stay in *flags that all have.
 * This is what longpin itself does for each page, so it is written to be short.
 */
static unsigned long contiguous(struct page **pages, unsigned long nr, unsigned long *flags)
{
	const struct page *next = pages[0];
	struct page **at = pages, **end = pages + nr;
	unsigned long all = *flags;
	int i;

	for (; end - at >= SORT_STEP; at += SORT_STEP, next = longpin_nth_page(next, SORT_STEP)) {
#pragma GCC unroll 8
		for (i = 0; i < SORT_STEP; i++) {
			if (at[i] != longpin_nth_page(next, i)) {
				*flags = all;
				return at + i - pages;
			}
			all &= longpin_page_flags(longpin_nth_page(next, i));
		}
	}
	for (; at < end && *at == next; at++, next = longpin_nth_page(next, 1))
		all &= longpin_page_flags(next);
	*flags = all;
	return at - pages;
}

/**
 * longpin_sort_pages - make runs of pages
 * @pages: the pages, in the order of their addresses, a reference on each; all within 2 MiB
 * @nr: how many
 * @taken: filled; its @runs have room for @nr
 *
 * Return: the page flags that all of them have; of a page that isn't the first of a huge page these
 * mean nothing, and are taken for none of those that are defined for whole huge pages only.
 */
unsigned long longpin_sort_pages(struct page **pages, unsigned long nr, struct longpin_taken *taken)
{
	unsigned long flags = ~0UL, n;

	taken->nr = 0;
	taken->pages = nr;
	taken->device = false;
	for (; nr; pages += n, nr -= n) {
		n = contiguous(pages, nr, &flags);
		/* A pagemap has 2 MiB at least: what is alike at both ends is so in between. */
		while (!are_alike(pages[0], pages[n - 1]))
			n--;
		taken->device |= is_zone_device_page(pages[0]);
		taken->runs[taken->nr++] = (struct longpin_run){
			.pfn = page_to_pfn(pages[0]),
			.pages = n,
		};
	}
	return flags;
}

/* Can both be one run? */
static bool continues(const struct longpin_run *run, const struct longpin_run *next)
{
	unsigned long end = run->pfn + run->pages;

	if (is_gap(run) || is_gap(next))
		return is_gap(run) && is_gap(next);
	if (end != next->pfn || run->order != next->order || run->hole != next->hole ||
	    run->hidden != next->hidden || !IS_ALIGNED(end, unit(run)))
		return false;
	return are_alike(pfn_to_page(end - 1), pfn_to_page(end));
}

/**
 * longpin_runs_prepare - have blocks at hand for pages that are to be filled in
 * @runs: the list; its lock is not held
 * @nr: how many runs
 *
 * Return: 0, -ENOMEM.
 */
int longpin_runs_prepare(struct longpin_runs *runs, unsigned int nr)
{
	struct longpin_run_block *block;

	if (runs->total <= BLOCK_ROOM_FIRST) /* the first block has room for whatever comes */
		return 0;
	/* One more for what is behind the gap. */
	while (runs->spare_room <= nr) {
		block = new_block(READ_ONCE(runs->next_room), GFP_KERNEL_ACCOUNT);
		if (!block)
			return -ENOMEM;
		list_add_tail(&block->node, &runs->spare);
		runs->spare_room += block->room;
		larger_next(runs, block->room);
	}
	return 0;
}

/**
 * longpin_runs_drop_spare - undo longpin_runs_prepare()
 * @runs: the list
 */
void longpin_runs_drop_spare(struct longpin_runs *runs)
{
	struct longpin_run_block *block, *next;

	list_for_each_entry_safe(block, next, &runs->spare, node) {
		list_del(&block->node);
		kfree(block);
	}
	runs->spare_room = 0;
}

static struct longpin_run *run_at(const struct longpin_run_cursor *cursor)
{
	return &cursor->block->run[cursor->index];
}

/* To the start of the next run. */
static void step(const struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	cursor->at += run_at(cursor)->pages - cursor->page;
	cursor->page = 0;
	if (++cursor->index < cursor->block->used)
		return;
	cursor->index = 0;
	cursor->block = next_block(runs, cursor->block);
}

/* From the start of a run to the start of the one before; false if there is none. */
static bool step_back(const struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	struct longpin_run_block *block = cursor->block;

	if (!run_before(runs, &block, cursor->index))
		return false;
	cursor->index = block == cursor->block ? cursor->index - 1 : block->used - 1;
	cursor->block = block;
	cursor->at -= run_at(cursor)->pages;
	return true;
}

static void seek(const struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	unsigned long page = cursor->at;
	struct longpin_run_block *block;

	if (cursor->revision == runs->revision)
		return;
	cursor->revision = runs->revision;
	cursor->block = NULL;
	cursor->index = 0;
	list_for_each_entry(block, &runs->blocks, node) {
		if (page < block->pages) {
			cursor->block = block;
			break;
		}
		page -= block->pages;
	}
	if (!cursor->block)
		return;
	for (; page >= run_at(cursor)->pages; cursor->index++)
		page -= run_at(cursor)->pages;
	cursor->page = page;
}

/* The list was changed, and the cursor is the only one that knows how. */
static void changed(struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	cursor->revision = ++runs->revision;
}

static struct longpin_run_block *take_spare(struct longpin_runs *runs, unsigned int room)
{
	struct longpin_run_block *block;

	list_for_each_entry(block, &runs->spare, node) {
		if (block->room >= room) {
			list_del(&block->node);
			runs->spare_room -= block->room;
			return block;
		}
	}
	return NULL;
}

/*
 * Move the runs from a place in a block on to a block of their own. The spare ones are only for
 * the one who fills gaps. False without memory.
 */
static bool cut_block(struct longpin_runs *runs, struct longpin_run_block *block,
		      unsigned int index, bool filling)
{
	unsigned int i, tail = block->used - index;
	struct longpin_run_block *fresh;

	fresh = filling ? take_spare(runs, tail) : NULL;
	if (!fresh) {
		/*
		 * Not charged to a memory cgroup: this may be anybody's process. Nor from the
		 * reserves, which a process that reclaims memory could have.
		 */
		fresh = new_block(min(2UL * block->room, BLOCK_ROOM_MAX),
				  GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC);
		if (!fresh)
			return false;
		larger_next(runs, fresh->room);
	}
	memcpy(fresh->run, &block->run[index], tail * sizeof(fresh->run[0]));
	fresh->used = tail;
	for (i = 0; i < tail; i++)
		fresh->pages += fresh->run[i].pages;
	block->used -= tail;
	block->pages -= fresh->pages;
	link_block(runs, fresh, &block->node);
	return true;
}

/*
 * Put runs before the one at the cursor, which is at its start and stays there: as many as there is
 * room for, and one at least. Returns how many; 0 without memory.
 */
static unsigned int insert(struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			   const struct longpin_run *run, unsigned int nr, bool filling)
{
	struct longpin_run_block *block = cursor->block, *prev = prev_block(runs, block);
	unsigned int i, index = cursor->index;
	unsigned long pages = 0;

	if (!index && prev && prev->used < prev->room) {
		block = prev;
		index = prev->used;
	} else if (block->used == block->room) {
		if (!cut_block(runs, block, index, filling))
			return 0;
		cursor->block = next_block(runs, block);
		cursor->index = 0;
	}
	nr = min(nr, block->room - block->used);
	memmove(&block->run[index + nr], &block->run[index],
		(block->used - index) * sizeof(block->run[0]));
	for (i = 0; i < nr; i++) {
		block->run[index + i] = run[i];
		pages += run[i].pages;
		count_runs(runs, &run[i], 1);
	}
	block->used += nr;
	block->pages += pages;
	if (block == cursor->block)
		cursor->index += nr;
	cursor->at += pages;
	changed(runs, cursor);
	return nr;
}

/* Remove the run at the cursor, which is at its start; what it held is somebody else's now. */
static void cut_out(struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	struct longpin_run_block *block = cursor->block;

	block->pages -= run_at(cursor)->pages;
	count_runs(runs, run_at(cursor), -1);
	block->used--;
	memmove(&block->run[cursor->index], &block->run[cursor->index + 1],
		(block->used - cursor->index) * sizeof(block->run[0]));
	if (cursor->index == block->used) {
		cursor->block = next_block(runs, block);
		cursor->index = 0;
	}
	if (!block->used)
		drop_block(runs, block);
	changed(runs, cursor);
}

static void resize(struct longpin_run_block *block, struct longpin_run *run, long pages)
{
	run->pages += pages;
	block->pages += pages;
}

/* Cut the run in two at the cursor, which is at a start then. False without memory. */
static bool split(struct longpin_runs *runs, struct longpin_run_cursor *cursor, bool filling)
{
	struct longpin_run_cursor at = *cursor;
	struct longpin_run head = *run_at(cursor);

	if (!cursor->page)
		return true;
	WARN_ON_ONCE(!is_gap(&head) && unit_start(&head, cursor->page) != cursor->page);
	head.pages = cursor->page;
	at.at -= head.pages;
	at.page = 0;
	if (!insert(runs, &at, &head, 1, filling))
		return false;
	*cursor = at;
	resize(cursor->block, run_at(cursor), -(long)head.pages);
	if (!is_gap(&head)) {
		run_at(cursor)->pfn += head.pages;
		if (is_device(&head))
			longpin_get_pgmap_again(longpin_page_pgmap(pfn_to_page(head.pfn)));
	}
	return true;
}

/* Make one run of that at the cursor, which is at its start, and the next, if they are one. */
static void merge(struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	struct longpin_run_cursor next = *cursor;
	struct longpin_run *run = run_at(cursor);
	unsigned long pages;

	step(runs, &next);
	if (!next.block || !continues(run, run_at(&next)))
		return;
	if (is_device(run))
		put_dev_pagemap(longpin_page_pgmap(pfn_to_page(run->pfn)));
	pages = run_at(&next)->pages;
	cut_out(runs, &next);
	resize(cursor->block, run, pages);
	cursor->revision = next.revision;
}

/* The cursor's run has become another; its place is to be looked up again. */
static void stale(struct longpin_runs *runs, struct longpin_run_cursor *cursor, unsigned long at)
{
	cursor->at = at;
	cursor->revision = runs->revision - 1;
}

/**
 * enum dirty_mode - what becomes of ordinary pages' dirty mark
 * @LEAVE_CLEAN: nothing was written to them
 * @MARK_DIRTY: marked, without their locks: somebody may wait for this who has one
 * @MARK_DIRTY_LOCKED: marked, under their locks
 */
enum dirty_mode {
	LEAVE_CLEAN,
	MARK_DIRTY,
	MARK_DIRTY_LOCKED,
};

/*
 * Are these pages, which are held in units of 2^order pages, surely no part of a huge page, or all
 * of one? It is asked for each unit: so it is short, and lets accounting.c look at the others.
 */
static bool is_whole(const struct page *page, unsigned long pages, unsigned int order)
{
	if (!order)
		return pages == 1 && !longpin_page_order(page);
	return pages == 1UL << order && longpin_page_order(page) <= order;
}

/*
 * Drop the references that hold a run, or held it until it was handed over; and if @charge isn't
 * NULL, what longpin_charge_taken() charged to it.
 */
static void drop_references(const struct longpin_run *run, struct longpin_charge *charge,
			    enum dirty_mode dirty, bool may_sleep)
{
	/* No call spans two memory sections: up to a boundary, if not by the unit. */
	unsigned long step = run->order ? unit(run) : RELEASE_CHUNK;
	unsigned long pfn = run->pfn, end = pfn + run->pages, next, references, i;
	bool device = is_device(run);
	struct page *first;

	for (; pfn < end; pfn = next) {
		next = min(ALIGN(pfn + 1, step), end);
		first = pfn_to_page(pfn);
		references = run->order ? 1 : next - pfn;
		if (device) {
			/* DAX has no page cache to write back: no dirty mark. */
			for (i = 0; i < references; i++)
				put_page(first + i);
		} else {
			if (dirty == MARK_DIRTY)
				longpin_mark_dirty(first, references);
			if (charge && !is_whole(first, next - pfn, run->order))
				longpin_uncharge_huge(charge, pfn, next - pfn, run->order);
			longpin_unpin_range(first, references, dirty == MARK_DIRTY_LOCKED);
		}
		if (may_sleep)
			cond_resched();
	}
}

/* Give back what a run of a list holds. */
static void give_back_run(const struct longpin_run *run, struct longpin_charge *charge,
			  enum dirty_mode dirty, bool may_sleep)
{
	struct dev_pagemap *pgmap =
		is_device(run) ? longpin_page_pgmap(pfn_to_page(run->pfn)) : NULL;

	if (!is_unreferenced(run))
		drop_references(run, charge, dirty, may_sleep);
	if (pgmap)
		put_dev_pagemap(pgmap);
}

/**
 * longpin_charge_taken - charge for huge pages of which a part was taken
 * @taken: the pages
 * @charge: who pays
 * @why: filled on refusal
 *
 * Return: as longpin_charge_huge().
 */
int longpin_charge_taken(const struct longpin_taken *taken, struct longpin_charge *charge,
			 struct longpin_refusal *why)
{
	const struct longpin_run *run = taken->runs, *end = run + taken->nr;
	int err = 0;

	/* A device's memory is that of its file alone, and a hole holds none. */
	if (taken->device || run->hole)
		return 0;
	for (; run < end; run++) {
		if (is_whole(pfn_to_page(run->pfn), run->pages, run->order))
			continue;
		err = longpin_charge_huge(charge, run->pfn, run->pages, run->order, why);
		if (err)
			break;
	}
	if (!err)
		return 0;
	while (run-- > taken->runs)
		longpin_uncharge_huge(charge, run->pfn, run->pages, run->order);
	return err;
}

/**
 * longpin_give_back - give back pages that were taken, and that no list holds
 * @taken: the pages
 * @charge: who pays for them by longpin_charge_taken(), or NULL for nobody
 *
 * Nothing was written to them yet, so they are not marked dirty. Doesn't sleep.
 */
void longpin_give_back(const struct longpin_taken *taken, struct longpin_charge *charge)
{
	unsigned int i;

	for (i = 0; i < taken->nr; i++) {
		if (!taken->runs[i].hole)
			drop_references(&taken->runs[i], charge, LEAVE_CLEAN, false);
	}
}

/* The first of what is to be filled in is in the list, and no longer a part of the gap. */
static void filled(struct longpin_runs *runs, struct longpin_run_cursor *gap,
		   struct longpin_taken *rest, unsigned int nr, unsigned long pages)
{
	count_pages(runs, rest->runs, pages);
	rest->runs += nr;
	rest->nr -= nr;
	rest->pages -= pages;
	resize(gap->block, run_at(gap), -(long)pages);
}

/* Once for each run. The caller holds one, too. All are on a device, or none. */
static void hold_pagemaps(const struct longpin_run *run, unsigned int nr)
{
	if (!is_device(run))
		return;
	for (; nr; run++, nr--)
		longpin_get_pgmap_again(longpin_page_pgmap(pfn_to_page(run->pfn)));
}

/* Fill the gap at the cursor, which is at its start; if all of it, the cursor is of no use then. */
static int fill_gap(struct longpin_runs *runs, struct longpin_run_cursor *cursor,
		    struct longpin_taken *rest)
{
	bool all = run_at(cursor)->pages == rest->pages;
	struct longpin_run_block *block = cursor->block;
	struct longpin_run *before = run_before(runs, &block, cursor->index);
	unsigned long pages, at;
	unsigned int nr;

	if (before && continues(before, rest->runs)) {
		pages = rest->runs->pages;
		cursor->at += pages;
		resize(block, before, pages);
		filled(runs, cursor, rest, 1, pages);
		changed(runs, cursor);
	}
	/* If nothing is left of it, the last run takes the gap's place. */
	while (rest->nr > all) {
		at = cursor->at;
		nr = insert(runs, cursor, rest->runs, rest->nr - all, true);
		if (!nr)
			return -ENOMEM;
		hold_pagemaps(rest->runs, nr);
		filled(runs, cursor, rest, nr, cursor->at - at);
	}
	if (!all)
		return 0;

	if (rest->nr) {
		hold_pagemaps(rest->runs, 1);
		*run_at(cursor) = *rest->runs;
		count_pages(runs, rest->runs, rest->pages);
		count_runs(runs, rest->runs, 1);
		rest->nr = 0;
		changed(runs, cursor);
	} else {
		cut_out(runs, cursor);
		stale(runs, cursor, cursor->at - 1);
		seek(runs, cursor);
		cursor->at -= cursor->page;
		cursor->page = 0;
	}
	merge(runs, cursor);
	return 0;
}

/**
 * longpin_runs_fill - hand over pages that are held from now on
 * @runs: the list
 * @cursor: where they go: a gap that has room for them; behind them afterwards
 * @taken: the pages; if they are ZONE_DEVICE pages, the caller holds a reference on their pagemap,
 *	and keeps it. Afterwards those that the caller still has to give back: what a failure has
 *	left, or all of them where the list holds no references
 *
 * Return: 0, -ENOMEM.
 */
int longpin_runs_fill(struct longpin_runs *runs, struct longpin_run_cursor *cursor,
		      struct longpin_taken *taken)
{
	unsigned long left, end = cursor->at + taken->pages;
	struct longpin_taken rest = *taken;
	unsigned int i;
	int err;

	for (i = 0; i < taken->nr; i++)
		taken->runs[i].hidden = runs->hiding;
	seek(runs, cursor);
	if (WARN_ON_ONCE(!cursor->block || !is_gap(run_at(cursor)) ||
			 run_at(cursor)->pages - cursor->page < taken->pages))
		return -EINVAL;
	left = run_at(cursor)->pages - cursor->page - taken->pages;
	err = split(runs, cursor, true) ? fill_gap(runs, cursor, &rest) : -ENOMEM;
	if (!err && !left)
		stale(runs, cursor, end);
	if (!is_unreferenced(&taken->runs[0]))
		*taken = rest;
	return err;
}

/* Make a gap of the run at the cursor, which is at its start, and move the cursor after it. */
static void make_gap(struct longpin_runs *runs, struct longpin_run_cursor *cursor)
{
	struct longpin_run *run = run_at(cursor);
	unsigned long end = cursor->at + run->pages;

	count_runs(runs, run, -1);
	*run = (struct longpin_run){ .pfn = LONGPIN_GAP, .pages = run->pages };
	changed(runs, cursor);

	merge(runs, cursor);
	if (step_back(runs, cursor))
		merge(runs, cursor);
	while (cursor->at < end)
		step(runs, cursor);
}

/* Take @nr pages from the cursor on, units of a run, out of the list, and leave a gap. */
static void detach(struct longpin_runs *runs, struct longpin_run_cursor *cursor, unsigned long nr,
		   struct longpin_revoked *revoked)
{
	struct longpin_run_cursor end;
	const struct longpin_run *run;

	if (!split(runs, cursor, false)) {
		cursor->at -= cursor->page;
		nr += cursor->page;
		cursor->page = 0;
	}
	if (nr < run_at(cursor)->pages) {
		end = *cursor;
		end.page = nr;
		end.at += nr;
		if (split(runs, &end, false)) {
			*cursor = end;
			step_back(runs, cursor);
		}
	}
	run = run_at(cursor);
	nr = run->pages;

	if (is_hidden(runs, run)) {
		revoked->hidden += nr;
	} else {
		if (!revoked->pages)
			revoked->first = cursor->at;
		revoked->pages += nr;
		revoked->last = cursor->at + nr - 1;
	}
	revoked->runs[revoked->nr++] = *run;
	count_pages(runs, run, -(long)nr);
	make_gap(runs, cursor);
}

/*
 * Go on to the first unit of the cursor's run that is to be revoked, and return how many pages of
 * the run are, from there on: those of all units that the pages up to @end touch, or if @inner
 * those of the units that have no other page.
 */
static unsigned long find_units(struct longpin_run_cursor *cursor, unsigned long end, bool inner)
{
	const struct longpin_run *run = run_at(cursor);
	unsigned long from = cursor->page, to = run->pages;
	unsigned long start = unit_start(run, from);

	to = min(to, from + (end - cursor->at));
	if (!inner) {
		from = start;
		to = unit_end(run, to - 1);
	} else {
		if (start < from)
			from = unit_end(run, from);
		if (to < run->pages)
			to = unit_start(run, to);
	}
	if (from >= to)
		return 0;
	cursor->at += from - cursor->page;
	cursor->page = from;
	return to - from;
}

/* Pages from the cursor on that are to be revoked, to which it is moved; or 0, in its run. */
static unsigned long find_revocable(const struct longpin_runs *runs,
				    struct longpin_run_cursor *cursor, unsigned long end,
				    enum longpin_revoke_mode mode)
{
	const struct longpin_run *run = run_at(cursor);

	if (is_gap(run) || (mode == LONGPIN_REVOKE_HIDDEN && !is_hidden(runs, run)) ||
	    (mode == LONGPIN_REVOKE_FSDAX && !is_fs_dax(run)))
		return 0;
	return find_units(cursor, end, mode == LONGPIN_REVOKE_INSIDE);
}

/**
 * longpin_runs_revoke - take what is held in a part out of the list, some runs of it
 * @runs: the list
 * @end: page to stop at
 * @mode: what to take of it
 * @revoked: its @next is where to start, and nothing was taken out yet; tells what was done, and
 *	where to go on
 *
 * Neither sleeps nor fails, and takes no longer the more pages a run has. More than asked for is
 * taken out when there is no memory to cut a run in two: all of it then. The caller owns the
 * references on what was taken out, and drops them by longpin_give_back_revoked() without the pin's
 * lock.
 *
 * Return: whether there may be more.
 */
bool longpin_runs_revoke(struct longpin_runs *runs, unsigned long end,
			 enum longpin_revoke_mode mode, struct longpin_revoked *revoked)
{
	struct longpin_run_cursor *cursor = &revoked->next;
	unsigned int looks = 0;
	unsigned long n;

	seek(runs, cursor);
	while (cursor->block && cursor->at < end) {
		if (revoked->nr == LONGPIN_DETACHED_RUNS || ++looks > LONGPIN_LOOK_RUNS)
			return true;
		n = find_revocable(runs, cursor, end, mode);
		if (revoked->limit && n > revoked->limit)
			n = unit_end(run_at(cursor), cursor->page + revoked->limit - 1) -
			    cursor->page;
		if (n)
			detach(runs, cursor, n, revoked);
		else
			step(runs, cursor);
	}
	return false;
}

/**
 * longpin_give_back_revoked - give back what longpin_runs_revoke() took out
 * @revoked: what it was; the pin's lock is not held
 * @charge: who pays
 * @dirty: mark ordinary pages dirty, but without their locks
 * @may_sleep: let others run in between
 *
 * Return: how much that was: references that were dropped, and runs.
 */
unsigned long longpin_give_back_revoked(const struct longpin_revoked *revoked,
					struct longpin_charge *charge, bool dirty, bool may_sleep)
{
	unsigned long references = revoked->nr;
	unsigned int i;

	for (i = 0; i < revoked->nr; i++) {
		const struct longpin_run *run = &revoked->runs[i];

		if (!is_unreferenced(run))
			references += DIV_ROUND_UP(run->pages, unit(run));
		give_back_run(run, charge, dirty ? MARK_DIRTY : LEAVE_CLEAN, may_sleep);
	}
	return references;
}

/**
 * longpin_runs_hide - hide what is filled in from now on
 * @runs: the list, in which no run is marked as hidden
 */
void longpin_runs_hide(struct longpin_runs *runs)
{
	runs->hiding = true;
}

/**
 * longpin_runs_show - let all be seen
 * @runs: the list; longpin_runs_unmark() has to follow before anything is hidden again
 */
void longpin_runs_show(struct longpin_runs *runs)
{
	runs->hiding = false;
	runs->hidden_pages = 0;
	runs->hidden_runs = 0;
}

/**
 * longpin_runs_unmark - forget which runs were hidden, and join them with others, some of them
 * @runs: the list, after longpin_runs_show()
 * @cursor: where to start; moved to where to go on
 * @end: page to stop at
 *
 * Return: whether there may be more.
 */
bool longpin_runs_unmark(struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			 unsigned long end)
{
	struct longpin_run_cursor before;
	unsigned int looks = 0;

	seek(runs, cursor);
	while (cursor->block && cursor->at < end) {
		if (++looks > LONGPIN_LOOK_RUNS)
			return true;
		cursor->at -= cursor->page;
		cursor->page = 0;
		if (run_at(cursor)->hidden) {
			run_at(cursor)->hidden = 0;
			before = *cursor;
			if (step_back(runs, &before)) {
				merge(runs, &before);
				*cursor = before;
			}
		}
		step(runs, cursor);
	}
	/* The run after the part may continue its last one. */
	if (cursor->block && !cursor->page) {
		before = *cursor;
		if (step_back(runs, &before))
			merge(runs, &before);
	}
	return false;
}

/**
 * longpin_runs_release - give back all pages
 * @runs: the list, which is nobody else's any more; all a gap afterwards, and of no use
 * @charge: who pays
 * @dirty: mark ordinary pages dirty
 *
 * May sleep, in page locks too.
 */
void longpin_runs_release(struct longpin_runs *runs, struct longpin_charge *charge, bool dirty)
{
	struct longpin_run_block *block, *next;
	struct longpin_run *run;

	list_for_each_entry_safe(block, next, &runs->blocks, node) {
		for (run = block->run; run < block->run + block->used; run++) {
			if (!is_gap(run))
				give_back_run(run, charge, dirty ? MARK_DIRTY_LOCKED : LEAVE_CLEAN,
					      true);
		}
		drop_block(runs, block);
	}
	runs->pages = 0;
	runs->runs = 0;
}

/**
 * longpin_runs_here - what is at a place
 * @runs: the list
 * @cursor: the place
 * @pfn: set to the page there, or to LONGPIN_GAP, which what is hidden is, too
 *
 * Return: contiguous pages, or pages in the gap, from there on; 0 after the end.
 */
unsigned long longpin_runs_here(const struct longpin_runs *runs, struct longpin_run_cursor *cursor,
				unsigned long *pfn)
{
	const struct longpin_run *run;

	seek(runs, cursor);
	if (!cursor->block)
		return 0;
	run = run_at(cursor);
	*pfn = is_gap(run) || is_hidden(runs, run) ? LONGPIN_GAP : run->pfn + cursor->page;
	return run->pages - cursor->page;
}

/**
 * longpin_runs_find_gap - go on to the next gap
 * @runs: the list
 * @cursor: the place; moved to a gap, if it isn't in one, and at least on towards it
 * @end: page to stop at
 * @pages: set to how many are in the gap, from there on and before @end; 0 if none was found
 *
 * Return: whether there may be one yet: some runs were looked at, and none was found.
 */
bool longpin_runs_find_gap(const struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			   unsigned long end, unsigned long *pages)
{
	unsigned int looks = 0;

	*pages = 0;
	seek(runs, cursor);
	while (cursor->block && cursor->at < end) {
		if (is_gap(run_at(cursor))) {
			*pages = min(run_at(cursor)->pages - cursor->page, end - cursor->at);
			return false;
		}
		if (++looks > LONGPIN_LOOK_RUNS)
			return true;
		step(runs, cursor);
	}
	return false;
}

/**
 * longpin_runs_advance - move on
 * @runs: the list
 * @cursor: the place, as longpin_runs_here() has just left it
 * @pages: by how much; not more than longpin_runs_here() returned
 */
void longpin_runs_advance(const struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			  unsigned long pages)
{
	cursor->at += pages;
	cursor->page += pages;
	if (cursor->page == run_at(cursor)->pages)
		step(runs, cursor);
}
