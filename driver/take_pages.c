// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take the pages of a range of the current process, all or none.
 *
 * The range is walked in chunks of up to 512 pages, which end where a page table does (at 2 MiB
 * with 4 KiB pages) and where a mapping does. Between two chunks no lock is held, others may
 * run, and a fatal signal is seen.
 *
 * Ordinary memory. The mapping is classified under the mmap lock, and its pages are then
 * taken without it by get_user_pages' fast long-term variant. Another thread may put
 * something else in its place in between, so what came is checked: get_user_pages refuses
 * file-system DAX by itself, on every kernel, but Linux before 6.5 lets write pins of a
 * file's page cache through.
 *
 * Device-DAX. A pin must keep the device from being unbound, and get_user_pages holds its
 * reference on the pagemap only until it returns: between its return and ours the device
 * could go, and the page structures with it. So the pages are taken and the pagemap is
 * looked up inside one RCU read-side section. That closes the gap: unbinding first removes
 * the page table entries and only then kills the pagemap's reference count, and the count
 * can't drop to zero until a grace period after the kill has passed. Either the lookup
 * finds the pagemap alive, and the reference holds it, or it fails and the page structures
 * are still there to drop the references. It is an RCU-sched section, since that is what
 * reference counts waited for before 4.20. The mmap lock is held all along, so that the
 * mapping stays the device's. FOLL_LONGTERM would only add the check for file-system DAX,
 * which the mapping has passed.
 *
 * Two gaps stay, both for an administrator who unbinds a device at the wrong moment: Linux
 * 4.15 to 4.19, without later fixes, frees the page structures before it waits for references;
 * and a program that puts device-DAX in place of ordinary memory while it is being pinned
 * comes to the check above with pages that nothing keeps.
 */
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <linux/longpin.h>

#include "kernel_compat.h"
#include "memory_kind.h"
#include "pin.h"
#include "refusal.h"
#include "runs.h"
#include "take_pages.h"

/* Pages in a chunk at most: IRQs are off while the fast path walks them. */
#define CHUNK_PAGES 512UL

/* How often a chunk is tried when its mapping may have changed under us. */
#define RACES_MAX 16

/**
 * struct taking - the state of one walk
 * @runs: where pages go
 * @total: pages wanted
 * @write: for writing?
 * @addr: next page to take
 * @segment: the mapping at @addr; looked up again when @addr reaches its end
 * @kinds: LONGPIN_KIND_* of what was taken
 * @pages: scratch, room for a chunk
 * @races: tries at @addr that failed where the mapping may have changed under us
 * @why: filled on refusal
 */
struct taking {
	struct longpin_runs *runs;
	unsigned long total;
	bool write;
	unsigned long addr;
	struct memory_segment segment;
	u32 kinds;
	struct page **pages;
	unsigned int races;
	struct longpin_refusal *why;
};

static int look_up_segment(struct taking *taking)
{
	struct mm_struct *mm = current->mm;
	int err;

	err = longpin_mmap_read_lock(mm);
	if (err)
		return err;
	err = longpin_classify(mm, taking->addr, taking->write, &taking->segment, taking->why);
	longpin_mmap_read_unlock(mm);
	return err;
}

/* LONGPIN_REASON_* against one of the pages, or LONGPIN_REASON_NONE. */
static u32 objection(const struct taking *taking, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		if (is_zone_device_page(taking->pages[i]))
			return LONGPIN_REASON_DEVICE_PAGE;
		if (taking->write && longpin_is_file_cache(taking->pages[i]))
			return LONGPIN_REASON_DIRTY_TRACKING;
	}
	return LONGPIN_REASON_NONE;
}

/*
 * get_user_pages, or the check of what it took, said no where the mapping had said yes.
 * Ask the mapping again: if it says no now, that is the reason. Else it may have been another
 * in between, so the chunk is worth another try (0 is returned), and what fails every time is
 * not the fault of a race.
 */
static int ask_again(struct taking *taking, int err, u32 reason)
{
	int refused = look_up_segment(taking);

	if (refused)
		return refused;
	if (++taking->races < RACES_MAX)
		return 0;
	return longpin_refuse_at(taking->why, err, reason, taking->addr);
}

/* What get_user_pages says, in the words of the interface. */
static int gup_refused(struct taking *taking, long got)
{
	/* It has had many errnos for this: EINTR, ERESTARTSYS, EAGAIN. */
	if (fatal_signal_pending(current))
		return -EINTR;

	switch (got) {
	case -ENOMEM:
		return longpin_refuse_at(taking->why, -ENOMEM, LONGPIN_REASON_FAULT, taking->addr);
	case -EEXIST: /* a page table entry without a page structure */
		return ask_again(taking, -EFAULT, LONGPIN_REASON_PFNMAP);
	case -EREMOTEIO: /* PCI peer-to-peer memory */
		return ask_again(taking, -EOPNOTSUPP, LONGPIN_REASON_DEVICE_PAGE);
	default:
		return ask_again(taking, -EFAULT, LONGPIN_REASON_FAULT);
	}
}

/* Returns the pages taken, 0 to try again, or an errno. */
static long take_ordinary(struct taking *taking, unsigned long nr)
{
	long got = longpin_gup_longterm(taking->addr, nr, taking->segment.gup_flags, taking->pages);
	u32 reason;
	long i;
	int err;

	if (got <= 0)
		return gup_refused(taking, got);

	reason = objection(taking, got);
	if (reason != LONGPIN_REASON_NONE) {
		for (i = 0; i < got; i++)
			longpin_unpin_range(taking->pages[i], 1, false);
		return ask_again(taking, -EOPNOTSUPP, reason);
	}

	err = longpin_runs_add(taking->runs, taking->pages, got, taking->total);
	return err ? err : got;
}

