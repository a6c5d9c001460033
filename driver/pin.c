// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pin: made whole or not at all, used under its semaphore, released once.
 */
#include <linux/capability.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/ktime.h>

#include <linux/longpin.h>

#include "backing_file.h"
#include "kernel_compat.h"
#include "memory_kind.h"
#include "notes.h"
#include "pin.h"
#include "refusal.h"
#include "statistics.h"
#include "take_pages.h"

static void set_footprint(struct pinned_range *range)
{
	const struct longpin_file *file = range->file;

	range->footprint.pages = range->runs.pages;
	range->footprint.runs = range->runs.runs;
	range->footprint.bookkeeping = sizeof(*range) + range->runs.bytes;
	if (file)
		range->footprint.bookkeeping += sizeof(*file) + strlen(file->path) + 1;
}

/**
 * pinned_range_create - pin a range of the current process's memory
 * @request: validated: length is not 0, addr + length does not wrap around
 * @why: filled on refusal
 *
 * Its context and its handle are up to the caller.
 *
 * Return: the pin with one reference, or an ERR_PTR: see longpin_check_range(),
 * longpin_charge() and longpin_take_pages().
 */
struct pinned_range *pinned_range_create(const struct longpin_pin *request,
					 struct longpin_refusal *why)
{
	u64 addr = untagged_addr(request->addr);
	u64 last = addr + (request->length - 1);
	bool write = request->flags & LONGPIN_PIN_WRITE;
	struct memory_segment first;
	struct pinned_range *range;
	int err;

	if (last > ULONG_MAX) /* on a 32-bit kernel */
		return ERR_PTR(longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_HOLE, addr));

	range = kzalloc(sizeof(*range), GFP_KERNEL_ACCOUNT);
	if (!range)
		return ERR_PTR(-ENOMEM);
	err = longpin_check_range(addr, last, write, &first, &range->file, why);
	if (err)
		goto out_free;
	kref_init(&range->ref);
	init_rwsem(&range->sem);
	range->flags = request->flags;
	range->addr = addr;
	range->length = request->length;
	range->cookie = request->cookie;

	err = longpin_charge(&range->charge, (last >> PAGE_SHIFT) - (addr >> PAGE_SHIFT) + 1, why);
	if (err)
		goto out_free;
	err = longpin_take_pages(range, &first, why);
	if (err)
		goto out_uncharge;
	set_footprint(range);
	longpin_process_note(&range->maker);
	range->made = ktime_to_ns(ktime_get_boottime());
	return range;

out_uncharge:
	longpin_uncharge(&range->charge);
out_free:
	kfree(range->file);
	kfree(range);
	return ERR_PTR(err);
}

/**
 * pinned_range_get - take a reference
 * @range: the pin
 */
void pinned_range_get(struct pinned_range *range)
{
	kref_get(&range->ref);
}

static void pinned_range_free(struct kref *ref)
{
	struct pinned_range *range = container_of(ref, struct pinned_range, ref);

	WARN_ON_ONCE(!range->released);
	longpin_process_forget(&range->maker);
	kfree(range->file);
	kfree(range);
}

/**
 * pinned_range_put - drop a reference
 * @range: the pin; released before the last reference goes
 */
void pinned_range_put(struct pinned_range *range)
{
	kref_put(&range->ref, pinned_range_free);
}

/**
 * pinned_range_release - give back the pages and the charge
 * @range: the pin; its semaphore is held for writing, or nobody else has it
 *
 * Can't fail. May sleep.
 */
void pinned_range_release(struct pinned_range *range)
{
	range->released = true;
	longpin_runs_release(&range->runs, range->flags & LONGPIN_PIN_WRITE);
	longpin_uncharge(&range->charge);
}

/**
 * pinned_range_end - release a pin that others were told of, and tell them
 * @range: as for pinned_range_release(), and no longer in its table
 * @cause: LONGPIN_CAUSE_*
 */
void pinned_range_end(struct pinned_range *range, u32 cause)
{
	/* Before they are given back: pages that somebody else takes then must not count twice. */
	longpin_count_unpinned(range);
	pinned_range_release(range);
	longpin_note_unpinned(range, cause);
}

static int lock_for_use(struct pinned_range *range)
{
	if (down_read_killable(&range->sem))
		return -EINTR;
	if (range->released) {
		up_read(&range->sem);
		return -ENOENT;
	}
	return 0;
}

/**
 * pinned_range_query - fill in LONGPIN_QUERY's answer
 * @range: the pin
 * @query: its out_* members are set
 *
 * Return: 0, -ENOENT, -EINTR.
 */
