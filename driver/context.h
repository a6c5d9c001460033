/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_CONTEXT_H
#define LONGPIN_CONTEXT_H

#include <linux/kref.h>
#include <linux/types.h>

#include "event_queue.h"
#include "pin_table.h"
#include "process.h"

/**
 * struct longpin_context - an open file of /dev/longpin
 * @ref: one for the file, one for each pin, one for each reader that looks at it
 * @pins: its pins; none when the file is gone
 * @events: what was revoked of them
 * @id: names it in the registry
 * @opener: the process that opened it
 * @opened: when, by CLOCK_BOOTTIME, in nanoseconds
 *
 * All but @ref, @pins and @events never change.
 */
struct longpin_context {
	struct kref ref;
	struct longpin_pin_table pins;
	struct longpin_event_queue events;
	int id;
	struct longpin_process opener;
	u64 opened;
};

struct longpin_context *longpin_context_open(void);
void longpin_context_close(struct longpin_context *context);

struct longpin_context *longpin_context_find(u32 id);
struct longpin_context *longpin_context_next(int *id, int last);
void longpin_context_get(struct longpin_context *context);
void longpin_context_put(struct longpin_context *context);
unsigned long longpin_contexts_count(void);
int longpin_contexts_highest(void);

#endif /* LONGPIN_CONTEXT_H */
