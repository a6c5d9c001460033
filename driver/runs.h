/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_RUNS_H
#define LONGPIN_RUNS_H

#include <linux/types.h>

struct page;

/**
 * struct longpin_run - physically contiguous pages, all held
 * @pfn: the first page
 * @pages: how many
 *
 * A run never mixes ordinary pages with ZONE_DEVICE pages, nor pages of two pagemaps,
 * so its first page tells how all of it is held:
 *
 *   ordinary      a long-term pin a page
 *   ZONE_DEVICE   a plain reference a page, and one reference for the whole run on the
 *                 pagemap, which keeps the device from being unbound
 */
struct longpin_run {
	unsigned long pfn;
	unsigned long pages;
};

/**
 * struct longpin_run_block - some runs of a list; as large as it has to be, a page at most
 * @next: the block that follows, or NULL
 * @pages: pages in the runs of this block
 * @used: runs in it
 * @room: runs that it has room for
 * @run: the runs, in the order of the pin's addresses
 */
struct longpin_run_block {
	struct longpin_run_block *next;
	unsigned long pages;
	unsigned int used;
	unsigned int room;
	struct longpin_run run[];
};

/**
 * struct longpin_runs - the pages that a pin holds
 * @first: list of blocks, NULL when empty
 * @last: its end, where runs are added
 * @runs: runs in all blocks
 * @pages: pages in all runs
 * @bytes: memory that the blocks take
 *
 * Not locked: whoever makes a list owns it alone until the pin is published, and from
 * then on it does not change until it is released, under the pin's semaphore.
 */
struct longpin_runs {
	struct longpin_run_block *first;
	struct longpin_run_block *last;
	unsigned long runs;
	unsigned long pages;
	size_t bytes;
};

/**
 * struct longpin_run_cursor - a place in a list of runs
 * @block: block of the run, NULL behind the end
 * @index: run in the block
 * @page: page in the run
 */
struct longpin_run_cursor {
	struct longpin_run_block *block;
	unsigned int index;
	unsigned long page;
};

int longpin_runs_add(struct longpin_runs *runs, struct page **pages, unsigned long nr,
		     unsigned long total);
void longpin_runs_release(struct longpin_runs *runs, bool dirty);

void longpin_runs_seek(const struct longpin_runs *runs, unsigned long page,
		       struct longpin_run_cursor *cursor);
unsigned long longpin_runs_here(const struct longpin_run_cursor *cursor, unsigned long *pfn);
void longpin_runs_advance(struct longpin_run_cursor *cursor, unsigned long pages);

#endif /* LONGPIN_RUNS_H */
