// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices on which the files lie that a lease holds pages of.
 *
 * A lease has to notice that a device goes. It holds a reference on the device's pagemap, or the
 * page structures would go under it. A task that unbinds the device waits for that reference,
 * uninterruptibly; and unlike device-DAX, a mounted file system is not unmapped before, so that no
 * notifier reports it. Nor does anybody else: a bus notifier comes for the device that is unbound,
 * which says nothing of the file systems that lie on it by way of partitions, a mapper or a real-
 * time device. What is certain is that the pagemap's reference count has been killed. So it is
 * looked at now and then, as long as there are such leases; and no page of a pagemap that is dying
 * is leased any more.
 *
 * Lock order: see struct pinned_range.
 */
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <linux/longpin.h>

#include "dax_devices.h"
#include "kernel_compat.h"
#include "lease.h"
#include "pin.h"

/* How long an unbind may have to wait for leases. */
#define LOOK_EACH (HZ / 4)

static void look(struct work_struct *work);

static LIST_HEAD(dax_leases); /* struct longpin_lease with pages of fs-DAX */
static unsigned long dax_leases_count;
static DEFINE_SPINLOCK(dax_leases_lock); /* a leaf, for both above */
static DECLARE_DELAYED_WORK(look_work, look);
static struct workqueue_struct *look_queue;

static void watch(struct longpin_lease *lease)
{
	bool first;

	spin_lock(&dax_leases_lock);
	list_add_tail(&lease->dax.node, &dax_leases);
	first = !dax_leases_count++;
	spin_unlock(&dax_leases_lock);
	if (first)
		queue_delayed_work(look_queue, &look_work, LOOK_EACH);
}

static void unwatch(struct longpin_lease *lease)
{
	spin_lock(&dax_leases_lock);
	list_del(&lease->dax.node);
	dax_leases_count--;
	spin_unlock(&dax_leases_lock);
}

/**
 * longpin_dax_device - find or note a device of which pages are about to be held
 * @lease: the lease, whose pin's lock is held
 * @pgmap: the pages' pagemap
 *
 * Return: the device; NULL if the lease holds pages of too many devices.
 */
struct longpin_dax_device *longpin_dax_device(struct longpin_lease *lease,
					      struct dev_pagemap *pgmap)
{
	struct longpin_dax_devices *dax = &lease->dax;
	struct longpin_dax_device *one, *unused = NULL;

	lockdep_assert_held(&lease->range->lock);

	for (one = dax->device; one < dax->device + LONGPIN_DAX_DEVICES; one++) {
		if (!one->pages)
			unused = one;
		else if (one->pgmap == pgmap)
			return one;
	}
	if (unused)
		unused->pgmap = pgmap;
	return unused;
}

/**
 * longpin_dax_count - there are more pages on a device, or fewer
 * @lease: the lease, whose pin's lock is held
 * @device: one of its devices
 * @pages: how many more
 */
void longpin_dax_count(struct longpin_lease *lease, struct longpin_dax_device *device, long pages)
{
	bool had = lease->dax.pages;

	lockdep_assert_held(&lease->range->lock);

	device->pages += pages;
	lease->dax.pages += pages;
	if (!had && lease->dax.pages)
		watch(lease);
	if (had && !lease->dax.pages)
		unwatch(lease);
}

/* The device of a page that is held, or NULL if it is none of fs-DAX. */
static struct longpin_dax_device *device_of(struct longpin_lease *lease, const struct page *page)
{
	struct longpin_dax_device *one;
	struct dev_pagemap *pgmap;

	if (!lease->dax.pages || !is_zone_device_page(page) || !longpin_is_fs_dax(page))
		return NULL;
	pgmap = longpin_page_pgmap(page);
	for (one = lease->dax.device; one < lease->dax.device + LONGPIN_DAX_DEVICES; one++) {
		if (one->pages && one->pgmap == pgmap)
			return one;
	}
	return NULL;
}

/**
 * longpin_dax_uncount - pages were taken out of the pin
 * @lease: the lease, whose pin's lock is held since then
 * @revoked: the pages
 */
void longpin_dax_uncount(struct longpin_lease *lease, const struct longpin_revoked *revoked)
{
	struct longpin_dax_device *device;
	unsigned int i;

	lockdep_assert_held(&lease->range->lock);

	for (i = 0; i < revoked->nr; i++) {
		device = device_of(lease, pfn_to_page(revoked->runs[i].pfn));
		if (device)
			longpin_dax_count(lease, device, -(long)revoked->runs[i].pages);
	}
}

/*
 * The pin of the next lease in turn, with a reference. What is in the list holds pages, and so is
 * not free.
 */
static struct pinned_range *next_pin(void)
{
	struct pinned_range *range = NULL;
	struct longpin_lease *lease;

	spin_lock(&dax_leases_lock);
	lease = list_first_entry_or_null(&dax_leases, struct longpin_lease, dax.node);
	if (lease) {
		range = lease->range;
		pinned_range_get(range);
		list_move_tail(&lease->dax.node, &dax_leases);
	}
	spin_unlock(&dax_leases_lock);
	return range;
}

static bool has_dying_device(struct pinned_range *range)
{
	const struct longpin_dax_device *device = range->lease->dax.device;
	bool dying = false;
	int i;

	spin_lock(&range->lock);
	for (i = 0; i < LONGPIN_DAX_DEVICES; i++)
		dying |= device[i].pages && longpin_pgmap_is_dying(device[i].pgmap);
	spin_unlock(&range->lock);
	return dying;
}

static void look(struct work_struct *work)
{
	unsigned long left = READ_ONCE(dax_leases_count);
	struct pinned_range *range;

	for (; left && (range = next_pin()); left--) {
		if (has_dying_device(range)) {
			struct longpin_revoke all = {
				.part.end = range->runs.total,
				.cause = LONGPIN_CAUSE_INVALIDATE,
				.may_sleep = true,
			};

			/* REPIN gets back what is on other devices. */
			pinned_range_revoke(range, &all);
		}
		pinned_range_put(range);
		cond_resched();
	}
	if (READ_ONCE(dax_leases_count))
		queue_delayed_work(look_queue, &look_work, LOOK_EACH);
}

/**
 * longpin_dax_init - be ready to look
 *
 * Return: 0, -ENOMEM.
 */
int longpin_dax_init(void)
{
	look_queue = alloc_workqueue("longpin-dax", WQ_UNBOUND, 1);
	return look_queue ? 0 : -ENOMEM;
}

/**
 * longpin_dax_exit - look no more; there are no leases
 */
void longpin_dax_exit(void)
{
	cancel_delayed_work_sync(&look_work);
	destroy_workqueue(look_queue);
}
