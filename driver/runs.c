// SPDX-License-Identifier: GPL-2.0-only
/*
 * The record of the pages that a pin holds: runs of contiguous pages, 16 bytes each, in
 * a list of blocks. Blocks are never moved or grown, each is twice as large as the one before,
 * up to a page: memory that comes in one piece costs one small block, and memory that comes in
 * single pages costs 16 bytes a page and needs no large allocation.
 */
#include <linux/gfp.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "kernel_compat.h"
#include "runs.h"

#define BLOCK_SPACE	 (PAGE_SIZE - sizeof(struct longpin_run_block))
#define BLOCK_ROOM_FIRST 4UL
#define BLOCK_ROOM_MAX	 ((unsigned long)(BLOCK_SPACE / sizeof(struct longpin_run)))

/* Pages released between two chances for others to run. */
#define RELEASE_CHUNK 512UL

static struct longpin_run *add_run(struct longpin_runs *runs, unsigned long pages_to_come)
{
	struct longpin_run_block *block = runs->last;
	unsigned long room;
	size_t bytes;

	if (!block || block->used == block->room) {
		room = block ? 2UL * block->room : BLOCK_ROOM_FIRST;
		room = min3(room, pages_to_come, BLOCK_ROOM_MAX);
		bytes = sizeof(*block) + room * sizeof(block->run[0]);
		block = kmalloc(bytes, GFP_KERNEL_ACCOUNT);
		if (!block)
			return NULL;
		block->next = NULL;
		block->pages = 0;
		block->used = 0;
		block->room = room;

		if (runs->last)
			runs->last->next = block;
		else
			runs->first = block;
		runs->last = block;
		runs->bytes += bytes;
	}
	runs->runs++;
	return &block->run[block->used++];
}

/* Pages from pages[0] on that are contiguous, and of one pagemap or of none. */
static unsigned long stretch(struct page **pages, unsigned long nr)
{
	unsigned long pfn = page_to_pfn(pages[0]);
	bool device = is_zone_device_page(pages[0]);
	unsigned long i;

	for (i = 1; i < nr; i++) {
		if (page_to_pfn(pages[i]) != pfn + i)
			break;
		if (is_zone_device_page(pages[i]) != device)
			break;
		if (device && longpin_page_pgmap(pages[i]) != longpin_page_pgmap(pages[0]))
			break;
	}
	return i;
}

static bool continues(const struct longpin_run *run, struct page *page)
{
	struct page *last = pfn_to_page(run->pfn + run->pages - 1);

	if (run->pfn + run->pages != page_to_pfn(page))
		return false;
	if (is_zone_device_page(last) != is_zone_device_page(page))
		return false;
	return !is_zone_device_page(page) || longpin_page_pgmap(last) == longpin_page_pgmap(page);
}

static int add_stretch(struct longpin_runs *runs, struct page *page, unsigned long nr,
		       unsigned long pages_to_come)
{
	struct longpin_run_block *block = runs->last;
	struct longpin_run *run = block ? &block->run[block->used - 1] : NULL;

	if (run && continues(run, page)) {
		run->pages += nr;
	} else {
		/* The caller holds the pagemap, which may be on its way out all the same. */
		if (is_zone_device_page(page) && !longpin_get_dev_pagemap(page_to_pfn(page)))
			return -ENODEV;
		run = add_run(runs, pages_to_come);
		if (!run) {
			if (is_zone_device_page(page))
				put_dev_pagemap(longpin_page_pgmap(page));
			return -ENOMEM;
		}
		run->pfn = page_to_pfn(page);
		run->pages = nr;
	}
	runs->last->pages += nr;
	runs->pages += nr;
	return 0;
}

/* Nothing was written to the pages yet, so they are not marked dirty. */
static void give_back(struct page **pages, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (is_zone_device_page(pages[i]))
			put_page(pages[i]);
		else
			longpin_unpin_range(pages[i], 1, false);
	}
}

