/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_REFUSAL_H
#define LONGPIN_REFUSAL_H

#include <linux/types.h>

#include <linux/longpin.h>

/**
 * struct longpin_refusal - why a pin was refused, for the out_* members of the request
 * @reason: LONGPIN_REASON_*
 * @bad_addr: first address that stands in the way
 * @limit: the limit that was met
 * @used: what was used of it
 * @asked: what the request would have added
 */
struct longpin_refusal {
	u32 reason;
	u64 bad_addr;
	u64 limit;
	u64 used;
	u64 asked;
};

static inline int longpin_refuse(struct longpin_refusal *why, int err, u32 reason)
{
	why->reason = reason;
	return err;
}

static inline int longpin_refuse_at(struct longpin_refusal *why, int err, u32 reason,
				    unsigned long addr)
{
	why->bad_addr = addr;
	return longpin_refuse(why, err, reason);
}

/* The numbers of the reasons are in groups: the request, the memory, the limits. */
static inline bool longpin_refused_for_limit(const struct longpin_refusal *why)
{
	return why->reason >= LONGPIN_REASON_MEMLOCK;
}

static inline bool longpin_refused_for_memory(const struct longpin_refusal *why)
{
	return why->reason >= LONGPIN_REASON_HOLE && !longpin_refused_for_limit(why);
}

#endif /* LONGPIN_REFUSAL_H */
