// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fill the gaps of a pin with the pages of the current process that are mapped there, all of them.
 * A pin that is being made is one gap.
 *
 * The range is walked in chunks of up to 512 pages, which end where a page table does (at 2 MiB
 * with 4 KiB pages) and where a mapping does. Between two chunks no lock is held, others may
 * run, and a fatal signal is seen.
 *
 * Where the page tables map something larger than a page, one page of it is taken, and only then it
 * is looked up whether the page is still mapped as a part of something larger: see unit.c. If so,
 * the reference is for all of it, and no other is needed. If not, it was one page. So if the page
 * tables change in between, pages are taken one by one.
 *
 * Ordinary memory. The mapping is classified under the mmap lock, and its pages are then
 * taken without it by get_user_pages' fast long-term variant. Another thread may put
 * something else in its place in between, so what came is checked: get_user_pages refuses
 * file-system DAX by itself, on every kernel, but it lets write pins of what a driver mapped
 * through, and Linux before 6.5 those of a file's page cache.
 *
 * Where a userfaultfd handler watches, pages are brought in before they are taken: not every
 * kernel's long-term variant waits for it, and with CONFIG_DEBUG_VM such a kernel prints a stack
 * trace. Nothing is held then that the handler may want, but what it is to fill: neither the mmap
 * lock nor, but by REPIN of the same pin, any lock of ours.
 *
 * Device-DAX, and file-system DAX under a lease. A pin must keep the device from being unbound,
 * and get_user_pages holds its reference on the pagemap only until it returns: between its
 * return and ours the device could go, and the page structures with it. So the pages are taken
 * and the pagemap is looked up inside one RCU read-side section. That closes the gap: unbinding
 * first removes the page table entries and only then kills the pagemap's reference count, and
 * the count can't drop to zero until a grace period after the kill has passed. Either the lookup
 * finds the pagemap alive, and the reference holds it, or it fails and the page structures
 * are still there to drop the references. The mmap lock is held all along, so that the
 * mapping stays the device's. FOLL_LONGTERM would only add the check for file-system DAX,
 * which the mapping has passed, or which is leased.
 *
 * A lease can lose pages while others are still being taken: see lease.c. What is taken goes into
 * the pin only if its mapping has not changed since before it was looked up; and when the end is
 * reached and pages were lost since the walk began, there is another one.
 *
 * Two gaps stay, both for an administrator who unbinds a device at the wrong moment: Linux
 * 4.15 to 4.19, without later fixes, frees the page structures before it waits for references;
 * and a program that puts device-DAX in place of ordinary memory while it is being pinned
 * comes to the check above with pages that nothing keeps.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <linux/longpin.h>

#include "dax_devices.h"
#include "kernel_compat.h"
#include "lease.h"
#include "memory_kind.h"
#include "pin.h"
#include "refusal.h"
#include "runs.h"
#include "take_pages.h"
#include "unit.h"

/* Pages in a chunk at most: IRQs are off while the fast path walks them. */
#define CHUNK_PAGES 512UL

/* Where a page or a few are taken at a time, there is room without an allocation. */
#define FEW_PAGES 4UL

/* How often a chunk is tried when its mapping may have changed under us. */
#define RACES_MAX 16

/**
 * struct taking - the state of one walk
 * @range: the pin whose gaps are filled
 * @flags: LONGPIN_PIN_*
 * @first: first page of the part to be filled
 * @end: page behind its last
 * @cursor: next page to take
 * @addr: its address
 * @segment: the mapping there; looked up again when @addr reaches its end
 * @seq: of a lease, before @segment was looked up
 * @in_units: the last that was taken was no single page
 * @pgmap: the last pagemap that was met, with a reference; or NULL
 * @pages: scratch, room for @room pages
 * @runs: the same, for the runs that these are
 * @room: FEW_PAGES, or a chunk when it was needed
 * @few_pages: @pages, at first
 * @few_runs: @runs, at first
 * @races: tries that failed where the mapping may have changed under us, since the last page
 * @walks: how often the walk began again
 * @why: filled on refusal
 */
struct taking {
	struct pinned_range *range;
	u32 flags;
	unsigned long first;
	unsigned long end;
	struct longpin_run_cursor cursor;
	unsigned long addr;
	struct memory_segment segment;
	unsigned long seq;
	bool in_units;
	struct dev_pagemap *pgmap;
	struct page **pages;
	struct longpin_run *runs;
	unsigned long room;
	struct page *few_pages[FEW_PAGES];
	struct longpin_run few_runs[FEW_PAGES];
	unsigned int races;
	unsigned int walks;
	struct longpin_refusal *why;
};