/*
 * Take references on the pages present at taking->addr that belong to one pagemap, and one
 * on the pagemap. Returns how many, 0 when none is present, or -ENODEV.
 */
static long take_present_devdax(struct taking *taking, unsigned long nr, struct dev_pagemap **pgmap)
{
	long got, good = 0, i;

	rcu_read_lock_sched();
	got = longpin_gup_present(taking->addr, nr, taking->write, taking->pages);
	if (got) {
		*pgmap = longpin_get_dev_pagemap(page_to_pfn(taking->pages[0]));
		while (*pgmap && good < got && longpin_page_pgmap(taking->pages[good]) == *pgmap)
			good++;
		for (i = good; i < got; i++)
			put_page(taking->pages[i]);
	}
	rcu_read_unlock_sched();
	return got && !good ? -ENODEV : good;
}

/* Returns the pages taken, 0 to try again, or an errno. */
static long take_devdax(struct taking *taking, unsigned long nr)
{
	struct mm_struct *mm = current->mm;
	struct dev_pagemap *pgmap;
	long got;
	int err;

	err = longpin_mmap_read_lock(mm);
	if (err)
		return err;
	err = longpin_classify(mm, taking->addr, taking->write, &taking->segment, taking->why);
	if (err)
		goto out_unlock;

	/* What was classified a moment ago may be shorter now, or something else. */
	got = 0;
	if (taking->segment.kind != LONGPIN_KIND_DEVDAX)
		goto out_retry;
	nr = min(nr, (taking->segment.end - taking->addr) >> PAGE_SHIFT);

	got = take_present_devdax(taking, nr, &pgmap);
	if (!got) {
		err = longpin_fault_in(mm, taking->addr, taking->write);
		if (err) {
			err = longpin_refuse_at(taking->why, err == -ENOMEM ? -ENOMEM : -EFAULT,
						LONGPIN_REASON_FAULT, taking->addr);
			goto out_unlock;
		}
		got = take_present_devdax(taking, nr, &pgmap);
	}
	if (got < 0) {
		err = longpin_refuse_at(taking->why, -EFAULT, LONGPIN_REASON_DEVICE_GONE,
					taking->addr);
		goto out_unlock;
	}
	if (!got)
		goto out_retry;

	err = longpin_runs_add(taking->runs, taking->pages, got, taking->total);
	put_dev_pagemap(pgmap);
	if (err == -ENODEV)
		err = longpin_refuse_at(taking->why, -EFAULT, LONGPIN_REASON_DEVICE_GONE,
					taking->addr);
out_unlock:
	longpin_mmap_read_unlock(mm);
	return err ? err : got;

out_retry:
	longpin_mmap_read_unlock(mm);
	return ++taking->races < RACES_MAX ? 0 : -EAGAIN;
}

static int take_all(struct taking *taking)
{
	while (taking->runs->pages < taking->total) {
		unsigned long nr = taking->total - taking->runs->pages;
		long got;
		int err;

		if (fatal_signal_pending(current))
			return -EINTR;
		if (taking->addr >= taking->segment.end) {
			err = look_up_segment(taking);
			if (err)
				return err;
		}

		nr = min(nr, CHUNK_PAGES - (taking->addr >> PAGE_SHIFT) % CHUNK_PAGES);
		nr = min(nr, (taking->segment.end - taking->addr) >> PAGE_SHIFT);
		if (taking->segment.kind == LONGPIN_KIND_DEVDAX)
			got = take_devdax(taking, nr);
		else
			got = take_ordinary(taking, nr);
		if (got < 0)
			return got;
		if (got) {
			taking->kinds |= taking->segment.kind;
			taking->addr += got << PAGE_SHIFT;
			taking->races = 0;
		}
		cond_resched();
	}
	return 0;
}

/**
 * longpin_take_pages - take the pages of a range of the current process
 * @range: a pin whose request is set, whose runs are empty and whose pages are charged; its
 *	runs and kinds are set, and its runs are empty again on failure
 * @first: the mapping at its start, as it was a moment ago
 * @why: filled on refusal
 *
 * Return: 0; -EFAULT or -EOPNOTSUPP with a reason; -ENOMEM; -EINTR on a fatal signal;
 * -EAGAIN when the mapping kept changing. Takes and drops the mmap lock; may sleep.
 */
int longpin_take_pages(struct pinned_range *range, const struct memory_segment *first,
		       struct longpin_refusal *why)
{
	struct taking taking = {
		.runs = &range->runs,
		.total = range->charge.pages,
		.write = range->flags & LONGPIN_PIN_WRITE,
		.addr = range->addr & PAGE_MASK,
		.segment = *first,
		.why = why,
	};
	int err;

	taking.pages =
		kmalloc_array(min(taking.total, CHUNK_PAGES), sizeof(*taking.pages), GFP_KERNEL);
	if (!taking.pages)
		return -ENOMEM;

	err = take_all(&taking);
	if (err)
		longpin_runs_release(&range->runs, false);
	kfree(taking.pages);

	range->kinds = taking.kinds;
	/* Whole pages were looked at; the request may start within the first. */
	if (why->bad_addr && why->bad_addr < range->addr)
		why->bad_addr = range->addr;
	return err;
}
