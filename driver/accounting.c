// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for pinned pages.
 *
 * Four counts, each raised for a pin by all of its pages before the first page is
 * taken and lowered after the last was given back:
 *
 *   user->locked_vm     pages of the user, under RLIMIT_MEMLOCK of the caller; shared
 *                       with io_uring, perf, AF_XDP and others
 *   longpin_user.pages  pages of the user pinned by longpin, under the module parameter
 *                       max_user_pages
 *   all_pages           pages of every user, under the module parameter max_pages
 *   mm->pinned_vm       pages of the process, shown as VmPin, without a limit
 *
 * A count with a limit is raised by compare-and-exchange, so that callers that race for the
 * last pages never pass it. The user's own come first: a request beyond them must not
 * take room from the others, not even for a moment.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <linux/longpin.h>

#include "accounting.h"
#include "kernel_compat.h"
#include "refusal.h"

static unsigned long max_pages;
module_param(max_pages, ulong, 0644);
MODULE_PARM_DESC(max_pages, "Pages that all users together may pin; 0 for no limit (default 0)");

static unsigned long max_user_pages;
module_param(max_user_pages, ulong, 0644);
MODULE_PARM_DESC(max_user_pages, "Pages that one user may pin; 0 for no limit (default 0)");

static atomic_long_t all_pages = ATOMIC_LONG_INIT(0);

/**
 * struct longpin_user - a user who has pinned pages, or is about to
 * @node: in users, by the address of the kernel's object
 * @cred: credentials with a reference, which hold that object, @cred->user: not every kernel lets
 *	modules call free_uid()
 * @pages: pages pinned
 * @charges: charges and requests that use this struct; protected by users_lock
 */
struct longpin_user {
	struct hlist_node node;
	const struct cred *cred;
	atomic_long_t pages;
	unsigned long charges;
};

static DEFINE_HASHTABLE(users, 6);
static DEFINE_SPINLOCK(users_lock); /* a leaf */

static unsigned long page_limit(const unsigned long *parameter)
{
	unsigned long limit = READ_ONCE(*parameter);

	return limit ? limit : ULONG_MAX;
}

static struct longpin_user *lookup_user(struct user_struct *wanted)
{
	struct longpin_user *user;

	lockdep_assert_held(&users_lock);

	hash_for_each_possible(users, user, node, (unsigned long)wanted) {
		if (user->cred->user == wanted)
			return user;
	}
	return NULL;
}

/* The current user's, with one more in charges. NULL without memory. */
static struct longpin_user *get_user_entry(void)
{
	struct longpin_user *user, *fresh = NULL;

	spin_lock(&users_lock);
	user = lookup_user(current_user());
	if (!user) {
		spin_unlock(&users_lock);
		fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
		if (!fresh)
			return NULL;
		spin_lock(&users_lock);
		user = lookup_user(current_user());
	}
	if (!user) {
		user = fresh;
		fresh = NULL;
		user->cred = get_current_cred();
		hash_add(users, &user->node, (unsigned long)user->cred->user);
	}
	user->charges++;
	spin_unlock(&users_lock);

	kfree(fresh);
	return user;
}

static void put_user_entry(struct longpin_user *user)
{
	bool last;

	spin_lock(&users_lock);
	last = !--user->charges;
	if (last)
		hash_del(&user->node);
	spin_unlock(&users_lock);

	if (last) {
		put_cred(user->cred);
		kfree(user);
	}
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

/* Raise the counts by @pages, if their limits allow. */
static int raise_counts(const struct longpin_charge *charge, unsigned long pages,
			struct longpin_refusal *why)
{
	struct longpin_user *user = charge->user;
	unsigned long limit, used;
	int err;

	limit = memlock_limit();
	if (!raise_within(&user->cred->user->locked_vm, pages, limit, &used))
		return refuse_limit(why, LONGPIN_REASON_MEMLOCK, limit, used, pages);
	limit = page_limit(&max_user_pages);
	if (!raise_within(&user->pages, pages, limit, &used)) {
		err = refuse_limit(why, LONGPIN_REASON_MAX_USER_PAGES, limit, used, pages);
		goto out_lower_memlock;
	}
	limit = page_limit(&max_pages);
	if (!raise_within(&all_pages, pages, limit, &used)) {
		err = refuse_limit(why, LONGPIN_REASON_MAX_PAGES, limit, used, pages);
		goto out_lower_user;
	}
	longpin_mm_pinned_add(charge->mm, pages);
	return 0;

out_lower_user:
	atomic_long_sub(pages, &user->pages);
out_lower_memlock:
	atomic_long_sub(pages, &user->cred->user->locked_vm);
	return err;
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
	int err;

	charge->user = get_user_entry();
	if (!charge->user)
		return -ENOMEM;
	charge->mm = current->mm;
	err = raise_counts(charge, pages, why);
	if (err) {
		put_user_entry(charge->user);
		charge->user = NULL;
		return err;
	}
	mmgrab(charge->mm);
	charge->pages = pages;
	return 0;
}

/**
 * longpin_charge_more - charge for more pages of the same pin
 * @charge: from longpin_charge(), in the same process
 * @pages: how many
 * @why: filled on refusal
 *
 * The user who paid so far pays, within the limits of the current process.
 *
 * Return: 0, or -ENOMEM when a limit is met. Nothing more is charged then.
 */
int longpin_charge_more(struct longpin_charge *charge, unsigned long pages,
			struct longpin_refusal *why)
{
	int err = raise_counts(charge, pages, why);

	if (!err)
		charge->pages += pages;
	return err;
}

/**
 * longpin_uncharge_to - undo a part of longpin_charge()
 * @charge: what to undo
 * @pages: how many stay charged
 *
 * Any task may call this. Where there are leases it doesn't sleep.
 */
void longpin_uncharge_to(struct longpin_charge *charge, unsigned long pages)
{
	unsigned long excess = charge->pages - pages;

	if (!excess || WARN_ON_ONCE(pages > charge->pages))
		return;
	longpin_mm_pinned_add(charge->mm, -(long)excess);
	atomic_long_sub(excess, &all_pages);
	atomic_long_sub(excess, &charge->user->pages);
	atomic_long_sub(excess, &charge->user->cred->user->locked_vm);
	charge->pages = pages;
}

/**
 * longpin_uncharge - undo longpin_charge()
 * @charge: what to undo; nothing if it was never charged
 *
 * Any task may call this, the pinner may be gone. May sleep.
 */
void longpin_uncharge(struct longpin_charge *charge)
{
	if (!charge->user)
		return;
	longpin_uncharge_to(charge, 0);
	mmdrop(charge->mm);
	put_user_entry(charge->user);
	charge->user = NULL;
}

/**
 * longpin_accounting_info - the limits' part of LONGPIN_INFO
 * @info: the answer to fill in
 */
void longpin_accounting_info(struct longpin_info *info)
{
	struct longpin_user *user;

	info->out_memlock_limit = limit_in_bytes(memlock_limit());
	info->out_memlock_used = (u64)atomic_long_read(&current_user()->locked_vm) << PAGE_SHIFT;
	info->out_max_user_pages_limit = limit_in_bytes(page_limit(&max_user_pages));
	spin_lock(&users_lock);
	user = lookup_user(current_user());
	info->out_max_user_pages_used =
		user ? (u64)atomic_long_read(&user->pages) << PAGE_SHIFT : 0;
	spin_unlock(&users_lock);
	info->out_max_pages_limit = limit_in_bytes(page_limit(&max_pages));
	info->out_max_pages_used = (u64)atomic_long_read(&all_pages) << PAGE_SHIFT;
}
