// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leases: pins that the kernel takes back when it takes the pages out of the mapping.
 *
 * An interval notifier tells before page table entries go. Its callback gives the pages back at
 * once, so whoever truncates, unmaps or reclaims never waits for them. It runs in that one's
 * task, under locks of file systems and of the memory management, and so takes no lock but the
 * pin's and the event queue's, both leaves under which nobody sleeps; allocates nothing that could
 * wait; and touches no user memory and no page lock.
 *
 * Taking pages the other way round: note the notifier's sequence (longpin_lease_begin()), look at
 * the mapping, take pages, and under the pin's lock ask whether the sequence is still the same
 * (longpin_lease_lost()) before they are put into the pin. If it isn't, what was taken may no
 * longer be what is mapped, and is given back.
 *
 * UNMAP has to revoke as everything else does: a truncate does not look for busy pages in files
 * that nobody maps, so a pin that outlived the mapping would see its blocks go to another
 * file.
 *
 * Of fs-DAX a lease keeps no references: the callback comes before a page goes, and whoever uses
 * the page holds the pin's lock, which the callback takes. References would be harmful. A truncate
 * that finds a reference of somebody's, be it ours for the moment in which we take a page, lets go
 * of the file system's locks and sleeps until the page has none. Meanwhile the page can be
 * mapped and taken again: by a lease with a reference, that nobody would ever revoke, since the
 * one who would sleeps.
 *
 * A lease that holds nothing any more has nothing to lose. It leaves the notifier's tree, where it
 * would cost whoever truncates or unmaps what it covers, and comes back with the next REPIN. That
 * can't be done in the callback; nor should the task that revokes wake the holder's waiters, who
 * may be many. Work items do both.
 *
 * A file system write-protects a page to be told of the next write: when it has stored the page, or
 * is frozen. Pages that are referenced are never those of such a file system. A lease for writing
 * has no reference on fs-DAX, and so nothing but the right that its pages were taken with: it loses
 * them. REPIN takes them by a fault for writing.
 *
 * A holder may ask for a grace. It is given where another program removes blocks of a file on
 * fs-DAX: the program waits, but for all holders that are in its way together not much longer than
 * the module parameter max_grace_ms.
 *
 * Lock order: see struct pinned_range.
 */
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <linux/longpin.h>

#include "context.h"
#include "dax_devices.h"
#include "lease.h"
#include "notes.h"
#include "pin.h"
#include "refusal.h"

/*
 * Queues of the module's own: what its users make it do is not to delay others' work. To stop
 * listening can take long, as it waits for whatever changes the process's mappings just then; so it
 * is not what waking the holders waits for.
 */
static struct workqueue_struct *lease_queue, *settling_queue;

static unsigned int max_grace_ms = 100;
module_param(max_grace_ms, uint, 0644);
MODULE_PARM_DESC(max_grace_ms,
		 "Most that a lease may keep a truncate waiting, in milliseconds (default 100)");

/**
 * longpin_can_lease - does this kernel have the means for leases?
 *
 * Return: whether it does.
 */
bool longpin_can_lease(void)
{
#ifdef LONGPIN_HAVE_INTERVAL_NOTIFIER
	return true;
#else
	return false;
#endif
}

/**
 * longpin_lease_info - the leases' part of LONGPIN_INFO
 * @info: the answer to fill in
 */
void longpin_lease_info(struct longpin_info *info)
{
	info->out_max_grace_ms = READ_ONCE(max_grace_ms);
	info->__reserved = 0;
}

#ifdef LONGPIN_HAVE_INTERVAL_NOTIFIER

/**
 * struct patience - a task that is kept waiting for holders, or was until a moment ago
 * @task: the task; a name only, it may be gone
 * @born: when it began: another may have its place by now
 * @spent: jiffies that it waited, less those that have passed since
 * @last: when @spent was right
 *
 * The task of one truncate() meets the pins in its way one after the other. So what counts is the
 * task, and what it spends is forgiven as time passes.
 */
struct patience {
	const struct task_struct *task;
	u64 born;
	unsigned long spent;
	unsigned long last;
};

/* Where there is no room for a task, there is no grace. */
static struct patience patiences[16];
static DEFINE_SPINLOCK(patience_lock); /* a leaf, for the above */

static struct patience *current_patience(void)
{
	struct patience *one, *found = NULL;

	lockdep_assert_held(&patience_lock);

	for (one = patiences; one < patiences + ARRAY_SIZE(patiences); one++) {
		if (one->task == current && one->born == current->start_time)
			return one;
		if (time_after_eq(jiffies, one->last + one->spent))
			found = one;
	}
	if (found) {
		found->task = current;
		found->born = current->start_time;
		found->spent = 0;
	}
	return found;
}

