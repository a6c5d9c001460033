// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pin: made whole or not at all, used under its lock, released once. A lease may lose pages in
 * between, and get them again.
 */
#include <linux/capability.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <linux/longpin.h>

#include "backing_file.h"
#include "context.h"
#include "dax_devices.h"
#include "dry_run.h"
#include "kernel_compat.h"
#include "lease.h"
#include "memory_kind.h"
#include "notes.h"
#include "pin.h"
#include "refusal.h"
#include "statistics.h"
#include "take_pages.h"

/* How often REPIN answers when pages are lost before its answer is delivered. */
#define ANSWERS_MAX 16

static void set_footprint(struct pinned_range *range)
{
	struct longpin_footprint *footprint = &range->footprint;
	const struct longpin_file *file = range->file;

	footprint->pages = range->runs.pages - range->runs.hidden_pages;
	footprint->runs = range->runs.runs - range->runs.hidden_runs;
	footprint->bookkeeping = sizeof(*range) + range->runs.bytes;
	if (range->lease)
		footprint->bookkeeping += sizeof(*range->lease);
	if (file)
		footprint->bookkeeping += sizeof(*file) + strlen(file->path) + 1;
}

/* Let the statistics know what they know wrongly. */
static void recount(struct pinned_range *range)
{
	longpin_count_change(&range->counted, &range->footprint);
	atomic64_add(range->footprint.pages - range->counted.pages, &range->context->pins.pages);
	range->counted = range->footprint;
}

/**
 * pinned_range_changed - bring what follows from the pages that are held up to date
 * @range: the pin, whose lock is held since its runs were changed
 */
void pinned_range_changed(struct pinned_range *range)
{
	lockdep_assert_held(&range->lock);

	if (range->released)
		return;
	set_footprint(range);
	if (!range->filling)
		longpin_uncharge_to(&range->charge, range->runs.pages + range->detached);
	if (range->announced)
		recount(range);
}

/**
 * pinned_range_filled - no gaps are filled any more, and what was filled in can be seen
 * @range: the pin, whose lock is held
 */
void pinned_range_filled(struct pinned_range *range)
{
	lockdep_assert_held(&range->lock);

	range->filling = false;
	range->filled = (struct longpin_part){};
	range->kinds |= range->filled_kinds;
	longpin_runs_show(&range->runs);
	pinned_range_changed(range);
}

static int make_lease(struct pinned_range *range, const struct longpin_pin *request,
		      struct longpin_refusal *why)
{
	struct longpin_lease *lease;
	int err;

	err = longpin_event_queue_ready(&range->context->events);
	if (err)
		return err;
	lease = longpin_lease_create(range, request, why);
	if (IS_ERR(lease))
		return PTR_ERR(lease);
	range->lease = lease;
	return 0;
}

/**
 * pinned_range_create - pin a range of the current process's memory
 * @context: where it belongs
 * @handle: names it there
 * @request: validated: length is not 0, addr + length does not wrap around
 * @why: filled on refusal
 *
 * Return: the pin with one reference, or an ERR_PTR: see longpin_check_range(),
 * longpin_charge(), longpin_lease_create() and longpin_take_pages().
 */
struct pinned_range *pinned_range_create(struct longpin_context *context, u32 handle,
					 const struct longpin_pin *request,
					 struct longpin_refusal *why)
{
	u64 addr = untagged_addr(request->addr);
	u64 last = addr + (request->length - 1);
	struct memory_segment first;
	struct pinned_range *range;
	unsigned long pages;
	int err;

	if (last > ULONG_MAX) /* on a 32-bit kernel */
		return ERR_PTR(longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_HOLE, addr));

	range = kzalloc(sizeof(*range), GFP_KERNEL_ACCOUNT);
	if (!range)
		return ERR_PTR(-ENOMEM);
	pages = (last >> PAGE_SHIFT) - (addr >> PAGE_SHIFT) + 1;
	err = longpin_runs_init(&range->runs, pages);
	if (err) {
		kfree(range);
		return ERR_PTR(err);
	}
	kref_init(&range->ref);
	spin_lock_init(&range->lock);
	longpin_context_get(context);
	range->context = context;
	range->handle = handle;
	range->flags = request->flags;
	range->addr = addr;
	range->length = request->length;
	range->cookie = request->cookie;
	range->filling = true;
	range->filled.end = pages;
	longpin_process_note(&range->maker);

	err = longpin_check_range(addr, last, request->flags, &first, &range->file, why);
	if (err)
		goto out_release;
	err = longpin_charge(&range->charge, pages, why);
	if (err)
		goto out_release;
	if (request->flags & LONGPIN_PIN_LEASE) {
		err = make_lease(range, request, why);
		if (err)
			goto out_release;
	}
	if (request->flags & LONGPIN_PIN_DRY_RUN)
		err = longpin_dry_run(range, why);
	else
		err = longpin_take_pages(range, 0, pages, &first, why);
	if (err)
		goto out_release;
	range->made = ktime_to_ns(ktime_get_boottime());
	return range;