static bool for_writing(const struct taking *taking)
{
	return taking->flags & LONGPIN_PIN_WRITE;
}

static int classify(struct taking *taking)
{
	return longpin_classify(current->mm, taking->addr, taking->flags, &taking->segment,
				taking->why);
}

static int look_up_segment(struct taking *taking)
{
	struct mm_struct *mm = current->mm;
	int err;

	err = longpin_mmap_read_lock(mm);
	if (err)
		return err;
	err = classify(taking);
	longpin_mmap_read_unlock(mm);
	return err;
}

/* Something else may have been mapped in between: try again, but not for ever. */
static long try_again(struct taking *taking)
{
	taking->segment.end = 0;
	return ++taking->races < RACES_MAX ? 0 : -EAGAIN;
}

/*
 * Fill in pages that were taken, if they are what is mapped now. Returns how many, 0 to try again,
 * or an errno; @taken is what is left then.
 */
static long fill_in(struct taking *taking, struct longpin_taken *taken)
{
	struct pinned_range *range = taking->range;
	struct longpin_dax_device *device = NULL;
	unsigned long before = range->runs.pages, nr = taken->pages;
	int err;

	lockdep_assert_held(&range->lock);

	if (range->lease && longpin_lease_lost(range->lease, taking->seq))
		return try_again(taking);
	if (range->lease && !longpin_pin_fits(range, nr))
		return 0; /* prepare_chunk() waits */
	if (taken->device && taking->segment.kind == LONGPIN_KIND_FSDAX) {
		device = longpin_dax_device(range->lease, taking->pgmap);
		if (!device)
			return longpin_refuse_at(taking->why, -EOPNOTSUPP,
						 LONGPIN_REASON_LEASE_MEMORY, taking->addr);
	}
	err = longpin_runs_fill(&range->runs, &taking->cursor, taken);
	if (!err)
		range->filled_kinds |= taking->segment.kind;
	if (device)
		longpin_dax_count(range->lease, device, range->runs.pages - before);
	/* Nobody looks yet at a pin that is being made: that counts at its end, in next_gap(). */
	if (range->announced)
		pinned_range_changed(range);
	return err ? err : nr;
}

/* Hand pages that were taken over to the pin, as fill_in(). None is left with the caller. */
static long hand_over(struct taking *taking, struct longpin_taken *taken)
{
	struct pinned_range *range = taking->range;
	long got;

	got = longpin_runs_prepare(&range->runs, taken->nr);
	if (!got)
		got = longpin_charge_taken(taken, &range->charge, taking->why);
	if (got) {
		longpin_give_back(taken, NULL);
		return got;
	}
	spin_lock(&range->lock);
	got = fill_in(taking, taken);
	spin_unlock(&range->lock);
	longpin_give_back(taken, &range->charge);
	return got;
}

