// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for pinned pages.
 *
 * Four counts, each raised for a pin by all of its pages before the first page is
 * taken and lowered after the last was given back:
 *
 *   user->locked_vm     pages of the user, under RLIMIT_MEMLOCK of the caller; shared
 *                       with io_uring, perf, AF_XDP and others
 *   longpin_user.pages  pages that the user's pins keep, under the module parameter
 *                       max_user_pages
 *   all_pages           the same of every user, under the module parameter max_pages
 *   mm->pinned_vm       pages of the process, shown as VmPin, without a limit
 *
 * One page of a huge page keeps all of it. RLIMIT_MEMLOCK doesn't see that, as it doesn't for most
 * drivers that pin: programs have small buffers in many huge pages without knowing it. The
 * administrator's limits do: once it is known what was taken, they count the rest of the huge page
 * too, once for each user.
 *
 * A count with a limit is raised by compare-and-exchange, so that callers that race for the
 * last pages never pass it. The user's own come first: a request beyond them must not
 * take room from the others, not even for a moment.
 */
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rbtree.h>
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
MODULE_PARM_DESC(max_pages, "Pages that all pins together may keep; 0 for no limit (default 0)");

static unsigned long max_user_pages;
module_param(max_user_pages, ulong, 0644);
MODULE_PARM_DESC(max_user_pages, "Pages that one user's pins may keep; 0 for no limit (default 0)");

static atomic_long_t all_pages = ATOMIC_LONG_INIT(0);

/**
 * struct longpin_user - a user who has pinned pages, or is about to
 * @node: in users, by the address of the kernel's object
 * @account: that object
 * @holder: what holds a reference on it, if it isn't ours: see longpin_hold_user()
 * @pages: pages that are pinned, and the rest of huge pages that are so in part
 * @huge_lock: protects @huge; a leaf
 * @huge: struct huge_part
 * @charges: charges and requests that use this struct; protected by users_lock
 */
struct longpin_user {
	struct hlist_node node;
	struct user_struct *account;
	const struct cred *holder;
	atomic_long_t pages;
	spinlock_t huge_lock; /* see above */
	struct rb_root huge;
	unsigned long charges;
};

/**
 * struct huge_part - a huge page of which a user has pinned a part
 * @node: in struct longpin_user.huge, by @head
 * @head: its first page
 * @pinned: pages of it that are charged for; a page that is pinned twice is two
 */
struct huge_part {
	struct rb_node node;
	unsigned long head;
	unsigned long pinned;
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
		if (user->account == wanted)
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
		user->account = current_user();
		user->holder = longpin_hold_user();
		spin_lock_init(&user->huge_lock);
		user->huge = RB_ROOT;
		hash_add(users, &user->node, (unsigned long)user->account);
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
		WARN_ON_ONCE(!RB_EMPTY_ROOT(&user->huge));
		longpin_release_user(user->account, user->holder);
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

/* Raise the counts under the administrator's limits by @pages, if they allow. */
static int raise_kept(struct longpin_user *user, unsigned long pages, struct longpin_refusal *why)
{
	unsigned long limit, used;

	limit = page_limit(&max_user_pages);
	if (!raise_within(&user->pages, pages, limit, &used))
		return refuse_limit(why, LONGPIN_REASON_MAX_USER_PAGES, limit, used, pages);
	limit = page_limit(&max_pages);
	if (!raise_within(&all_pages, pages, limit, &used)) {
		atomic_long_sub(pages, &user->pages);
		return refuse_limit(why, LONGPIN_REASON_MAX_PAGES, limit, used, pages);
	}
	return 0;
}

/* Lower them; or raise them, if it is a negative number, without asking for limits. */
static void lower_kept(struct longpin_user *user, long pages)
{
	atomic_long_sub(pages, &all_pages);
	atomic_long_sub(pages, &user->pages);
}

/* Raise all counts by @pages, if their limits allow. */
static int raise_counts(const struct longpin_charge *charge, unsigned long pages,
			struct longpin_refusal *why)
{
	struct longpin_user *user = charge->user;
	unsigned long limit, used;
	int err;