out_release:
	pinned_range_release(range);
	pinned_range_put(range);
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
	longpin_runs_destroy(&range->runs);
	longpin_lease_free(range->lease);
	longpin_charge_forget(&range->charge);
	longpin_process_forget(&range->maker);
	longpin_context_put(range->context);
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

/* Report what was revoked before anything was reported: the holder thinks that it has all pages. */
static void report_gaps(struct pinned_range *range)
{
	unsigned long end = range->runs.total, pages, first;
	struct longpin_run_cursor cursor = {};
	bool more;

	do {
		spin_lock(&range->lock);
		more = longpin_runs_find_gap(&range->runs, &cursor, end, &pages);
		first = cursor.at;
		if (pages) {
			longpin_tell_revoked(range, first, first + pages, LONGPIN_CAUSE_INVALIDATE);
			longpin_runs_advance(&range->runs, &cursor, pages);
		}
		spin_unlock(&range->lock);
		if (pages)
			longpin_note_revoked(range, first, first + pages, pages,
					     LONGPIN_CAUSE_INVALIDATE);
		cond_resched();
	} while (more || pages);
}

/**
 * pinned_range_announce - report a pin that was made, and from then on what happens to it
 * @range: the pin, not yet published: so nothing else is reported of it before this
 * @ns: what it took
 */
void pinned_range_announce(struct pinned_range *range, u64 ns)
{
	bool whole;

	spin_lock(&range->lock);
	range->counted = range->footprint;
	longpin_count_pinned(&range->counted, ns);
	atomic64_add(range->counted.pages, &range->context->pins.pages);
	spin_unlock(&range->lock);

	longpin_note_pinned(range);

	spin_lock(&range->lock);
	range->announced = true;
	recount(range);
	whole = range->runs.pages == range->runs.total;
	spin_unlock(&range->lock);
	if (!whole)
		report_gaps(range);
}

/* Nothing is written through a pin that isn't made yet. */
static bool may_be_dirty(const struct pinned_range *range)
{
	return range->flags & LONGPIN_PIN_WRITE && range->made;
}

/**
 * pinned_range_release - give back the pages and the charge
 * @range: the pin; nobody else releases it, or fills its gaps
 *
 * Can't fail. May sleep.
 */
void pinned_range_release(struct pinned_range *range)
{
	struct longpin_revoke all = {
		.part.end = range->runs.total,
		.may_sleep = true,
	};

	spin_lock(&range->lock);
	range->released = true;
	spin_unlock(&range->lock);

	if (range->lease) {
		/*
		 * As a revocation, under the lock: the notifier may report an invalidation
		 * meanwhile.
		 */
		pinned_range_revoke(range, &all);
		longpin_lease_end(range->lease);
	} else {
		longpin_runs_release(&range->runs, &range->charge, may_be_dirty(range));
	}
	longpin_uncharge_to(&range->charge, 0);
}

/**
 * pinned_range_end - release a pin that others were told of, and tell them
 * @range: as for pinned_range_release(), and no longer in its table; the lease's @filling is held,
 *	if there is one
 * @cause: LONGPIN_CAUSE_*
 */
void pinned_range_end(struct pinned_range *range, u32 cause)
{
	if (range->lease)
		lockdep_assert_held(&range->lease->filling);

	/* Before they are given back: pages that somebody else takes then must not count twice. */
	spin_lock(&range->lock);
	range->announced = false;
	longpin_count_unpinned(&range->counted);
	atomic64_sub(range->counted.pages, &range->context->pins.pages);
	spin_unlock(&range->lock);

	pinned_range_release(range);
	longpin_note_unpinned(range, cause);
}

