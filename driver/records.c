// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is told over netlink, as attributes. uapi/netlink/longpin.yaml says what each of them means.
 *
 * Each function here returns 0, or -EMSGSIZE when the message has no room left; it is for the
 * caller to drop what was put then.
 */
#include <linux/types.h>
#include <linux/kdev_t.h>
#include <linux/ktime.h>
#include <net/netlink.h>

#include <linux/longpin.h>
#include <linux/longpin_netlink.h>

#include "backing_file.h"
#include "context.h"
#include "lease.h"
#include "pin.h"
#include "reader.h"
#include "records.h"
#include "refusal.h"
#include "statistics.h"

static u64 age(u64 since)
{
	return ktime_to_ns(ktime_get_boottime()) - since;
}

/**
 * longpin_put_context - put the attribute set "context"
 * @skb: where to
 * @reader: who is to read it
 * @context: the context, which stays meanwhile
 *
 * Takes the lock of its table of pins. Return: 0, -EMSGSIZE.
 */
int longpin_put_context(struct sk_buff *skb, const struct longpin_reader *reader,
			struct longpin_context *context)
{
	const struct longpin_process *opener = &context->opener;

	if (nla_put_u32(skb, LONGPIN_A_CONTEXT_ID, context->id) ||
	    nla_put_u32(skb, LONGPIN_A_CONTEXT_PID, longpin_reader_pid(reader, opener)) ||
	    nla_put_string(skb, LONGPIN_A_CONTEXT_COMM, opener->comm) ||
	    nla_put_u32(skb, LONGPIN_A_CONTEXT_UID, longpin_reader_uid(reader, opener)) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_CONTEXT_AGE, age(context->opened),
			      LONGPIN_A_CONTEXT_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_CONTEXT_PINS, longpin_table_pins(&context->pins),
			      LONGPIN_A_CONTEXT_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_CONTEXT_PAGES, atomic64_read(&context->pins.pages),
			      LONGPIN_A_CONTEXT_PAD))
		return -EMSGSIZE;
	if (longpin_process_gone(opener))
		return nla_put_flag(skb, LONGPIN_A_CONTEXT_ORPHANED);
	return 0;
}

static int put_file(struct sk_buff *skb, const struct longpin_file *file)
{
	struct nlattr *nest = nla_nest_start(skb, LONGPIN_A_PIN_FILE);

	if (!nest || nla_put_string(skb, LONGPIN_A_FILE_PATH, file->path) ||
	    nla_put_u32(skb, LONGPIN_A_FILE_MAJOR, MAJOR(file->dev)) ||
	    nla_put_u32(skb, LONGPIN_A_FILE_MINOR, MINOR(file->dev)) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_FILE_INODE, file->inode, LONGPIN_A_FILE_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_FILE_OFFSET, file->offset, LONGPIN_A_FILE_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/* What a pin and a request for one have in common. */
static int put_request(struct sk_buff *skb, const struct longpin_reader *reader,
		       const struct longpin_process *process, u32 context, u64 addr, u64 length,
		       u32 flags, u64 cookie)
{
	if (nla_put_u32(skb, LONGPIN_A_PIN_CONTEXT, context) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_PID, longpin_reader_pid(reader, process)) ||
	    nla_put_string(skb, LONGPIN_A_PIN_COMM, process->comm) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_UID, longpin_reader_uid(reader, process)) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_ADDR, addr, LONGPIN_A_PIN_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_LENGTH, length, LONGPIN_A_PIN_PAD) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_FLAGS, flags) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_COOKIE, cookie, LONGPIN_A_PIN_PAD))
		return -EMSGSIZE;
	return 0;
}

static u32 state_of(const struct pinned_range *range, const struct longpin_footprint *footprint)
{
	if (footprint->pages == range->runs.total)
		return LONGPIN_STATE_HELD;
	return footprint->pages ? LONGPIN_STATE_PARTLY_REVOKED : LONGPIN_STATE_REVOKED;
}

/**
 * longpin_put_pin - put the attribute set "pin"
 * @skb: where to
 * @reader: who is to read it
 * @range: the pin
 *
 * Return: 0, -EMSGSIZE.
 */
int longpin_put_pin(struct sk_buff *skb, const struct longpin_reader *reader,
		    struct pinned_range *range)
{
	struct longpin_footprint footprint;
	u32 kinds;

