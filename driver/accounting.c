// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for pinned pages.
 *
 * Three counts, each raised for a pin by all of its pages before the first page is
 * taken and lowered after the last was given back:
 *
 *   user->locked_vm     pages of the user, under RLIMIT_MEMLOCK of the caller; shared
 *                       with io_uring, perf, AF_XDP and others
 *   all_pages           pages of every context, under the module parameter max_pages
 *   mm->pinned_vm       pages of the process, shown as VmPin, without a limit
 *
 * A count with a limit is raised by compare-and-exchange, so that callers that race for the
 * last pages never pass the limit. The user's comes first: a request beyond it must not take
 * room from the others, not even for a moment.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>

#include <linux/longpin.h>

#include "accounting.h"
#include "kernel_compat.h"
#include "refusal.h"

static unsigned long max_pages;
module_param(max_pages, ulong, 0644);
MODULE_PARM_DESC(max_pages, "Pages that all users together may pin; 0 for no limit (default 0)");

static atomic_long_t all_pages = ATOMIC_LONG_INIT(0);

static unsigned long all_pages_limit(void)
{
	unsigned long limit = READ_ONCE(max_pages);

	return limit ? limit : ULONG_MAX;
}

static unsigned long memlock_limit(void)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK);

	if (limit == RLIM_INFINITY || longpin_capable(CAP_IPC_LOCK))
		return ULONG_MAX;
	return limit >> PAGE_SHIFT;
}

static u64 limit_in_bytes(unsigned long pages)
{
	return pages == ULONG_MAX ? LONGPIN_UNLIMITED : (u64)pages << PAGE_SHIFT;
}

/* Raise @counter by @pages unless that would pass @limit; *used is what it held. */
static bool raise_within(atomic_long_t *counter, unsigned long pages, unsigned long limit,
			 unsigned long *used)
{
	long old, seen = atomic_long_read(counter);

	do {
		old = seen;
		*used = old;
		if (pages > limit || *used > limit - pages)
			return false;
		seen = atomic_long_cmpxchg(counter, old, old + pages);
	} while (seen != old);
	return true;
}

static int refuse_limit(struct longpin_refusal *why, u32 reason, unsigned long limit,
			unsigned long used, unsigned long asked)
{
	why->reason = reason;
	why->limit = limit_in_bytes(limit);
	why->used = (u64)used << PAGE_SHIFT;
	why->asked = (u64)asked << PAGE_SHIFT;
	return -ENOMEM;
}

/**
 * longpin_charge - charge the current user and process for @pages
 * @charge: filled on success; undone by longpin_uncharge()
 * @pages: how many; not more than an address space has
 * @why: filled on refusal
 *
 * Return: 0, or -ENOMEM when a limit is met. Nothing is charged then.
 */
int longpin_charge(struct longpin_charge *charge, unsigned long pages, struct longpin_refusal *why)
{
	struct user_struct *user = current_user();
	unsigned long limit, used;

	limit = memlock_limit();
	if (!raise_within(&user->locked_vm, pages, limit, &used))
		return refuse_limit(why, LONGPIN_REASON_MEMLOCK, limit, used, pages);

	limit = all_pages_limit();
	if (!raise_within(&all_pages, pages, limit, &used)) {
		atomic_long_sub(pages, &user->locked_vm);
		return refuse_limit(why, LONGPIN_REASON_MAX_PAGES, limit, used, pages);
	}

	longpin_mm_pinned_add(current->mm, pages);

	mmgrab(current->mm);
	charge->mm = current->mm;
	charge->user = get_uid(user);
	charge->pages = pages;
	return 0;
}

/**
 * longpin_uncharge - undo longpin_charge()
 * @charge: what to undo
 *
 * Any task may call this, the pinner may be gone. May sleep.
 */
void longpin_uncharge(struct longpin_charge *charge)
{
	longpin_mm_pinned_add(charge->mm, -(long)charge->pages);
	atomic_long_sub(charge->pages, &all_pages);
	atomic_long_sub(charge->pages, &charge->user->locked_vm);

	mmdrop(charge->mm);
	free_uid(charge->user);
	charge->pages = 0;
}

/**
 * longpin_accounting_info - the limits' part of LONGPIN_INFO
 * @info: the answer to fill in
 */
void longpin_accounting_info(struct longpin_info *info)
{
	info->out_memlock_limit = limit_in_bytes(memlock_limit());
	info->out_memlock_used = (u64)atomic_long_read(&current_user()->locked_vm) << PAGE_SHIFT;
	info->out_max_pages_limit = limit_in_bytes(all_pages_limit());
	info->out_max_pages_used = (u64)atomic_long_read(&all_pages) << PAGE_SHIFT;
}