/**
 * longpin_runs_add - hand over pages, in the order of their addresses
 * @runs: list that holds them from now on
 * @pages: the pages, each held as struct longpin_run says; for ZONE_DEVICE pages the
 *	caller holds a reference on their pagemap, and keeps it
 * @nr: how many, at least 1
 * @total: pages that the finished list will hold
 *
 * Return: 0, -ENOMEM, or -ENODEV when the device is going away. On failure those pages
 * that the list did not take were given back: none is left with the caller.
 */
int longpin_runs_add(struct longpin_runs *runs, struct page **pages, unsigned long nr,
		     unsigned long total)
{
	unsigned long done, n;
	int err;

	for (done = 0; done < nr; done += n) {
		n = stretch(pages + done, nr - done);
		err = add_stretch(runs, pages[done], n, total - runs->pages);
		if (err) {
			give_back(pages + done, nr - done);
			return err;
		}
	}
	return 0;
}

static void release_run(const struct longpin_run *run, bool dirty)
{
	struct page *first = pfn_to_page(run->pfn);
	unsigned long done, n, i;
	struct dev_pagemap *pgmap = NULL;

	if (is_zone_device_page(first))
		pgmap = longpin_page_pgmap(first);

	for (done = 0; done < run->pages; done += n) {
		/* Up to a boundary, so that a chunk never spans two memory sections. */
		n = RELEASE_CHUNK - (run->pfn + done) % RELEASE_CHUNK;
		n = min(run->pages - done, n);
		if (pgmap) {
			/* DAX has no page cache to write back: no dirty mark. */
			for (i = 0; i < n; i++)
				put_page(pfn_to_page(run->pfn + done + i));
		} else {
			longpin_unpin_range(pfn_to_page(run->pfn + done), n, dirty);
		}
		cond_resched();
	}
	if (pgmap)
		put_dev_pagemap(pgmap);
}

/**
 * longpin_runs_release - give back all pages, and the list's memory
 * @runs: empty afterwards
 * @dirty: mark ordinary pages dirty
 *
 * May sleep, in page locks too.
 */
void longpin_runs_release(struct longpin_runs *runs, bool dirty)
{
	struct longpin_run_block *block = runs->first, *next;
	unsigned int i;

	for (; block; block = next) {
		for (i = 0; i < block->used; i++)
			release_run(&block->run[i], dirty);
		next = block->next;
		kfree(block);
	}
	memset(runs, 0, sizeof(*runs));
}

/**
 * longpin_runs_seek - find a page
 * @runs: list
 * @page: which, counted from the start of the pin; not more than runs->pages
 * @cursor: where it is; behind the end for runs->pages
 *
 * May sleep.
 */
void longpin_runs_seek(const struct longpin_runs *runs, unsigned long page,
		       struct longpin_run_cursor *cursor)
{
	struct longpin_run_block *block = runs->first;

	for (; block && page >= block->pages; block = block->next) {
		page -= block->pages;
		cond_resched();
	}

	cursor->block = block;
	cursor->index = 0;
	for (; block && page >= block->run[cursor->index].pages; cursor->index++)
		page -= block->run[cursor->index].pages;
	cursor->page = page;
}

/**
 * longpin_runs_here - what is at a place
 * @cursor: the place
 * @pfn: page there
 *
 * Return: contiguous pages from there on, 0 behind the end.
 */
unsigned long longpin_runs_here(const struct longpin_run_cursor *cursor, unsigned long *pfn)
{
	const struct longpin_run *run;

	if (!cursor->block)
		return 0;
	run = &cursor->block->run[cursor->index];
	*pfn = run->pfn + cursor->page;
	return run->pages - cursor->page;
}

/**
 * longpin_runs_advance - move on
 * @cursor: the place, not behind the end
 * @pages: by how much; not more than longpin_runs_here() returned
 */
void longpin_runs_advance(struct longpin_run_cursor *cursor, unsigned long pages)
{
	cursor->page += pages;
	if (cursor->page < cursor->block->run[cursor->index].pages)
		return;
	cursor->page = 0;
	if (++cursor->index < cursor->block->used)
		return;
	cursor->index = 0;
	cursor->block = cursor->block->next;
}
