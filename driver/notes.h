/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_NOTES_H
#define LONGPIN_NOTES_H

#include <linux/types.h>

struct longpin_context;
struct longpin_pin;
struct longpin_refusal;
struct pinned_range;

void longpin_note_pinned(const struct pinned_range *range, u64 ns);
void longpin_note_unpinned(const struct pinned_range *range, u32 cause);
void longpin_note_refused(const struct longpin_context *context, const struct longpin_pin *request,
			  int err, const struct longpin_refusal *why);

#endif /* LONGPIN_NOTES_H */