/**
 * pinned_range_close - end a pin whose context is being closed
 * @range: the pin, no longer in its table
 */
void pinned_range_close(struct pinned_range *range)
{
	if (range->lease)
		mutex_lock(&range->lease->filling);
	pinned_range_end(range, LONGPIN_CAUSE_CLOSE);
	if (range->lease)
		mutex_unlock(&range->lease->filling);
}

/**
 * pinned_range_footprint - what a pin holds now
 * @range: the pin
 * @footprint: filled
 * @kinds: LONGPIN_KIND_*, filled if not NULL
 */
void pinned_range_footprint(struct pinned_range *range, struct longpin_footprint *footprint,
			    u32 *kinds)
{
	spin_lock(&range->lock);
	*footprint = range->footprint;
	if (kinds)
		*kinds = range->kinds;
	spin_unlock(&range->lock);
}

/**
 * pinned_range_has_room - may one more page be filled in?
 * @range: a lease whose gaps are being filled
 *
 * What is charged covers what is held and what is missing; but pages that were revoked meanwhile
 * are held, too, until they have been given back.
 *
 * Return: whether one may.
 */
bool pinned_range_has_room(struct pinned_range *range)
{
	bool room;

	spin_lock(&range->lock);
	room = longpin_pin_fits(range, 1);
	spin_unlock(&range->lock);
	return room;
}

/**
 * pinned_range_is_empty - does a pin hold nothing?
 * @range: the pin
 *
 * Return: whether it holds nothing, as long as nobody fills its gaps.
 */
bool pinned_range_is_empty(struct pinned_range *range)
{
	bool empty;

	spin_lock(&range->lock);
	empty = !range->runs.pages;
	spin_unlock(&range->lock);
	return empty;
}

/**
 * pinned_range_holds_dax - does a pin hold any page of DAX in a part of its range?
 * @range: the pin
 * @first: first page
 * @end: page behind the last
 *
 * Return: whether it does.
 */
bool pinned_range_holds_dax(struct pinned_range *range, unsigned long first, unsigned long end)
{
	struct longpin_run_cursor cursor = { .at = first };
	unsigned long pages, pfn;
	unsigned int looks;
	bool holds = false;

	do {
		spin_lock(&range->lock);
		for (looks = 0; !holds && looks < LONGPIN_LOOK_RUNS && cursor.at < end; looks++) {
			pages = longpin_runs_here(&range->runs, &cursor, &pfn);
			holds = pfn != LONGPIN_GAP && is_zone_device_page(pfn_to_page(pfn));
			longpin_runs_advance(&range->runs, &cursor, pages);
		}
		spin_unlock(&range->lock);
	} while (!holds && cursor.at < end);
	return holds;
}

/**
 * pinned_range_offset - where a page is, in bytes from the start of the range
 * @range: the pin
 * @page: page, counted from that of the first byte; not more than there are
 *
 * Return: the offset; the start of the first page and the end of the last are not in the range, and
 * those of the range are returned for them.
 */
u64 pinned_range_offset(const struct pinned_range *range, unsigned long page)
{
	u64 offset = (u64)page << PAGE_SHIFT;

	offset -= min_t(u64, offset, offset_in_page(range->addr));
	return min(offset, range->length);
}

/*
 * Where no others may run in between, references that are dropped before the caller has to try
 * again.
 */
#define ATOMIC_REFERENCES 65536UL

/* Note what was just taken out of a pin's list, and report it to the holder. */
static void note_detached(struct pinned_range *range, const struct longpin_revoked *revoked,
			  u32 cause)
{
	lockdep_assert_held(&range->lock);

	longpin_dax_uncount(range->lease, revoked);
	range->detached += revoked->pages + revoked->hidden;
	if (revoked->hidden || (revoked->pages && revoked->first < range->filled.end &&
				revoked->last >= range->filled.first))
		range->lost = true;
	pinned_range_changed(range);
	if (!range->runs.pages && range->announced)
		longpin_lease_emptied(range->lease);
	if (revoked->pages && cause && range->announced)
		longpin_tell_revoked(range, revoked->first, revoked->last + 1, cause);
}

