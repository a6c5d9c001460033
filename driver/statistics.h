/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_STATISTICS_H
#define LONGPIN_STATISTICS_H

#include <linux/types.h>

#include <linux/longpin.h>

struct longpin_footprint;

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
 * @revocations: how often pages of a lease were taken back
 * @pages_revoked: how many were
 * @repins: how often a pin got pages again
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
	u64 revocations;
	u64 pages_revoked;
	u64 repins;
	u64 refused[LONGPIN_REASONS];
};

void longpin_count_pinned(const struct longpin_footprint *now, u64 ns);
void longpin_count_change(const struct longpin_footprint *old, const struct longpin_footprint *now);
void longpin_count_unpinned(const struct longpin_footprint *old);
void longpin_count_revoked(u64 pages);
void longpin_count_repinned(void);
void longpin_count_refused(u32 reason);
void longpin_count_dry_run(void);

void longpin_statistics_sum(struct longpin_statistics *sum);
void longpin_statistics_pages(u64 *now, u64 *peak);

#endif /* LONGPIN_STATISTICS_H */