/* Jiffies that the current task may be kept waiting. */
static unsigned long patience_left(void)
{
	unsigned long limit = msecs_to_jiffies(READ_ONCE(max_grace_ms));
	struct patience *mine;

	spin_lock(&patience_lock);
	mine = current_patience();
	if (mine) {
		mine->spent -= min(mine->spent, jiffies - mine->last);
		mine->last = jiffies;
		limit -= min(limit, mine->spent);
	}
	spin_unlock(&patience_lock);
	return mine ? limit : 0;
}

static void spend_patience(unsigned long waited)
{
	struct patience *mine;

	spin_lock(&patience_lock);
	mine = current_patience();
	if (mine) {
		mine->spent += waited;
		mine->last = jiffies;
	}
	spin_unlock(&patience_lock);
}

/*
 * Tell the holder, and wait for it to give up the pages from @first up to @end. Not if the one who
 * waits could be the holder, nor in a thread of the kernel, which has other things to do.
 */
static void give_grace(struct longpin_lease *lease, unsigned long first, unsigned long end)
{
	struct pinned_range *range = lease->range;
	unsigned long began = jiffies, grace;

	if (current->flags & PF_KTHREAD || current->mm == lease->notifier.mm ||
	    !READ_ONCE(range->announced) || !pinned_range_holds_dax(range, first, end))
		return;
	grace = min(msecs_to_jiffies(lease->grace_ms), patience_left());
	if (!grace)
		return;
	longpin_note_revoking(range, first, end);
	wait_event_killable_timeout(lease->let_go, !pinned_range_holds_dax(range, first, end),
				    grace);
	spend_patience(jiffies - began);
}

static u32 cause_of(const struct mmu_notifier_range *event)
{
	switch (event->event) {
	case MMU_NOTIFY_PROTECTION_VMA: /* mprotect() */
	case MMU_NOTIFY_SOFT_DIRTY:
		return 0; /* the page stays where it is, and nobody asks who writes to it */
	case MMU_NOTIFY_PROTECTION_PAGE: /* fork() of private memory, and file systems */
		return LONGPIN_CAUSE_WRITE_PROTECT;
	case MMU_NOTIFY_UNMAP:
		return LONGPIN_CAUSE_UNMAP;
	case MMU_NOTIFY_RELEASE:
		return LONGPIN_CAUSE_EXIT;
	default:
		return LONGPIN_CAUSE_INVALIDATE;
	}
}

/* May a file system have sent it that is about to use the pages' blocks for something else? */
static bool takes_blocks(u32 cause)
{
	return cause == LONGPIN_CAUSE_INVALIDATE || cause == LONGPIN_CAUSE_WRITE_PROTECT;
}

static bool may_write_dax(const struct longpin_lease *lease)
{
	lockdep_assert_held(&lease->range->lock);

	return lease->dax.pages && lease->range->flags & LONGPIN_PIN_WRITE;
}

static bool invalidate(struct mmu_interval_notifier *notifier,
		       const struct mmu_notifier_range *event, unsigned long seq)
{
	struct longpin_lease *lease = container_of(notifier, struct longpin_lease, notifier);
	unsigned long base = notifier->interval_tree.start;
	bool may_sleep = mmu_notifier_range_blockable(event);
	struct pinned_range *range = lease->range;
	struct longpin_revoke what = {
		.part.end = range->runs.total,
		.cause = cause_of(event),
		.may_sleep = may_sleep,
	};

	/* Also where nothing is revoked: the interface asks for it. */
	spin_lock(&range->lock);
	mmu_interval_set_seq(notifier, seq);
	if (what.cause == LONGPIN_CAUSE_WRITE_PROTECT && !may_write_dax(lease))
		what.cause = 0;
	spin_unlock(&range->lock);

	if (!what.cause)
		return true;
	if (what.cause == LONGPIN_CAUSE_WRITE_PROTECT)
		what.mode = LONGPIN_REVOKE_FSDAX;
	if (event->start > base)
		what.part.first = (event->start - base) >> PAGE_SHIFT;
	if (event->end - 1 < notifier->interval_tree.last)
		what.part.end = ((event->end - 1 - base) >> PAGE_SHIFT) + 1;
	if (lease->grace_ms && may_sleep && takes_blocks(what.cause))
		give_grace(lease, what.part.first, what.part.end);
	/* If others may not run in between, the rest is revoked when the kernel tries again. */
	return pinned_range_revoke(range, &what);
}

static const struct mmu_interval_notifier_ops notifier_ops = {
	.invalidate = invalidate,
};

