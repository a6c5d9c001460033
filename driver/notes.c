// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens is told in three ways: counted, traced, and sent to those who listen. Here is the
 * one place that each thing that happens comes by; only the end of a pin is counted before it.
 */
#include "events.h"
#include "notes.h"
#include "refusal.h"
#include "statistics.h"
#include "trace.h"

/**
 * longpin_note_pinned - a pin was made
 * @range: the pin, not yet published: so nothing else is told of it before this
 * @ns: what it took
 */
void longpin_note_pinned(const struct pinned_range *range, u64 ns)
{
	longpin_count_pinned(range, ns);
	trace_longpin_pin(range, 0);
	longpin_send_pinned(range);
}

/**
 * longpin_note_unpinned - a pin ended
 * @range: the pin, released and counted
 * @cause: LONGPIN_CAUSE_*
 */
void longpin_note_unpinned(const struct pinned_range *range, u32 cause)
{
	trace_longpin_unpin(range, cause);
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