/* What was taken out is given back. */
static void note_given_back(struct pinned_range *range, unsigned long pages)
{
	bool filling;

	spin_lock(&range->lock);
	range->detached -= pages;
	pinned_range_changed(range);
	filling = range->filling;
	spin_unlock(&range->lock);
	if (filling) /* that one may wait for room: see pinned_range_has_room() */
		wake_up_all(&range->lease->let_go);
}

/**
 * pinned_range_revoke - give back a part of a leased pin
 * @range: the pin
 * @what: what of it; its @pages is set
 *
 * The holder is notified under the lock, and so before anybody else finds that the pages are gone.
 * Then they are given back without the lock, and only after that no longer charged.
 *
 * Return: true; false if there may be more, and it is too much without others running in between.
 * Pages of the part that others are just giving back may still have their references.
 */
bool pinned_range_revoke(struct pinned_range *range, struct longpin_revoke *what)
{
	const struct longpin_part *part = &what->part;
	struct longpin_revoked revoked = {
		.next.at = part->first,
		.limit = what->may_sleep ? 0 : ATOMIC_REFERENCES,
	};
	unsigned long from = ULONG_MAX, to = 0, references = 0;
	bool more, dirty = may_be_dirty(range);
	u32 cause = what->cause;

	what->pages = 0;
	do {
		revoked.nr = 0;
		revoked.pages = 0;
		revoked.hidden = 0;
		spin_lock(&range->lock);
		more = longpin_runs_revoke(&range->runs, part->end, what->mode, &revoked);
		if (revoked.pages) {
			from = min(from, revoked.first);
			to = max(to, revoked.last + 1);
			what->pages += revoked.pages;
			/* The rest of a unit, or what there was no memory to leave. */
			if (cause && (from < part->first || to > part->end))
				cause = LONGPIN_CAUSE_INVALIDATE;
		}
		if (revoked.nr)
			note_detached(range, &revoked, cause);
		spin_unlock(&range->lock);

		references +=
			longpin_give_back_revoked(&revoked, &range->charge, dirty, what->may_sleep);
		if (revoked.nr)
			note_given_back(range, revoked.pages + revoked.hidden);
		if (what->may_sleep)
			cond_resched();
	} while (more && (what->may_sleep || references < ATOMIC_REFERENCES));

	if (what->pages) {
		wake_up_all(&range->lease->let_go);
		/* Under the lock, so that it comes before the end of the pin. */
		spin_lock(&range->lock);
		if (cause && range->announced)
			longpin_note_revoked(range, from, to, what->pages, cause);
		spin_unlock(&range->lock);
	}
	return !more;
}

/**
 * pinned_range_unpin - LONGPIN_UNPIN
 * @range: the pin, with a reference of the caller's
 *
 * Return: 0, -ENOENT, -EINTR.
 */
int pinned_range_unpin(struct pinned_range *range)
{
	int err = -ENOENT;

	if (range->lease && mutex_lock_killable(&range->lease->filling))
		return -EINTR;
	if (longpin_table_remove(&range->context->pins, range->handle, range)) {
		pinned_range_end(range, LONGPIN_CAUSE_UNPIN);
		pinned_range_put(range); /* the table's reference */
		err = 0;
	}
	if (range->lease)
		mutex_unlock(&range->lease->filling);
	return err;
}

/**
 * pinned_range_query - fill in LONGPIN_QUERY's answer
 * @range: the pin
 * @query: its out_* members are set
 *
 * Return: 0, -ENOENT.
 */
int pinned_range_query(struct pinned_range *range, struct longpin_query *query)
{
	struct longpin_footprint footprint;

	pinned_range_footprint(range, &footprint, &query->out_kinds);
	if (READ_ONCE(range->released))
		return -ENOENT;
	query->out_pin_flags = range->flags;
	query->out_addr = range->addr;
	query->out_length = range->length;
	query->out_cookie = range->cookie;
	query->out_pages = footprint.pages;
	query->out_runs = footprint.runs;
	query->out_bookkeeping = footprint.bookkeeping;
	query->out_revoked_pages = range->runs.total - footprint.pages;
	query->out_grace_ms = range->lease ? range->lease->grace_ms : 0;
	query->__reserved2 = 0;
	return 0;
}

/* Of a hugetlb page, and of a device's in larger pieces, all is broken with any page of it. */
static bool is_broken(struct page *page)
{
	return PageHWPoison(page) || PageHWPoison(compound_head(page));
}

/*
 * Memory may break without anybody knowing, and that of a device is kept for years. A function of
 * its own, so that a test can have it fail (fail_function).
 */