int pinned_range_query(struct pinned_range *range, struct longpin_query *query)
{
	int err = lock_for_use(range);

	if (err)
		return err;
	query->out_pin_flags = range->flags;
	query->out_addr = range->addr;
	query->out_length = range->length;
	query->out_cookie = range->cookie;
	query->out_pages = range->footprint.pages;
	query->out_runs = range->footprint.runs;
	query->out_bookkeeping = range->footprint.bookkeeping;
	query->out_kinds = range->kinds;
	up_read(&range->sem);
	return 0;
}

/*
 * One page's part of a COPY, by way of a buffer: copy_from_user() clears what it can't fill, and
 * a pin keeps its content where the caller's buffer fails.
 */
static int copy_within_page(struct page *page, size_t offset, size_t length, void __user *user,
			    void *bounce, bool write)
{
	size_t good = length;
	void *kaddr;

	if (PageHWPoison(page))
		return -EHWPOISON;

	if (write) {
		good -= copy_from_user(bounce, user, length);
		kaddr = longpin_kmap(page);
		memcpy(kaddr + offset, bounce, good);
		flush_dcache_page(page);
		longpin_kunmap(page, kaddr);
	} else {
		kaddr = longpin_kmap(page);
		memcpy(bounce, kaddr + offset, length);
		longpin_kunmap(page, kaddr);
		good -= copy_to_user(user, bounce, length);
	}
	return good < length ? -EFAULT : 0;
}

/**
 * pinned_range_copy - LONGPIN_COPY
 * @range: the pin
 * @copy: the request; its flags are known ones
 *
 * Return: 0, -EINVAL, -EPERM, -EFAULT, -EHWPOISON, -ENOMEM, -ENOENT, -EINTR.
 */
int pinned_range_copy(struct pinned_range *range, const struct longpin_copy *copy)
{
	bool write = copy->flags & LONGPIN_COPY_WRITE;
	void __user *user = u64_to_user_ptr(copy->buffer);
	u64 start = offset_in_page(range->addr) + copy->offset;
	size_t n, offset = offset_in_page(start);
	struct longpin_run_cursor cursor;
	u64 left = copy->length;
	unsigned long pfn;
	void *bounce;
	int err;

	if (!left || left > range->length || copy->offset > range->length - left)
		return -EINVAL;
	if (write && !(range->flags & LONGPIN_PIN_WRITE))
		return -EPERM;
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;
	err = lock_for_use(range);
	if (err)
		goto out_free;

	longpin_runs_seek(&range->runs, start >> PAGE_SHIFT, &cursor);
	while (left && longpin_runs_here(&cursor, &pfn)) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		n = min_t(u64, left, PAGE_SIZE - offset);
		err = copy_within_page(pfn_to_page(pfn), offset, n, user, bounce, write);
		if (err)
			break;
		offset = 0;
		left -= n;
		user += n;
		longpin_runs_advance(&cursor, 1);
		cond_resched();
	}
	up_read(&range->sem);
out_free:
	kfree(bounce);
	return err;
}

/**
 * pinned_range_extents - LONGPIN_EXTENTS
 * @range: the pin
 * @extents: the request; its out_* members are set
 *
 * Return: 0, -EINVAL, -EFAULT, -ENOENT, -EINTR.
 */
int pinned_range_extents(struct pinned_range *range, struct longpin_extents *extents)
{
	struct longpin_extent __user *to = u64_to_user_ptr(extents->buffer);
	bool show_phys = longpin_capable(CAP_SYS_ADMIN);
	u64 start, offset = extents->offset;
	struct longpin_run_cursor cursor;
	unsigned long pfn, pages;
	int err;

	if (offset > range->length)
		return -EINVAL;
	err = lock_for_use(range);
	if (err)
		return err;

	start = offset_in_page(range->addr) + offset;
	longpin_runs_seek(&range->runs, start >> PAGE_SHIFT, &cursor);
	while (extents->out_count < extents->count && offset < range->length) {
		struct longpin_extent extent = { .offset = offset };
		u64 in_page = offset_in_page(range->addr + offset);

		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		pages = longpin_runs_here(&cursor, &pfn);
		if (WARN_ON_ONCE(!pages)) /* runs cover the whole range */
			break;
		extent.length =
			min_t(u64, range->length - offset, ((u64)pages << PAGE_SHIFT) - in_page);
		if (show_phys)
			extent.phys = PFN_PHYS(pfn) + in_page;
		if (copy_to_user(to + extents->out_count, &extent, sizeof(extent))) {
			err = -EFAULT;
			break;
		}
		extents->out_count++;
		offset += extent.length;
		longpin_runs_advance(&cursor, pages);
		cond_resched();
	}
	extents->out_next = offset;
	up_read(&range->sem);
	return err;
}