	limit = memlock_limit();
	if (!raise_within(&user->account->locked_vm, pages, limit, &used))
		return refuse_limit(why, LONGPIN_REASON_MEMLOCK, limit, used, pages);
	err = raise_kept(user, pages, why);
	if (err) {
		atomic_long_sub(pages, &user->account->locked_vm);
		return err;
	}
	longpin_mm_pinned_add(charge->mm, pages);
	return 0;
}

/**
 * longpin_charge - charge the current user and process for @pages
 * @charge: filled on success; undone by longpin_uncharge_to() and longpin_charge_forget()
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
 * Any task may call this, the pinner may be gone. Doesn't sleep.
 */
void longpin_uncharge_to(struct longpin_charge *charge, unsigned long pages)
{
	unsigned long excess = charge->pages - pages;

	if (!excess || WARN_ON_ONCE(pages > charge->pages))
		return;
	longpin_mm_pinned_add(charge->mm, -(long)excess);
	lower_kept(charge->user, excess);
	atomic_long_sub(excess, &charge->user->account->locked_vm);
	charge->pages = pages;
}

/**
 * longpin_charge_forget - drop the references of a charge
 * @charge: covers nothing any more; or was never charged
 */
void longpin_charge_forget(struct longpin_charge *charge)
{
	if (!charge->user)
		return;
	WARN_ON_ONCE(charge->pages);
	mmdrop(charge->mm);
	put_user_entry(charge->user);
	charge->user = NULL;
}

/**
 * struct huge_piece - pages of one huge page, not all of it as one unit
 * @head: the first page of the huge page
 * @size: pages in the huge page
 * @pages: how many of them these are
 */
struct huge_piece {
	unsigned long head;
	unsigned long size;
	unsigned long pages;
};

/*
 * The next one in contiguous pages, which are held in units of 2^@order; @pfn is moved behind it.
 * False at the end. A huge page that is there whole, and in a unit, stays so until all of it goes:
 * it keeps no more than what it is charged for.
 */
static bool next_piece(unsigned long *pfn, unsigned long end, unsigned int order,
		       struct huge_piece *piece)
{
	unsigned int size_order;
	struct page *page;

	while (*pfn < end) {
		page = pfn_to_page(*pfn);
		if (!PageCompound(page)) {
			++*pfn;
			continue;
		}
		size_order = longpin_page_order(page);
		piece->size = 1UL << size_order;
		piece->head = page_to_pfn(compound_head(page));
		piece->pages = min(piece->head + piece->size, end) - *pfn;
		*pfn += piece->pages;
		if (piece->pages < piece->size || order < size_order)
			return true;
	}
	return false;
}

/* The entry of a huge page, or NULL. *@parent and *@link are where one would go. */
static struct huge_part *find_part(struct longpin_user *user, unsigned long head,
				   struct rb_node **parent, struct rb_node ***link)
{
	struct rb_node **at = &user->huge.rb_node;
	struct huge_part *part;

	lockdep_assert_held(&user->huge_lock);

	*parent = NULL;
	while (*at) {
		part = rb_entry(*at, struct huge_part, node);
		if (head == part->head)
			return part;
		*parent = *at;
		at = head < part->head ? &(*at)->rb_left : &(*at)->rb_right;
	}
	*link = at;
	return NULL;
}

/* Pages of a huge page that nobody is charged for, if so many are charged for. */
static unsigned long rest_of(unsigned long size, unsigned long pinned)
{
	return pinned && pinned < size ? size - pinned : 0;
}

/*
 * So many pages of it are charged for from now on: charge for more or less of the rest. If @why is
 * NULL, no limit is asked.
 */
static int change_rest(struct longpin_user *user, unsigned long size, unsigned long old_pinned,
		       unsigned long pinned, struct longpin_refusal *why)
{
	unsigned long old = rest_of(size, old_pinned), rest = rest_of(size, pinned);

	if (rest > old && why)
		return raise_kept(user, rest - old, why);
	lower_kept(user, (long)old - (long)rest);
	return 0;
}

/* Count a piece, if the limits allow for the rest. *@fresh is used if there is no entry. */
static int pin_piece(struct longpin_user *user, const struct huge_piece *piece,
		     struct huge_part **fresh, struct longpin_refusal *why)
{
	struct rb_node *parent, **link;
	unsigned long old = 0;
	struct huge_part *part;
	int err;