static noinline int copy_from_page(void *to, const void *from, size_t length)
{
	return longpin_copy_mc(to, from, length) ? 0 : -EHWPOISON;
}

ALLOW_ERROR_INJECTION(copy_from_page, ERRNO);

/* Copy within one page, between it and the kernel's memory. */
static int access_page(struct pinned_range *range, struct longpin_run_cursor *cursor, size_t offset,
		       size_t length, void *buffer, bool write)
{
	unsigned long pfn;
	void *kaddr;
	int err = 0;

	lockdep_assert_held(&range->lock);

	if (range->released)
		return -ENOENT;
	if (WARN_ON_ONCE(!longpin_runs_here(&range->runs, cursor, &pfn)))
		return -EINVAL;
	if (pfn == LONGPIN_GAP)
		return -ESTALE;
	if (is_broken(pfn_to_page(pfn)))
		return -EHWPOISON;

	kaddr = longpin_kmap(pfn_to_page(pfn));
	if (write) {
		memcpy(kaddr + offset, buffer, length);
		flush_dcache_page(pfn_to_page(pfn));
	} else {
		err = copy_from_page(buffer, kaddr + offset, length);
	}
	longpin_kunmap(kaddr);
	longpin_runs_advance(&range->runs, cursor, 1);
	return err;
}

/*
 * One page's part of a COPY, by way of a buffer: user memory can't be touched under the pin's
 * lock, and a pin keeps its content where the caller's buffer fails.
 */
static int copy_within_page(struct pinned_range *range, struct longpin_run_cursor *cursor,
			    size_t offset, size_t length, void __user *user, void *bounce,
			    bool write, size_t *copied)
{
	size_t good = length;
	int err;

	*copied = 0;
	if (write)
		good -= copy_from_user(bounce, user, length);
	if (write && !good)
		return -EFAULT;
	spin_lock(&range->lock);
	err = access_page(range, cursor, offset, good, bounce, write);
	spin_unlock(&range->lock);
	if (err)
		return err;
	if (!write)
		good -= copy_to_user(user, bounce, length);
	*copied = good;
	return good < length ? -EFAULT : 0;
}

/**
 * pinned_range_copy - LONGPIN_COPY
 * @range: the pin
 * @copy: the request; its flags are known ones; its out_copied is set
 *
 * Return: 0, -EINVAL, -EPERM, -ESTALE, -EFAULT, -EHWPOISON, -ENOMEM, -ENOENT, -EINTR.
 */
int pinned_range_copy(struct pinned_range *range, struct longpin_copy *copy)
{
	bool write = copy->flags & LONGPIN_COPY_WRITE;
	void __user *user = u64_to_user_ptr(copy->buffer);
	u64 start = offset_in_page(range->addr) + copy->offset;
	struct longpin_run_cursor cursor = { .at = start >> PAGE_SHIFT };
	size_t n, copied, offset = offset_in_page(start);
	u64 left = copy->length;
	void *bounce;
	int err = 0;

	if (!left || left > range->length || copy->offset > range->length - left)
		return -EINVAL;
	if (write && !(range->flags & LONGPIN_PIN_WRITE))
		return -EPERM;
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;

	while (left && !err) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		n = min_t(u64, left, PAGE_SIZE - offset);
		err = copy_within_page(range, &cursor, offset, n, user, bounce, write, &copied);
		copy->out_copied += copied;
		offset = 0;
		left -= n;
		user += n;
		cond_resched();
	}
	kfree(bounce);
	return err;
}

/*
 * Up to @room extents from the cursor on, which is moved on, and so is @offset, its place in bytes.
 * Returns how many; fewer than @room where much of it is hidden, or at the end.
 */
static unsigned int collect_extents(struct pinned_range *range, struct longpin_run_cursor *cursor,
				    struct longpin_extent *extents, unsigned int room, u64 *offset,
				    bool show_phys)
{
	unsigned long pfn, pages;
	unsigned int n = 0, looks;
	u64 end;

	lockdep_assert_held(&range->lock);

	for (looks = 0; n < room && looks < LONGPIN_LOOK_RUNS && *offset < range->length; looks++) {
		pages = longpin_runs_here(&range->runs, cursor, &pfn);
		end = pinned_range_offset(range, cursor->at + pages);
		if (pfn != LONGPIN_GAP) {
			extents[n].offset = *offset;
			extents[n].length = end - *offset;
			extents[n].phys = 0;
			if (show_phys)
				extents[n].phys =
					PFN_PHYS(pfn) + offset_in_page(range->addr + *offset);
			n++;
		}
		*offset = end;
		longpin_runs_advance(&range->runs, cursor, pages);
	}
	return n;
}

