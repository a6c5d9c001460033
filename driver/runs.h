/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_RUNS_H
#define LONGPIN_RUNS_H

#include <linux/list.h>
#include <linux/types.h>

struct longpin_charge;
struct longpin_refusal;
struct page;

/* struct longpin_run.pfn of a gap */
#define LONGPIN_GAP (~0UL)

/* Bits for the order of a unit: up to 2^31 pages. */
#define LONGPIN_ORDER_BITS 5

/* Bits of struct longpin_run besides the number of pages. */
#define LONGPIN_RUN_BITS (LONGPIN_ORDER_BITS + 2)

/**
 * struct longpin_run - physically contiguous pages, all held, or a gap where none are
 * @pfn: the first page, or LONGPIN_GAP
 * @pages: how many
 * @order: of the units that hold them
 * @hole: zero pages, which are mapped for reading where a file on fs-DAX has a hole
 * @hidden: taken by a call that may still fail: see struct longpin_runs.hiding
 *
 * One reference holds a unit: 2^order pages, aligned in physical memory, which the mapping has
 * as one. It is on the first page that the run has of the unit; the first and the last unit of a
 * run may be in it in part. Where a run ends inside a unit, no other run continues it. Single
 * pages are units of order 0.
 *
 * A run never mixes ordinary pages with ZONE_DEVICE pages, nor pages of two pagemaps,
 * so its first page tells how all of it is held:
 *
 *   ordinary      a pin (FOLL_PIN) a unit
 *   device-DAX    a plain reference a unit, and one reference for the whole run on the
 *                 pagemap, which keeps the device from being unbound
 *   fs-DAX        the reference on the pagemap alone: the pin is a lease, and is told before
 *                 a page goes (see lease.c)
 *
 * A hole is held by nothing: the kernel never frees the zero page, and a huge zero page not before
 * the process has ended, which revokes the lease.
 */
struct longpin_run {
	unsigned long pfn;
	unsigned long pages : BITS_PER_LONG - LONGPIN_RUN_BITS;
	unsigned long order : LONGPIN_ORDER_BITS;
	unsigned long hole : 1;
	unsigned long hidden : 1;
};

/**
 * struct longpin_taken - pages that were taken, and that no list holds yet
 * @runs: the pages in the order of their addresses, each held as struct longpin_run says, but
 *	fs-DAX as device-DAX
 * @nr: how many runs
 * @device: are some of them ZONE_DEVICE pages?
 * @pages: pages in them
 */
struct longpin_taken {
	struct longpin_run *runs;
	unsigned int nr;
	bool device;
	unsigned long pages;
};

/**
 * struct longpin_run_block - some runs of a list; as large as it has to be, a page at most
 * @node: in struct longpin_runs
 * @pages: pages in the runs of this block, gaps included
 * @used: runs in it
 * @room: runs that it has room for
 * @run: the runs, in the order of the pin's addresses
 */
struct longpin_run_block {
	struct list_head node;
	unsigned long pages;
	unsigned int used;
	unsigned int room;
	struct longpin_run run[];
};

/**
 * struct longpin_runs - the pages that a pin holds
 * @blocks: struct longpin_run_block; together they cover the range of the pin
 * @spare: empty blocks, for those who fill gaps
 * @spare_room: runs that these have room for
 * @next_room: runs that the next block is to have room for: no block has more
 * @total: pages in the range
 * @pages: pages held
 * @runs: runs, without the gaps
 * @hiding: what is filled in is hidden: the pages are held, but a reader sees a gap
 * @hidden_pages: of @pages, those that are hidden
 * @hidden_runs: of @runs, those that are hidden
 * @bytes: memory that the blocks take, without the spare ones
 * @revision: changes when runs do; never 0, and never the same again
 *
 * Whoever uses it holds the pin's lock, under which nothing is allocated that could wait. That
 * is why there are spare blocks: they belong to the one who fills gaps, of whom there is one
 * at a time, and are not protected by the lock.
 */
struct longpin_runs {
	struct list_head blocks;
	struct list_head spare;
	unsigned long spare_room;
	unsigned long next_room;
	unsigned long total;
	unsigned long pages;
	unsigned long runs;
	bool hiding;
	unsigned long hidden_pages;
	unsigned long hidden_runs;
	size_t bytes;
	u64 revision;
};

