/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_DRY_RUN_H
#define LONGPIN_DRY_RUN_H

struct longpin_refusal;
struct pinned_range;

int longpin_dry_run(struct pinned_range *range, struct longpin_refusal *why);

#endif /* LONGPIN_DRY_RUN_H */