/* Extents that are collected while the pin's lock is held. */
#define EXTENTS_BATCH 64U

/**
 * pinned_range_extents - LONGPIN_EXTENTS
 * @range: the pin
 * @extents: the request; its out_* members are set
 *
 * Return: 0, -EINVAL, -EFAULT, -ENOENT, -ENOMEM, -EINTR.
 */
int pinned_range_extents(struct pinned_range *range, struct longpin_extents *extents)
{
	struct longpin_extent __user *to = u64_to_user_ptr(extents->buffer);
	bool show_phys = longpin_capable(CAP_SYS_ADMIN);
	u64 offset = extents->offset;
	struct longpin_run_cursor cursor = {
		.at = (offset_in_page(range->addr) + offset) >> PAGE_SHIFT,
	};
	struct longpin_extent *batch;
	unsigned int n = 0, room;
	int err = 0;

	if (offset > range->length)
		return -EINVAL;
	extents->out_next = offset;
	batch = kmalloc_array(EXTENTS_BATCH, sizeof(*batch), GFP_KERNEL);
	if (!batch)
		return -ENOMEM;

	while (extents->out_count < extents->count && offset < range->length) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		room = min(extents->count - extents->out_count, EXTENTS_BATCH);
		spin_lock(&range->lock);
		if (range->released)
			err = -ENOENT;
		else
			n = collect_extents(range, &cursor, batch, room, &offset, show_phys);
		spin_unlock(&range->lock);
		if (err)
			break;
		if (copy_to_user(to + extents->out_count, batch, n * sizeof(*batch))) {
			err = -EFAULT;
			break;
		}
		extents->out_count += n;
		extents->out_next = offset;
		cond_resched();
	}
	kfree(batch);
	return err;
}

/* The pages that a part touches; 0 bytes for all up to the end. False if it is not in the range. */
static bool set_part(const struct pinned_range *range, u64 offset, u64 length,
		     struct longpin_part *part)
{
	u64 start = offset_in_page(range->addr) + offset;

	if (offset >= range->length || length > range->length - offset)
		return false;
	if (!length)
		length = range->length - offset;
	part->first = start >> PAGE_SHIFT;
	part->end = ((start + length - 1) >> PAGE_SHIFT) + 1;
	return true;
}

/* Pages that are missing in a part; more if others revoke meanwhile, but never fewer. */
static unsigned long count_missing(struct pinned_range *range, const struct longpin_part *part)
{
	struct longpin_run_cursor cursor = { .at = part->first };
	unsigned long pages, missing = 0;
	bool more;

	do {
		spin_lock(&range->lock);
		more = longpin_runs_find_gap(&range->runs, &cursor, part->end, &pages);
		if (pages)
			longpin_runs_advance(&range->runs, &cursor, pages);
		spin_unlock(&range->lock);
		missing += pages;
		cond_resched();
	} while (more || pages);
	return missing;
}

/*
 * From here on what is held stays charged, be it revoked or not; and what is filled in is seen by
 * nobody.
 */
static void start_filling(struct pinned_range *range, const struct longpin_part *part)
{
	spin_lock(&range->lock);
	range->filling = true;
	range->filled = *part;
	range->filled_kinds = 0;
	range->lost = false;
	longpin_runs_hide(&range->runs);
	spin_unlock(&range->lock);
}

/* Let all be seen, if @force is set or nothing is missing. Returns whether it is seen. */
static bool stop_filling(struct pinned_range *range, bool force)
{
	bool stop;

	spin_lock(&range->lock);
	stop = force || !range->lost;
	if (stop) {
		if (!range->runs.hidden_pages) /* what was filled in was given back again */
			range->filled_kinds = 0;
		pinned_range_filled(range);
	}
	spin_unlock(&range->lock);
	return stop;
}

static void set_results(struct pinned_range *range, struct longpin_repin *repin)
{
	spin_lock(&range->lock);
	repin->out_repinned = range->runs.hidden_pages;
	repin->out_pages = range->runs.pages;
	spin_unlock(&range->lock);
}