/**
 * struct longpin_run_cursor - a place in a list of runs
 * @at: the page, counted from the start of the pin
 * @block: block of the run, NULL behind the end
 * @index: run in the block
 * @page: page in the run
 * @revision: of the list, when the three above were found
 *
 * All zero but for @at it is a place that has yet to be looked up.
 */
struct longpin_run_cursor {
	unsigned long at;
	struct longpin_run_block *block;
	unsigned int index;
	unsigned long page;
	u64 revision;
};

/* Runs that are looked at while the pin's lock is held. */
#define LONGPIN_LOOK_RUNS 512U

/* Runs that are taken out of a list at a time. */
#define LONGPIN_DETACHED_RUNS 16

/**
 * enum longpin_revoke_mode - which units of a part are to be given back
 * @LONGPIN_REVOKE_TOUCHED: each of which a page is in the part
 * @LONGPIN_REVOKE_INSIDE: those of which no page that is held is outside
 * @LONGPIN_REVOKE_HIDDEN: those that are hidden
 * @LONGPIN_REVOKE_FSDAX: those of fs-DAX of which a page is in the part
 */
enum longpin_revoke_mode {
	LONGPIN_REVOKE_TOUCHED,
	LONGPIN_REVOKE_INSIDE,
	LONGPIN_REVOKE_HIDDEN,
	LONGPIN_REVOKE_FSDAX,
};

/**
 * struct longpin_revoked - what longpin_runs_revoke() did
 * @next: place to go on from
 * @limit: pages that one run has at most, rounded up to a unit, if there is memory to cut one; 0
 *	for any
 * @first: first page that was taken out and was not hidden
 * @last: last one
 * @pages: how many of those; @first and @last mean nothing if it is 0
 * @hidden: pages that were taken out and were hidden
 * @nr: runs that were taken out
 * @runs: these runs, for longpin_give_back_revoked(): they are held as long as it wasn't called
 */
struct longpin_revoked {
	struct longpin_run_cursor next;
	unsigned long limit;
	unsigned long first;
	unsigned long last;
	unsigned long pages;
	unsigned long hidden;
	unsigned int nr;
	struct longpin_run runs[LONGPIN_DETACHED_RUNS];
};

int longpin_runs_init(struct longpin_runs *runs, unsigned long pages);
void longpin_runs_destroy(struct longpin_runs *runs);

unsigned long longpin_sort_pages(struct page **pages, unsigned long nr,
				 struct longpin_taken *taken);
int longpin_runs_prepare(struct longpin_runs *runs, unsigned int nr);
int longpin_runs_fill(struct longpin_runs *runs, struct longpin_run_cursor *cursor,
		      struct longpin_taken *taken);
void longpin_runs_drop_spare(struct longpin_runs *runs);

void longpin_runs_hide(struct longpin_runs *runs);
void longpin_runs_show(struct longpin_runs *runs);
bool longpin_runs_unmark(struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			 unsigned long end);

bool longpin_runs_revoke(struct longpin_runs *runs, unsigned long end,
			 enum longpin_revoke_mode mode, struct longpin_revoked *revoked);
int longpin_charge_taken(const struct longpin_taken *taken, struct longpin_charge *charge,
			 struct longpin_refusal *why);
unsigned long longpin_give_back_revoked(const struct longpin_revoked *revoked,
					struct longpin_charge *charge, bool dirty, bool may_sleep);
void longpin_runs_release(struct longpin_runs *runs, struct longpin_charge *charge, bool dirty);
void longpin_give_back(const struct longpin_taken *taken, struct longpin_charge *charge);

unsigned long longpin_runs_here(const struct longpin_runs *runs, struct longpin_run_cursor *cursor,
				unsigned long *pfn);
bool longpin_runs_find_gap(const struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			   unsigned long end, unsigned long *pages);
void longpin_runs_advance(const struct longpin_runs *runs, struct longpin_run_cursor *cursor,
			  unsigned long pages);

#endif /* LONGPIN_RUNS_H */
