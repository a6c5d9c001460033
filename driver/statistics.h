/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_STATISTICS_H
#define LONGPIN_STATISTICS_H

#include <linux/types.h>

#include <linux/longpin.h>

struct pinned_range;

/* LONGPIN_REASON_* are below. */
#define LONGPIN_REASONS (LONGPIN_REASON_MAX_USER_PAGES + 1)

/**
 * struct longpin_statistics - what happened since the module was loaded
 * @pins: pins held; on one processor it may be negative
 * @runs: runs held, likewise
 * @bookkeeping: bytes that their records take, likewise
 * @pins_made: pins ever made
 * @pages_taken: pages that they held
 * @pinning_time: nanoseconds that were spent making them
 * @dry_runs: dry runs, whatever the answer
 * @refused: requests refused, by LONGPIN_REASON_*
 */
struct longpin_statistics {
	s64 pins;
	s64 runs;
	s64 bookkeeping;
	u64 pins_made;
	u64 pages_taken;
	u64 pinning_time;
	u64 dry_runs;
	u64 refused[LONGPIN_REASONS];
};

void longpin_count_pinned(const struct pinned_range *range, u64 ns);
void longpin_count_unpinned(const struct pinned_range *range);
void longpin_count_refused(u32 reason);
void longpin_count_dry_run(void);

void longpin_statistics_sum(struct longpin_statistics *sum);
void longpin_statistics_pages(u64 *now, u64 *peak);

#endif /* LONGPIN_STATISTICS_H */
