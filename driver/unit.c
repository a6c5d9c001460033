// SPDX-License-Identifier: GPL-2.0-only
/*
 * Units: what one entry of a page table above the last level maps. That is a huge page, all of it,
 * in one piece: a transparent one, one of hugetlbfs, or what a DAX device or file has there.
 *
 * One reference on any of its pages holds a unit: a huge page can be neither freed, nor split, nor
 * moved while one of its pages is pinned, and a DAX device doesn't go while its pagemap is held.
 *
 * Page tables are read here as get_user_pages' fast variant reads them: with interrupts off, so
 * that they are not freed, and without a lock. What is read may be old the next moment. It is
 * enough: the caller has a reference on a page, and asks whether at some time since then the page's
 * address was mapped by a large entry that has the page where it should be. Then all of the unit
 * was mapped at that time, and could have been taken page by page.
 */
#include <linux/irqflags.h>
#include <linux/mm.h>

#include "kernel_compat.h"
#include "unit.h"

#ifdef LONGPIN_HAVE_LEAVES

/**
 * struct leaf - what a page table has for an address
 * @pfn: the page at the address
 * @order: of the entry
 * @writable: may it be written to
 */
struct leaf {
	unsigned long pfn;
	unsigned int order;
	bool writable;
};

enum found {
	FOUND_NOTHING, /* nothing that is there */
	FOUND_TABLE,   /* of single pages */
	FOUND_LEAF,
};

static void set_leaf(struct leaf *leaf, unsigned long addr, unsigned long pfn, unsigned int shift,
		     bool writable)
{
	leaf->order = shift - PAGE_SHIFT;
	leaf->pfn = pfn + ((addr & ((1UL << shift) - 1)) >> PAGE_SHIFT);
	leaf->writable = writable;
}

/* Interrupts are off. */
static enum found find_leaf(struct mm_struct *mm, unsigned long addr, struct leaf *leaf)
{
	pgd_t *pgdp = pgd_offset(mm, addr), pgd = READ_ONCE(*pgdp);
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t pmd;

	if (!pgd_present(pgd))
		return FOUND_NOTHING;
	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (!p4d_present(p4d))
		return FOUND_NOTHING;
	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud))
		return FOUND_NOTHING;
	if (pud_leaf(pud)) {
		set_leaf(leaf, addr, pud_pfn(pud), PUD_SHIFT, pud_write(pud));
		return FOUND_LEAF;
	}
	pmd = READ_ONCE(*pmd_offset_lockless(pudp, pud, addr));
	if (!pmd_present(pmd))
		return FOUND_NOTHING;
	if (pmd_leaf(pmd)) {
		set_leaf(leaf, addr, pmd_pfn(pmd), PMD_SHIFT, pmd_write(pmd));
		return FOUND_LEAF;
	}
	return FOUND_TABLE;
}

static enum found look_at(struct mm_struct *mm, unsigned long addr, struct leaf *leaf)
{
	enum found found;
	unsigned long flags;

	local_irq_save(flags);
	found = find_leaf(mm, addr, leaf);
	local_irq_restore(flags);
	return found;
}

/**
 * longpin_is_mapped_by_page - is an address mapped by a table of single pages?
 * @mm: memory of the current process
 * @addr: the address
 *
 * Return: false if it isn't, just now: it may be part of a unit, or will be when it is touched.
 */
bool longpin_is_mapped_by_page(struct mm_struct *mm, unsigned long addr)
{
	struct leaf leaf;

	return look_at(mm, addr, &leaf) == FOUND_TABLE;
}

/**
 * longpin_unit_order - the unit that a page is mapped by
 * @mm: memory of the current process
 * @addr: an address
 * @page: a page that was mapped there, which the caller holds, and its pagemap if it has one
 * @write: the mapping has to be one for writing
 *
 * Return: order of the unit, all of which was mapped since the caller has had the page; 0 if there
 * is none.
 */
unsigned int longpin_unit_order(struct mm_struct *mm, unsigned long addr, const struct page *page,
				bool write)
{
	struct leaf leaf;

	if (look_at(mm, addr, &leaf) != FOUND_LEAF || leaf.pfn != page_to_pfn(page))
		return 0;
	if (write && !leaf.writable)
		return 0;
	/* A driver may map pages in large pieces that are no huge page. */
	if (!is_zone_device_page(page) && longpin_page_order(page) < leaf.order)
		return 0;
	return leaf.order;
}

#else /* LONGPIN_HAVE_LEAVES */

bool longpin_is_mapped_by_page(struct mm_struct *mm, unsigned long addr)
{
	return true;
}

unsigned int longpin_unit_order(struct mm_struct *mm, unsigned long addr, const struct page *page,
				bool write)
{
	return 0;
}

#endif
