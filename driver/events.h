/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_EVENTS_H
#define LONGPIN_EVENTS_H

#include <linux/types.h>

struct longpin_change;
struct longpin_context;
struct longpin_pin;
struct longpin_refusal;
struct pinned_range;

void longpin_send_pinned(struct pinned_range *range);
void longpin_send_unpinned(struct pinned_range *range, u32 cause);
void longpin_send_revoked(struct pinned_range *range, u32 cause,
			  const struct longpin_change *change);
void longpin_send_repinned(struct pinned_range *range);
void longpin_send_refused(const struct longpin_context *context, const struct longpin_pin *request,
			  int err, const struct longpin_refusal *why);

int longpin_events_init(void);
void longpin_events_finish(void);
void longpin_events_exit(void);

#endif /* LONGPIN_EVENTS_H */