	pinned_range_footprint(range, &footprint, &kinds);
	if (put_request(skb, reader, &range->maker, range->context->id, range->addr, range->length,
			range->flags, range->cookie) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_HANDLE, range->handle) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_PAGES, footprint.pages, LONGPIN_A_PIN_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_RUNS, footprint.runs, LONGPIN_A_PIN_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_BOOKKEEPING, footprint.bookkeeping,
			      LONGPIN_A_PIN_PAD) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_KINDS, kinds) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_AGE, age(range->made), LONGPIN_A_PIN_PAD) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_STATE, state_of(range, &footprint)) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_REVOKED_PAGES, range->runs.total - footprint.pages,
			      LONGPIN_A_PIN_PAD) ||
	    nla_put_u32(skb, LONGPIN_A_PIN_GRACE, range->lease ? range->lease->grace_ms : 0))
		return -EMSGSIZE;
	/* What has just ended is nobody's orphan: its process may have ended it by ending. */
	if (!READ_ONCE(range->released) && longpin_process_gone(&range->maker) &&
	    nla_put_flag(skb, LONGPIN_A_PIN_ORPHANED))
		return -EMSGSIZE;
	return range->file ? put_file(skb, range->file) : 0;
}

static int put_refusal(struct sk_buff *skb, int err, const struct longpin_refusal *why)
{
	struct nlattr *nest = nla_nest_start(skb, LONGPIN_A_PIN_REFUSAL);

	if (!nest || nla_put_u32(skb, LONGPIN_A_REFUSAL_ERROR, -err) ||
	    nla_put_u32(skb, LONGPIN_A_REFUSAL_REASON, why->reason))
		return -EMSGSIZE;
	if (longpin_refused_for_memory(why) &&
	    nla_put_u64_64bit(skb, LONGPIN_A_REFUSAL_BAD_ADDR, why->bad_addr,
			      LONGPIN_A_REFUSAL_PAD))
		return -EMSGSIZE;
	if (longpin_refused_for_limit(why) &&
	    (nla_put_u64_64bit(skb, LONGPIN_A_REFUSAL_LIMIT, why->limit, LONGPIN_A_REFUSAL_PAD) ||
	     nla_put_u64_64bit(skb, LONGPIN_A_REFUSAL_USED, why->used, LONGPIN_A_REFUSAL_PAD) ||
	     nla_put_u64_64bit(skb, LONGPIN_A_REFUSAL_ASKED, why->asked, LONGPIN_A_REFUSAL_PAD)))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * longpin_put_refused - put the attribute set "pin" of a request that was refused
 * @skb: where to
 * @reader: who is to read it
 * @context: where a pin was asked for
 * @process: who asked
 * @request: what was asked for
 * @err: what the process was told, a negative errno
 * @why: the reason
 *
 * Return: 0, -EMSGSIZE.
 */
int longpin_put_refused(struct sk_buff *skb, const struct longpin_reader *reader,
			const struct longpin_context *context,
			const struct longpin_process *process, const struct longpin_pin *request,
			int err, const struct longpin_refusal *why)
{
	if (put_request(skb, reader, process, context->id, request->addr, request->length,
			request->flags, request->cookie))
		return -EMSGSIZE;
	return put_refusal(skb, err, why);
}

static int put_refused_count(struct sk_buff *skb, u32 reason, u64 count)
{
	struct nlattr *nest = nla_nest_start(skb, LONGPIN_A_STATS_REFUSED);

	if (!nest || nla_put_u32(skb, LONGPIN_A_REFUSED_COUNT_REASON, reason) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_REFUSED_COUNT_COUNT, count,
			      LONGPIN_A_REFUSED_COUNT_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * longpin_put_statistics - put the attribute set "stats"
 * @skb: where to
 *
 * Return: 0, -EMSGSIZE.
 */
int longpin_put_statistics(struct sk_buff *skb)
{
	struct longpin_statistics sum;
	u64 pages, peak;
	u32 reason;

	longpin_statistics_sum(&sum);
	longpin_statistics_pages(&pages, &peak);

	if (nla_put_u64_64bit(skb, LONGPIN_A_STATS_CONTEXTS, longpin_contexts_count(),
			      LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PINS, sum.pins, LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PAGES, pages, LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_RUNS, sum.runs, LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_BOOKKEEPING, sum.bookkeeping,
			      LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PEAK_PAGES, peak, LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PINS_MADE, sum.pins_made, LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PAGES_TAKEN, sum.pages_taken,
			      LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PINNING_TIME, sum.pinning_time,
			      LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_DRY_RUNS, sum.dry_runs, LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_REVOCATIONS, sum.revocations,
			      LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_PAGES_REVOKED, sum.pages_revoked,
			      LONGPIN_A_STATS_PAD) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_STATS_REPINS, sum.repins, LONGPIN_A_STATS_PAD))
		return -EMSGSIZE;

	for (reason = 0; reason < LONGPIN_REASONS; reason++) {
		if (sum.refused[reason] && put_refused_count(skb, reason, sum.refused[reason]))
			return -EMSGSIZE;
	}
	return 0;
}
