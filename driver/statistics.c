// SPDX-License-Identifier: GPL-2.0-only
/*
 * Statistics: a set of counters a processor, added up when somebody asks. Only the pages have one
 * counter for all, since their peak can't be told from sums.
 *
 * Whoever asks sees each counter at a slightly different moment; on a 32-bit kernel a counter may
 * even be seen in the middle of a carry.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include "pin.h"
#include "statistics.h"

static DEFINE_PER_CPU(struct longpin_statistics, counters);

static atomic64_t pages_now = ATOMIC64_INIT(0);
static atomic64_t pages_peak = ATOMIC64_INIT(0);

static void raise_peak(s64 now)
{
	s64 old, peak = atomic64_read(&pages_peak);

	while (now > peak) {
		old = peak;
		peak = atomic64_cmpxchg(&pages_peak, old, now);
		if (peak == old)
			break;
	}
}

/**
 * longpin_count_pinned - count a pin that was made
 * @now: what it holds
 * @ns: what it took
 *
 * None of the functions that count sleeps.
 */
void longpin_count_pinned(const struct longpin_footprint *now, u64 ns)
{
	static const struct longpin_footprint nothing;

	longpin_count_change(&nothing, now);
	this_cpu_inc(counters.pins);
	this_cpu_inc(counters.pins_made);
	this_cpu_add(counters.pages_taken, now->pages);
	this_cpu_add(counters.pinning_time, ns);
}

/**
 * longpin_count_change - count that a pin holds less, or more
 * @old: what was counted
 * @now: what it holds now
 */
void longpin_count_change(const struct longpin_footprint *old, const struct longpin_footprint *now)
{
	raise_peak(atomic64_add_return(now->pages - old->pages, &pages_now));
	this_cpu_add(counters.runs, now->runs - old->runs);
	this_cpu_add(counters.bookkeeping, now->bookkeeping - old->bookkeeping);
}

/**
 * longpin_count_unpinned - count the end of a pin that longpin_count_pinned() counted
 * @old: what was counted last
 */
void longpin_count_unpinned(const struct longpin_footprint *old)
{
	static const struct longpin_footprint nothing;

	longpin_count_change(old, &nothing);
	this_cpu_dec(counters.pins);
}

/**
 * longpin_count_revoked - count that pages of a lease were taken back
 * @pages: how many
 */
void longpin_count_revoked(u64 pages)
{
	this_cpu_inc(counters.revocations);
	this_cpu_add(counters.pages_revoked, pages);
}

/**
 * longpin_count_repinned - count that a pin got pages again
 */
void longpin_count_repinned(void)
{
	this_cpu_inc(counters.repins);
}

/**
 * longpin_count_refused - count a request that was refused
 * @reason: LONGPIN_REASON_*
 */
void longpin_count_refused(u32 reason)
{
	if (!WARN_ON_ONCE(reason >= LONGPIN_REASONS))
		this_cpu_inc(counters.refused[reason]);
}

/**
 * longpin_count_dry_run - count a dry run
 */
void longpin_count_dry_run(void)
{
	this_cpu_inc(counters.dry_runs);
}

/**
 * longpin_statistics_sum - add the counters up
 * @sum: filled
 */
void longpin_statistics_sum(struct longpin_statistics *sum)
{
	unsigned int cpu, i;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		const struct longpin_statistics *one = per_cpu_ptr(&counters, cpu);

		sum->pins += READ_ONCE(one->pins);
		sum->runs += READ_ONCE(one->runs);
		sum->bookkeeping += READ_ONCE(one->bookkeeping);
		sum->pins_made += READ_ONCE(one->pins_made);
		sum->pages_taken += READ_ONCE(one->pages_taken);
		sum->pinning_time += READ_ONCE(one->pinning_time);
		sum->dry_runs += READ_ONCE(one->dry_runs);
		sum->revocations += READ_ONCE(one->revocations);
		sum->pages_revoked += READ_ONCE(one->pages_revoked);
		sum->repins += READ_ONCE(one->repins);
		for (i = 0; i < LONGPIN_REASONS; i++)
			sum->refused[i] += READ_ONCE(one->refused[i]);
	}
	/* A pin that ended on one processor may have been made on one that was read before. */
	sum->pins = max_t(s64, sum->pins, 0);
	sum->runs = max_t(s64, sum->runs, 0);
	sum->bookkeeping = max_t(s64, sum->bookkeeping, 0);
}

/**
 * longpin_statistics_pages - pages held
 * @now: set to how many are held now
 * @peak: set to the most that were ever held at once
 */
void longpin_statistics_pages(u64 *now, u64 *peak)
{
	*now = atomic64_read(&pages_now);
	*peak = atomic64_read(&pages_peak);
}