/*
 * The first notifier of a process takes a lock of each of its mappings, and gives up at any signal.
 * With many mappings, and a timer, it would never come to an end: only a fatal one is let through.
 * What else makes it give up (a task work) ends the call with EINTR, rather than that it is begun
 * again without bound.
 */
static int start_notifier(struct longpin_lease *lease)
{
	const struct pinned_range *range = lease->range;
	sigset_t others, before;
	int err;

	siginitsetinv(&others, sigmask(SIGKILL));
	sigprocmask(SIG_BLOCK, &others, &before);
	err = mmu_interval_notifier_insert(&lease->notifier, current->mm, range->addr & PAGE_MASK,
					   range->runs.total << PAGE_SHIFT, &notifier_ops);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void stop_notifier(struct longpin_lease *lease)
{
	mmu_interval_notifier_remove(&lease->notifier);
	/*
	 * Linux before 5.18, and stable releases before 5.10.113 and 5.15.36, return from that
	 * while another task may be at the notifier yet, under a lock that this takes.
	 */
	mmu_interval_read_begin(&lease->notifier);
}

/**
 * longpin_lease_begin - before the mapping is looked at, and pages are taken
 * @lease: the lease
 *
 * No mmap lock may be held: waits until an invalidation that is under way has ended.
 *
 * Return: what longpin_lease_lost() wants to know. As long as it is the same, so is what the range
 * maps.
 */
unsigned long longpin_lease_begin(struct longpin_lease *lease)
{
	return mmu_interval_read_begin(&lease->notifier);
}

/**
 * longpin_lease_lost - has the mapping changed?
 * @lease: the lease; its pin's lock is held
 * @seq: from longpin_lease_begin()
 *
 * Return: whether pages that were taken since may no longer be what is mapped.
 */
bool longpin_lease_lost(struct longpin_lease *lease, unsigned long seq)
{
	lockdep_assert_held(&lease->range->lock);

	return mmu_interval_read_retry(&lease->notifier, seq);
}

#else /* LONGPIN_HAVE_INTERVAL_NOTIFIER */

static int start_notifier(struct longpin_lease *lease)
{
	return -EOPNOTSUPP;
}

static void stop_notifier(struct longpin_lease *lease)
{
}

unsigned long longpin_lease_begin(struct longpin_lease *lease)
{
	return 0;
}

bool longpin_lease_lost(struct longpin_lease *lease, unsigned long seq)
{
	return false;
}

#endif

/* With a reference on the pin for the work, which is never the last here. */
static void queue_lease_work(struct longpin_lease *lease, struct workqueue_struct *queue,
			     struct work_struct *work)
{
	pinned_range_get(lease->range);
	if (!queue_work(queue, work))
		pinned_range_put(lease->range);
}

/**
 * longpin_lease_notify - wake the holder, which has an event to read
 * @lease: the lease
 *
 * A moment later, by somebody else: doesn't sleep.
 */
void longpin_lease_notify(struct longpin_lease *lease)
{
	if (lease->eventfd)
		atomic_inc(&lease->signals);
	queue_lease_work(lease, lease_queue, &lease->work);
}

/**
 * longpin_lease_emptied - the pin holds nothing any more
 * @lease: its lease
 *
 * Doesn't sleep.
 */
void longpin_lease_emptied(struct longpin_lease *lease)
{
	queue_lease_work(lease, settling_queue, &lease->settling);
}

/**
 * longpin_lease_wait_for_room - wait until revoked pages were given back, if they are still charged
 * @lease: the lease, whose gaps are being filled by the current task
 *
 * Return: 0, -EINTR on a fatal signal.
 */
int longpin_lease_wait_for_room(struct longpin_lease *lease)
{
	return wait_event_killable(lease->let_go, pinned_range_has_room(lease->range)) ? -EINTR : 0;
}

/**
 * longpin_lease_resume - listen again, before pages are taken
 * @lease: the lease of the current process, whose @filling is held
 *
 * Return: 0, -EINTR, -ENOMEM.
 */
int longpin_lease_resume(struct longpin_lease *lease)
{
	int err;

	lockdep_assert_held(&lease->filling);

	if (lease->listening)
		return 0;
	err = start_notifier(lease);
	lease->listening = !err;
	return err;
}

static void wake_holder(struct work_struct *work)
{
	struct longpin_lease *lease = container_of(work, struct longpin_lease, work);
	int signals;

	for (signals = atomic_xchg(&lease->signals, 0); signals > 0; signals--) {
		longpin_eventfd_signal(lease->eventfd);
		cond_resched();
	}
	longpin_event_queue_wake(&lease->range->context->events);
	pinned_range_put(lease->range);
}

static void settle(struct work_struct *work)
{
	struct longpin_lease *lease = container_of(work, struct longpin_lease, settling);

	/* If somebody fills its gaps, that one looks afterwards. */
	if (mutex_trylock(&lease->filling)) {
		if (lease->listening && pinned_range_is_empty(lease->range)) {
			stop_notifier(lease);
			lease->listening = false;
		}
		mutex_unlock(&lease->filling);
	}
	pinned_range_put(lease->range);
}

/**
 * longpin_lease_init - be ready for leases
 *
 * Return: 0, -ENOMEM.
 */
int longpin_lease_init(void)
{
	int err = longpin_dax_init();

	if (err)
		return err;
	lease_queue = alloc_workqueue("longpin-lease", WQ_UNBOUND, 0);
	settling_queue = alloc_workqueue("longpin-settle", WQ_UNBOUND, 0);
	if (lease_queue && settling_queue)
		return 0;
	longpin_lease_exit();
	return -ENOMEM;
}

/**
 * longpin_lease_exit - undo longpin_lease_init(); there are no pins any more but for pending work
 */
void longpin_lease_exit(void)
{
	longpin_dax_exit();
	if (lease_queue)
		destroy_workqueue(lease_queue);
	if (settling_queue)
		destroy_workqueue(settling_queue);
}

/**
 * longpin_lease_check - may a pin be leased as it is asked for?
 * @request: the request
 * @why: filled on refusal
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP.
 */
int longpin_lease_check(const struct longpin_pin *request, struct longpin_refusal *why)
{
	unsigned int limit = READ_ONCE(max_grace_ms);

	if (!(request->flags & LONGPIN_PIN_LEASE)) {
		if (request->grace_ms || request->flags & LONGPIN_PIN_EVENTFD)
			return longpin_refuse(why, -EINVAL, LONGPIN_REASON_LEASE_ONLY);
	} else if (!longpin_can_lease()) {
		return longpin_refuse(why, -EOPNOTSUPP, LONGPIN_REASON_LEASE_KERNEL);
	} else if (request->grace_ms > limit) {
		why->limit = limit;
		why->asked = request->grace_ms;
		return longpin_refuse(why, -EINVAL, LONGPIN_REASON_GRACE);
	}
	if (request->eventfd && !(request->flags & LONGPIN_PIN_EVENTFD))
		return longpin_refuse(why, -EINVAL, LONGPIN_REASON_RESERVED);
	return 0;
}

/**
 * longpin_lease_create - make a pin that holds nothing yet one that can be taken back
 * @range: the pin of the current process, whose address and number of pages are set
 * @request: passed longpin_lease_check()
 * @why: filled on refusal
 *
 * No mmap lock may be held.
 *
 * Return: the lease, or an ERR_PTR: -ENOMEM, -EBADF, -EINVAL, -EINTR.
 */
struct longpin_lease *longpin_lease_create(struct pinned_range *range,
					   const struct longpin_pin *request,
					   struct longpin_refusal *why)
{
	struct longpin_lease *lease = kzalloc(sizeof(*lease), GFP_KERNEL_ACCOUNT);
	struct eventfd_ctx *eventfd;
	int err;

	if (!lease)
		return ERR_PTR(-ENOMEM);
	lease->range = range;
	mutex_init(&lease->filling);
	init_waitqueue_head(&lease->let_go);
	INIT_WORK(&lease->work, wake_holder);
	INIT_WORK(&lease->settling, settle);
	lease->grace_ms = request->grace_ms;

	if (request->flags & LONGPIN_PIN_EVENTFD) {
		eventfd = eventfd_ctx_fdget(request->eventfd);
		if (IS_ERR(eventfd)) {
			err = longpin_refuse(why, PTR_ERR(eventfd), LONGPIN_REASON_EVENTFD);
			goto out_free;
		}
		lease->eventfd = eventfd;
	}
	err = start_notifier(lease);
	if (err)
		goto out_free;
	lease->listening = true;
	return lease;

out_free:
	longpin_lease_free(lease);
	return ERR_PTR(err);
}

/**
 * longpin_lease_end - stop listening, for good
 * @lease: the lease; its pin holds nothing any more, and its @filling is held if others know of the
 *	pin
 *
 * Waits for notifications that are under way. Neither the mmap lock nor the pin's lock may be held.
 */
void longpin_lease_end(struct longpin_lease *lease)
{
	if (lease->listening)
		stop_notifier(lease);
	lease->listening = false;
}

/**
 * longpin_lease_free - free a lease
 * @lease: the lease, which has ended, or NULL
 */
void longpin_lease_free(struct longpin_lease *lease)
{
	if (!lease)
		return;
	if (lease->eventfd)
		eventfd_ctx_put(lease->eventfd);
	mutex_destroy(&lease->filling);
	kfree(lease);
}
