// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens is told in four ways: counted, traced, sent to those who listen, and what is revoked
 * to the holder itself. Here is the one place that each thing that happens comes by; only the
 * pins that there are, and what they hold, are counted by themselves.
 */
#include <linux/ktime.h>

#include <linux/longpin.h>

#include "context.h"
#include "events.h"
#include "lease.h"
#include "notes.h"
#include "pin.h"
#include "refusal.h"
#include "statistics.h"
#include "trace.h"

/**
 * longpin_note_pinned - a pin was made
 * @range: the pin, counted
 */
void longpin_note_pinned(struct pinned_range *range)
{
	trace_longpin_pin(range, 0, NULL);
	longpin_send_pinned(range);
}

/**
 * longpin_note_unpinned - a pin ended
 * @range: the pin, released and counted
 * @cause: LONGPIN_CAUSE_*
 */
void longpin_note_unpinned(struct pinned_range *range, u32 cause)
{
	trace_longpin_unpin(range, cause, NULL);
	longpin_send_unpinned(range, cause);
}

/**
 * longpin_note_refused - the current process was refused a pin
 * @context: where it asked for one
 * @request: what it asked for
 * @err: what it is told, a negative errno
 * @why: the reason
 */
void longpin_note_refused(const struct longpin_context *context, const struct longpin_pin *request,
			  int err, const struct longpin_refusal *why)
{
	longpin_count_refused(why->reason);
	trace_longpin_refuse(context, request, err, why);
	longpin_send_refused(context, request, err, why);
}

static void tell_holder(struct pinned_range *range, u32 type, const struct longpin_change *change,
			u32 cause)
{
	const struct longpin_event event = {
		.size = sizeof(event),
		.type = type,
		.handle = range->handle,
		.cause = cause,
		.cookie = range->cookie,
		.offset = change->offset,
		.length = change->length,
		.time = ktime_to_ns(ktime_get_boottime()),
	};

	longpin_event_queue_push(&range->context->events, &event);
	longpin_lease_notify(range->lease);
}

static struct longpin_change change_of(const struct pinned_range *range, unsigned long first,
				       unsigned long end)
{
	struct longpin_change change = { .offset = pinned_range_offset(range, first) };

	change.length = pinned_range_offset(range, end) - change.offset;
	return change;
}

/**
 * longpin_note_revoking - pages of a lease are about to be taken back
 * @range: the pin
 * @first: first page
 * @end: page behind the last
 *
 * Doesn't sleep, as longpin_note_revoked() doesn't.
 */
void longpin_note_revoking(struct pinned_range *range, unsigned long first, unsigned long end)
{
	const struct longpin_change change = change_of(range, first, end);

	tell_holder(range, LONGPIN_EVENT_REVOKING, &change, LONGPIN_CAUSE_INVALIDATE);
}

/**
 * longpin_tell_revoked - pages of a lease were taken back: tell the holder
 * @range: the pin; its lock is held
 * @first: first page
 * @end: page behind the last
 * @cause: LONGPIN_CAUSE_*
 */
void longpin_tell_revoked(struct pinned_range *range, unsigned long first, unsigned long end,
			  u32 cause)
{
	const struct longpin_change change = change_of(range, first, end);

	if (cause != LONGPIN_CAUSE_LET_GO) /* the holder knows */
		tell_holder(range, LONGPIN_EVENT_REVOKED, &change, cause);
}

/**
 * longpin_note_revoked - pages of a lease were taken back: tell everybody else
 * @range: the pin
 * @first: first page
 * @end: page behind the last
 * @pages: how many in between
 * @cause: LONGPIN_CAUSE_*
 */
void longpin_note_revoked(struct pinned_range *range, unsigned long first, unsigned long end,
			  unsigned long pages, u32 cause)
{
	const struct longpin_change change = change_of(range, first, end);

	longpin_count_revoked(pages);
	trace_longpin_revoke(range, cause, &change);
	longpin_send_revoked(range, cause, &change);
}

/**
 * longpin_note_repinned - a lease got pages again
 * @range: the pin
 */
void longpin_note_repinned(struct pinned_range *range)
{
	longpin_count_repinned();
	trace_longpin_repin(range, 0, NULL);
	longpin_send_repinned(range);
}