/* LONGPIN_REASON_* against the pages that were taken, or LONGPIN_REASON_NONE. */
static u32 objection(const struct taking *taking, const struct longpin_taken *taken,
		     unsigned long flags)
{
	unsigned long i;

	if (taken->device)
		return LONGPIN_REASON_DEVICE_PAGE;
	/* Page cache of files is never swap-backed: mostly that is all there is to ask. */
	if (!for_writing(taking) || flags & BIT(PG_swapbacked))
		return LONGPIN_REASON_NONE;
	for (i = 0; i < taken->pages; i++) {
		if (longpin_is_plain_memory(taking->pages[i]))
			continue;
		return longpin_has_mapping(taking->pages[i]) ? LONGPIN_REASON_DIRTY_TRACKING
							     : LONGPIN_REASON_DRIVER_MEMORY;
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

/* From now on a chunk of so many pages has room. */
static int make_room(struct taking *taking, unsigned long nr)
{
	struct longpin_run *runs;
	unsigned long room;

	if (nr <= taking->room)
		return 0;
	room = min(taking->end - taking->first, CHUNK_PAGES);
	runs = kmalloc_array(room, sizeof(*runs) + sizeof(struct page *), GFP_KERNEL);
	if (!runs)
		return -ENOMEM;
	taking->runs = runs;
	taking->pages = (struct page **)(runs + room);
	taking->room = room;
	return 0;
}

/*
 * How many of so many pages to take at once: one, if it may turn out to be part of a unit, else up
 * to the end of the chunk.
 */
static unsigned long chunk_of(const struct taking *taking, unsigned long nr)
{
	if (nr > 1 && (taking->in_units || !longpin_is_mapped_by_page(current->mm, taking->addr)))
		return 1;
	return min(nr, CHUNK_PAGES - (taking->addr >> PAGE_SHIFT) % CHUNK_PAGES);
}

/*
 * If one page was taken of so many that are wanted, and the mapping has it as part of something
 * larger, that was taken.
 */
static void grow(struct taking *taking, unsigned long wanted, struct longpin_taken *taken)
{
	struct longpin_run *run = taken->runs;
	unsigned long unit;

	taking->in_units = false;
	if (taken->pages > 1 || wanted == 1)
		return;
	run->order = longpin_unit_order(current->mm, taking->addr, taking->pages[0],
					taking->segment.gup_flags & FOLL_WRITE);
	taking->in_units = run->order > 0;
	unit = 1UL << run->order;
	run->pages = min(wanted, unit - run->pfn % unit);
	taken->pages = run->pages;
}

/*
 * Give back what gup_longterm() took and no run may hold: a device's pages among them are
 * pinned, too, which is not how a run holds them.
 */
static void give_back_pins(struct page **pages, unsigned long nr)
{
	for (; nr; pages++, nr--)
		longpin_unpin_range(*pages, 1, false);
}

/* A function of its own, so that a test can have it fail (fail_function). */
static noinline long gup_longterm(unsigned long addr, unsigned long nr, unsigned int gup_flags,
				  struct page **pages)
{
	return longpin_gup_longterm(addr, nr, gup_flags, pages);
}

ALLOW_ERROR_INJECTION(gup_longterm, ERRNO);

/* As gup_longterm() */
static noinline long bring_in(unsigned long addr, unsigned long nr, unsigned int gup_flags,
			      struct page **pages)
{
	return longpin_bring_in(addr, nr, gup_flags, pages);
}

ALLOW_ERROR_INJECTION(bring_in, ERRNO);

/*
 * Where only a page that isn't the process's own may be written to: bring the chunk in as by loads,
 * and have it copied where it must be. Returns how many pages, or an errno.
 */
static long make_own(struct taking *taking, unsigned long chunk)
{
	unsigned int cow_flags = taking->segment.cow_flags;
	long got, i, err = 0;
	bool own;

	got = bring_in(taking->addr, chunk, 0, taking->pages);
	for (i = 0; i < got; i++) {
		own = longpin_is_anon(taking->pages[i]);
		put_page(taking->pages[i]);
		if (!own && err >= 0)
			err = bring_in(taking->addr + (i << PAGE_SHIFT), 1, cow_flags, NULL);
	}
	return err < 0 ? err : got;
}

/* Have all of them stayed what make_own() made them? */
static bool are_own(const struct taking *taking, long nr)
{
	while (nr--) {
		if (!longpin_is_anon(taking->pages[nr]))
			return false;
	}
	return true;
}

/* Returns the pages taken, 0 to try again, or an errno. */
static long take_ordinary(struct taking *taking, unsigned long nr, unsigned long chunk)
{
	struct longpin_taken taken = { .runs = taking->runs };
	unsigned int gup_flags = taking->segment.gup_flags;
	unsigned long flags;
	u32 reason;
	long got;

	if (taking->segment.cow_flags) {
		got = make_own(taking, chunk);
		if (got <= 0)
			return gup_refused(taking, got);
		chunk = got;
	}
	if (taking->segment.watched) {
		got = bring_in(taking->addr, chunk, gup_flags, NULL);
		if (got <= 0)
			return gup_refused(taking, got);
		chunk = got;
	}
	got = gup_longterm(taking->addr, chunk, gup_flags, taking->pages);
	if (got == -EFAULT && bring_in(taking->addr, chunk, gup_flags, NULL) > 0)
		return try_again(taking);
	if (got <= 0)
		return gup_refused(taking, got);

	flags = longpin_sort_pages(taking->pages, got, &taken);
	reason = objection(taking, &taken, flags);
	if (reason != LONGPIN_REASON_NONE) {
		give_back_pins(taking->pages, got);
		return ask_again(taking, -EOPNOTSUPP, reason);
	}
	if (taking->segment.cow_flags && !are_own(taking, got)) {
		give_back_pins(taking->pages, got);
		return try_again(taking);
	}
	grow(taking, nr, &taken);
	return hand_over(taking, &taken);
}

/* Before anything that may take long: whoever unbinds the device would wait for this, too. */
static void drop_pagemap(struct taking *taking)
{
	if (taking->pgmap)
		put_dev_pagemap(taking->pgmap);
	taking->pgmap = NULL;
}

/* Reference the pagemap of a page while its pages are taken. False if it is going. */
static bool hold_pagemap(struct taking *taking, const struct page *page)
{
	if (taking->pgmap && taking->pgmap == longpin_page_pgmap(page) &&
	    !longpin_pgmap_is_dying(taking->pgmap))
		return true;
	drop_pagemap(taking);
	taking->pgmap = longpin_get_dev_pagemap(page);
	return taking->pgmap;
}

/*
 * What is mapped at taking->addr and was taken, but isn't the device's: the zero page, where a file
 * on fs-DAX has a hole. No reference is kept on it: the more of the hole is leased, the more there
 * would be, and they would overflow. Returns how many pages.
 */
static long take_zero_pages(struct taking *taking, unsigned long nr, long got,
			    struct longpin_taken *taken)
{
	struct page **pages = taking->pages;
	long zero = 0, i;

	while (zero < got && !is_zone_device_page(pages[zero]))
		zero++;
	longpin_sort_pages(pages, zero, taken);
	grow(taking, nr, taken);
	for (i = 0; i < taken->nr; i++)
		taken->runs[i].hole = 1;
	for (i = 0; i < got; i++)
		put_page(pages[i]);
	return taken->pages;
}

/*
 * Take references on the pages present at taking->addr that belong to one pagemap, which is
 * taking->pgmap then. Returns how many pages, 0 when none is present, or -ENODEV.
 */
static long take_present_dax(struct taking *taking, unsigned long nr, unsigned long chunk,
			     struct longpin_taken *taken)
{
	struct page **pages = taking->pages;
	long got, good = 0, i;

	longpin_pagemap_read_lock();
	got = longpin_gup_present(taking->addr, chunk, for_writing(taking), pages);
	if (got && !is_zone_device_page(pages[0])) {
		longpin_pagemap_read_unlock();
		return take_zero_pages(taking, nr, got, taken);
	}
	if (got && hold_pagemap(taking, pages[0])) {
		while (good < got && is_zone_device_page(pages[good]) &&
		       longpin_page_pgmap(pages[good]) == taking->pgmap)
			good++;
	}
	for (i = good; i < got; i++)
		put_page(pages[i]);
	longpin_pagemap_read_unlock();
	if (!good)
		return got ? -ENODEV : 0;
	longpin_sort_pages(pages, good, taken);
	grow(taking, nr, taken);
	return taken->pages;
}

static bool is_dax(const struct taking *taking)
{
	return taking->segment.kind & (LONGPIN_KIND_DEVDAX | LONGPIN_KIND_FSDAX);
}

/*
 * A page that is there, and that get_user_pages' fast variant doesn't take: a zero page of single
 * size. Returns 1, or 0 if there is something else by now.
 */
static long take_hole(struct taking *taking, struct longpin_taken *taken)
{
	long got = longpin_gup_one(taking->addr, taking->segment.gup_flags, taking->pages);

	if (got <= 0)
		return 0;
	if (is_zone_device_page(taking->pages[0])) {
		put_page(taking->pages[0]);
		return 0;
	}
	return take_zero_pages(taking, 1, 1, taken);
}

/* As gup_longterm() */
static noinline int fault_in(unsigned long addr, bool write)
{
	return longpin_fault_in(current->mm, addr, write);
}

ALLOW_ERROR_INJECTION(fault_in, ERRNO);

/*
 * What of the chunk is there, or what of it was brought in. Returns how many pages, 0 to try again,
 * or an errno.
 */
static long take_dax_pages(struct taking *taking, unsigned long nr, unsigned long chunk,
			   struct longpin_taken *taken)
{
	long got = take_present_dax(taking, nr, chunk, taken);
	int err;

	if (!got) {
		drop_pagemap(taking);
		err = fault_in(taking->addr, for_writing(taking));
		if (err)
			return longpin_refuse_at(taking->why, err == -ENOMEM ? -ENOMEM : -EFAULT,
						 LONGPIN_REASON_FAULT, taking->addr);
		got = take_present_dax(taking, nr, chunk, taken);
	}
	if (got < 0)
		return longpin_refuse_at(taking->why, -EFAULT, LONGPIN_REASON_DEVICE_GONE,
					 taking->addr);
	if (!got && taking->segment.kind == LONGPIN_KIND_FSDAX)
		got = take_hole(taking, taken);
	return got;
}

/* Returns the pages taken, 0 to try again, or an errno. */
static long take_dax(struct taking *taking, unsigned long nr, unsigned long chunk)
{
	struct longpin_taken taken = { .runs = taking->runs };
	struct mm_struct *mm = current->mm;
	long got;
	int err;

	err = longpin_mmap_read_lock(mm);
	if (err)
		return err;
	got = classify(taking);
	if (got)
		goto out_unlock;

	/* What was classified a moment ago may be shorter now, or something else. */
	if (is_dax(taking)) {
		nr = min(nr, (taking->segment.end - taking->addr) >> PAGE_SHIFT);
		got = take_dax_pages(taking, nr, min(nr, chunk), &taken);
	}
	if (!got)
		got = try_again(taking);
	else if (got > 0)
		got = hand_over(taking, &taken);
out_unlock:
	longpin_mmap_read_unlock(mm);
	return got;
}

/* Go to the next gap. Returns pages in it, or 0 when there is none any more. */
static unsigned long next_gap(struct taking *taking)
{
	struct pinned_range *range = taking->range;
	unsigned long pages;
	bool more;

	do {
		spin_lock(&range->lock);
		more = longpin_runs_find_gap(&range->runs, &taking->cursor, taking->end, &pages);
		if (!more && !pages && range->lost) {
			/* Some may be missing in what was walked over. */
			range->lost = false;
			taking->cursor = (struct longpin_run_cursor){ .at = taking->first };
			taking->segment.end = 0;
			taking->walks++;
			more = taking->walks < RACES_MAX;
		} else if (!more && !pages && !range->runs.hiding) {
			pinned_range_filled(range); /* what is hidden is shown by the caller */
		}
		spin_unlock(&range->lock);
		if (more)
			cond_resched();
	} while (more);

	taking->addr = (range->addr & PAGE_MASK) + (taking->cursor.at << PAGE_SHIFT);
	return pages;
}

/* Before each chunk: make sure that the segment is that of its address. */
static int prepare_chunk(struct taking *taking)
{
	struct longpin_lease *lease = taking->range->lease;
	unsigned long seq;
	int err;

	if (lease) {
		err = longpin_lease_wait_for_room(lease);
		if (err)
			return err;
		seq = longpin_lease_begin(lease);
		if (seq != taking->seq)
			taking->segment.end = 0;
		taking->seq = seq;
	}
	return taking->addr < taking->segment.end ? 0 : look_up_segment(taking);
}

/* Returns the pages taken, 0 to try again, or an errno. */
static long take_some(struct taking *taking, unsigned long nr)
{
	unsigned long chunk = chunk_of(taking, nr);
	int err = make_room(taking, chunk);

	if (err)
		return err;
	if (is_dax(taking))
		return take_dax(taking, nr, chunk);
	drop_pagemap(taking);
	return take_ordinary(taking, nr, chunk);
}

static int take_all(struct taking *taking)
{
	unsigned long nr;
	long got;
	int err;

	while ((nr = next_gap(taking))) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = prepare_chunk(taking);
		if (err)
			return err;

		nr = min(nr, (taking->segment.end - taking->addr) >> PAGE_SHIFT);
		got = take_some(taking, nr);
		if (got < 0)
			return got;
		if (got)
			taking->races = 0;
		cond_resched();
	}
	return taking->walks < RACES_MAX ? 0 : -EAGAIN;
}

/**
 * longpin_take_pages - fill the gaps in a part of a pin of the current process
 * @range: the pin; its gaps in that part are charged for
 * @first: first page of the part
 * @end: page behind its last
 * @segment: the mapping at its start, as it was a moment ago; or NULL
 * @why: filled on refusal
 *
 * Nobody else fills them meanwhile. On failure some may have been filled.
 *
 * Return: 0; -EFAULT or -EOPNOTSUPP with a reason; -ENOMEM; -EINTR on a fatal signal;
 * -EAGAIN when the mapping kept changing. Takes and drops the mmap lock; may sleep.
 */
int longpin_take_pages(struct pinned_range *range, unsigned long first, unsigned long end,
		       const struct memory_segment *segment, struct longpin_refusal *why)
{
	struct taking taking = {
		.range = range,
		.flags = range->flags,
		.first = first,
		.end = end,
		.room = FEW_PAGES,
		.cursor.at = first,
		.addr = range->addr & PAGE_MASK,
		.why = why,
	};
	int err;

	if (segment)
		taking.segment = *segment;
	taking.pages = taking.few_pages;
	taking.runs = taking.few_runs;

	err = take_all(&taking);
	drop_pagemap(&taking);
	if (taking.runs != taking.few_runs)
		kfree(taking.runs);
	longpin_runs_drop_spare(&range->runs);

	/* Whole pages were looked at; the request may start within the first. */
	if (why->bad_addr && why->bad_addr < range->addr)
		why->bad_addr = range->addr;
	return err;
}