	part = find_part(user, piece->head, &parent, &link);
	if (!part && !*fresh)
		return -EAGAIN;
	if (part)
		old = part->pinned;
	err = change_rest(user, piece->size, old, old + piece->pages, why);
	if (err)
		return err;
	if (!part) {
		part = *fresh;
		*fresh = NULL;
		part->head = piece->head;
		rb_link_node(&part->node, parent, link);
		rb_insert_color(&part->node, &user->huge);
	}
	part->pinned = old + piece->pages;
	return 0;
}

static int charge_piece(struct longpin_user *user, const struct huge_piece *piece,
			struct longpin_refusal *why)
{
	struct huge_part *fresh = NULL;
	int err;

	do {
		spin_lock(&user->huge_lock);
		err = pin_piece(user, piece, &fresh, why);
		spin_unlock(&user->huge_lock);
		if (err == -EAGAIN) {
			fresh = kmalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
			if (!fresh)
				return -ENOMEM;
		}
	} while (err == -EAGAIN);
	kfree(fresh);
	return err;
}

static void uncharge_piece(struct longpin_user *user, const struct huge_piece *piece)
{
	struct rb_node *parent, **link;
	struct huge_part *part;
	unsigned long old;

	spin_lock(&user->huge_lock);
	part = find_part(user, piece->head, &parent, &link);
	if (WARN_ON_ONCE(!part || part->pinned < piece->pages)) {
		spin_unlock(&user->huge_lock);
		return;
	}
	old = part->pinned;
	part->pinned -= piece->pages;
	/* What isn't held any more is charged a moment longer: a limit is never passed. */
	change_rest(user, piece->size, old, part->pinned, NULL);
	if (part->pinned)
		part = NULL;
	else
		rb_erase(&part->node, &user->huge);
	spin_unlock(&user->huge_lock);
	kfree(part);
}

/**
 * longpin_charge_huge - charge for the rest of huge pages of which some pages are pinned
 * @charge: what these pages are charged to
 * @pfn: first of contiguous pages; each unit of them has a reference
 * @pages: how many
 * @order: they are held, and given back, in units of 2^order pages
 * @why: filled on refusal
 *
 * Only the administrator's limits count the rest. May sleep.
 *
 * Return: 0, or -ENOMEM when a limit is met. Nothing is charged then.
 */
int longpin_charge_huge(struct longpin_charge *charge, unsigned long pfn, unsigned long pages,
			unsigned int order, struct longpin_refusal *why)
{
	unsigned long at = pfn, end = pfn + pages;
	struct huge_piece piece;
	int err;

	while (next_piece(&at, end, order, &piece)) {
		err = charge_piece(charge->user, &piece, why);
		if (err) {
			longpin_uncharge_huge(charge, pfn, at - piece.pages - pfn, order);
			return err;
		}
	}
	return 0;
}

/**
 * longpin_uncharge_huge - undo longpin_charge_huge()
 * @charge: as it was given
 * @pfn: first of the pages, or of some of them: units
 * @pages: how many; they still have their references
 * @order: as it was given
 */
void longpin_uncharge_huge(struct longpin_charge *charge, unsigned long pfn, unsigned long pages,
			   unsigned int order)
{
	unsigned long end = pfn + pages;
	struct huge_piece piece;

	while (next_piece(&pfn, end, order, &piece))
		uncharge_piece(charge->user, &piece);
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