/*
 * Take what is missing, and answer, until nothing of it is lost in between. What is missing is
 * counted once, and charged before anything is taken.
 */
static int take_and_answer(struct pinned_range *range, const struct longpin_part *part,
			   struct longpin_repin *repin, struct longpin_refusal *why,
			   longpin_answer_fn answer, const void *call)
{
	unsigned long missing = count_missing(range, part);
	unsigned int tries;
	int err = 0;

	if (missing)
		err = longpin_charge_more(&range->charge, missing, why);
	for (tries = 0; !err && tries < ANSWERS_MAX; tries++) {
		err = longpin_take_pages(range, part->first, part->end, NULL, why);
		if (err)
			break;
		set_results(range, repin);
		err = answer(call);
		if (!err && stop_filling(range, false))
			return 0;
	}
	return err ? err : -EAGAIN;
}

/* Fill the gaps of a part, and answer; or neither. */
static int fill_gaps(struct pinned_range *range, const struct longpin_part *part,
		     struct longpin_repin *repin, struct longpin_refusal *why,
		     longpin_answer_fn answer, const void *call)
{
	struct longpin_run_cursor cursor = { .at = part->first };
	struct longpin_revoke taken = {
		.part = *part,
		.mode = LONGPIN_REVOKE_HIDDEN,
		.may_sleep = true,
	};
	bool more;
	int err;

	start_filling(range, part);
	err = take_and_answer(range, part, repin, why, answer, call);
	if (err) {
		pinned_range_revoke(range, &taken);
		stop_filling(range, true);
		return err;
	}
	do {
		spin_lock(&range->lock);
		more = longpin_runs_unmark(&range->runs, &cursor, part->end);
		pinned_range_changed(range);
		spin_unlock(&range->lock);
		cond_resched();
	} while (more);
	return 0;
}

/**
 * pinned_range_repin - LONGPIN_REPIN
 * @range: the pin
 * @repin: its out_repinned and out_pages are set
 * @why: filled on refusal
 * @answer: delivers @repin once all is taken, and before anybody sees it: if that fails, nothing is
 *	taken
 * @call: given to it
 *
 * Return: 0; -EINVAL, -EOPNOTSUPP, -EPERM, -ENOENT; what @answer returned; and as
 * longpin_take_pages().
 */
int pinned_range_repin(struct pinned_range *range, struct longpin_repin *repin,
		       struct longpin_refusal *why, longpin_answer_fn answer, const void *call)
{
	struct longpin_part part;
	int err;

	if (!set_part(range, repin->offset, repin->length, &part))
		return -EINVAL;
	if (!range->lease)
		return -EOPNOTSUPP;
	if (mutex_lock_killable(&range->lease->filling))
		return -EINTR;
	if (range->released)
		err = -ENOENT;
	else if (range->charge.mm != current->mm)
		err = -EPERM;
	else
		err = longpin_lease_resume(range->lease);
	if (!err)
		err = fill_gaps(range, &part, repin, why, answer, call);
	/* Under the mutex, so that this is reported before the end of the pin. */
	if (!err && repin->out_repinned)
		longpin_note_repinned(range);
	mutex_unlock(&range->lease->filling);
	/* The work that would stop listening may have found the mutex held. */
	if (pinned_range_is_empty(range))
		longpin_lease_emptied(range->lease);
	return err;
}

/**
 * pinned_range_let_go - LONGPIN_LET_GO
 * @range: the pin
 * @let_go: the request; its out_pages is set
 *
 * Return: 0, -EINVAL, -EOPNOTSUPP, -ENOENT.
 */
int pinned_range_let_go(struct pinned_range *range, struct longpin_let_go *let_go)
{
	struct longpin_revoke what = {
		.mode = LONGPIN_REVOKE_INSIDE,
		.cause = LONGPIN_CAUSE_LET_GO,
		.may_sleep = true,
	};

	if (!let_go->length || !set_part(range, let_go->offset, let_go->length, &what.part))
		return -EINVAL;
	if (!range->lease)
		return -EOPNOTSUPP;
	pinned_range_revoke(range, &what);
	let_go->out_pages = what.pages;
	return !what.pages && READ_ONCE(range->released) ? -ENOENT : 0;
}
