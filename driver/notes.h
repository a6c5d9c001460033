/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_NOTES_H
#define LONGPIN_NOTES_H

#include <linux/types.h>

struct longpin_context;
struct longpin_pin;
struct longpin_refusal;
struct pinned_range;

void longpin_note_pinned(struct pinned_range *range);
void longpin_note_unpinned(struct pinned_range *range, u32 cause);
void longpin_note_refused(const struct longpin_context *context, const struct longpin_pin *request,
			  int err, const struct longpin_refusal *why);

void longpin_tell_revoked(struct pinned_range *range, unsigned long first, unsigned long end,
			  u32 cause);
void longpin_note_revoking(struct pinned_range *range, unsigned long first, unsigned long end);
void longpin_note_revoked(struct pinned_range *range, unsigned long first, unsigned long end,
			  unsigned long pages, u32 cause);
void longpin_note_repinned(struct pinned_range *range);

#endif /* LONGPIN_NOTES_H */
