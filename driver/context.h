/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_CONTEXT_H
#define LONGPIN_CONTEXT_H

#include <linux/types.h>

#include "pin_table.h"
#include "process.h"

/**
 * struct longpin_context - an open file of /dev/longpin
 * @pins: its pins
 * @id: names it in the registry
 * @opener: the process that opened it
 * @opened: when, by CLOCK_BOOTTIME, in nanoseconds
 *
 * The file owns it. All but @pins never change.
 */
struct longpin_context {
	struct longpin_pin_table pins;
	int id;
	struct longpin_process opener;
	u64 opened;
};

struct longpin_context *longpin_context_open(void);
void longpin_context_close(struct longpin_context *context);

void longpin_contexts_lock(void);
void longpin_contexts_unlock(void);
struct longpin_context *longpin_contexts_find(u32 id);
struct longpin_context *longpin_contexts_next(int *id);
unsigned long longpin_contexts_count(void);

#endif /* LONGPIN_CONTEXT_H */
