// SPDX-License-Identifier: GPL-2.0-only
/*
 * What kind of memory an address is, and whether such memory may be pinned for long.
 *
 * This looks at mappings only, so that a refusal can name its reason. What the page
 * tables hold is up to get_user_pages, and is checked again by take_pages.c after the
 * pages were taken, because the mapping can change in between.
 */
#include <linux/hugetlb.h>
#include <linux/sched/signal.h>
#include <linux/stat.h>
#include <linux/userfaultfd_k.h>

#include <linux/longpin.h>

#include "backing_file.h"
#include "kernel_compat.h"
#include "memory_kind.h"
#include "refusal.h"

/*
 * What can be leased: memory of which the process's mapping alone says which page is where. A
 * file's page cache changes its pages for reasons that no mapping is told of.
 */
#define LEASABLE                                                                               \
	(LONGPIN_KIND_ANON | LONGPIN_KIND_SHMEM | LONGPIN_KIND_HUGETLB | LONGPIN_KIND_DEVDAX | \
	 LONGPIN_KIND_FSDAX)

/*
 * What belongs to whoever mapped it: a driver's own pages, and files that are no page cache of a
 * file system. It may count those who can write to it by their mappings, as a BPF map does that can
 * be frozen, and a pin outlives these.
 */
#define DRIVERS_OWN (LONGPIN_KIND_DEVICE | LONGPIN_KIND_FILE)

static bool on_filesystem(struct vm_area_struct *vma, unsigned long magic)
{
	return vma->vm_file && file_inode(vma->vm_file)->i_sb->s_magic == magic;
}

/* Not vma_is_dax(): without CONFIG_FS_DAX that knows no DAX at all. */
static bool is_devdax(struct vm_area_struct *vma)
{
	return vma->vm_file && S_ISCHR(file_inode(vma->vm_file)->i_mode) &&
	       vma->vm_file->f_mapping->host->i_sb->s_magic == DAXFS_MAGIC;
}

/* A private mapping whose pages get copied on write: see is_cow_mapping() in mm. */
static bool is_cow(struct vm_area_struct *vma)
{
	return (vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE;
}

/*
 * Does the file system want to know of every write through a shared mapping? The
 * device would write behind its back, after the page was cleaned for writeback. The
 * rule is that of vma_needs_dirty_tracking() in mm/mmap.c of Linux 6.5, which let
 * get_user_pages refuse such pins; older kernels let them through.
 */
static bool needs_dirty_tracking(struct vm_area_struct *vma)
{
	const struct vm_operations_struct *ops = vma->vm_ops;

	if (!(vma->vm_flags & VM_SHARED) || !vma->vm_file)
		return false;
	if (ops && (ops->page_mkwrite || ops->pfn_mkwrite))
		return true;
	return longpin_mapping_can_writeback(vma->vm_file->f_mapping);
}

static u32 kind_of(struct vm_area_struct *vma)
{
	if (is_vm_hugetlb_page(vma))
		return LONGPIN_KIND_HUGETLB;
	if (vma_is_anonymous(vma))
		return LONGPIN_KIND_ANON;
	if (is_devdax(vma))
		return LONGPIN_KIND_DEVDAX;
	if (vma_is_fsdax(vma) && vma->vm_flags & VM_MAYSHARE)
		return LONGPIN_KIND_FSDAX;
	if (is_cow(vma))
		return LONGPIN_KIND_PRIVATE;
	/* Device nodes live on a file system too (devtmpfs is a tmpfs). */
	if (!vma->vm_file || !S_ISREG(file_inode(vma->vm_file)->i_mode))
		return LONGPIN_KIND_DEVICE;
	return on_filesystem(vma, TMPFS_MAGIC) ? LONGPIN_KIND_SHMEM : LONGPIN_KIND_FILE;
}

/*
 * Where nothing can be brought in any more, as the file ends there. What is no file system's may
 * not know how long it is.
 */
static unsigned long data_end(struct vm_area_struct *vma)
{
	unsigned long pages;

	if (!vma->vm_file || !S_ISREG(file_inode(vma->vm_file)->i_mode))
		return vma->vm_end;
	if (!is_vm_hugetlb_page(vma) && !on_filesystem(vma, TMPFS_MAGIC) &&
	    !longpin_mapping_can_writeback(vma->vm_file->f_mapping))
		return vma->vm_end;
	pages = DIV_ROUND_UP_ULL(i_size_read(vma->vm_file->f_mapping->host), PAGE_SIZE);
	pages -= min(pages, vma->vm_pgoff);
	return vma->vm_start + (min(pages, vma_pages(vma)) << PAGE_SHIFT);
}

/*
 * A read pin of a private mapping breaks copy-on-write first: Linux 6.1 would pin the
 * shared zero page or the file's page, and the process's next write would go to another
 * page. FOLL_FORCE lets that happen where the mapping is read-only; hugetlb knows no
 * FOLL_FORCE. A shared mapping is pinned as it is.
 *
 * Mostly that is done as a write would do it, in one step. But where a userfaultfd handler or a
 * protection key tells a write from a read, only the pages that are not the process's own yet may
 * be written to.
 */
static void set_gup_flags(struct vm_area_struct *vma, bool write, struct memory_segment *segment)
{
	unsigned int cow_flags = FOLL_WRITE;

	segment->gup_flags = write ? FOLL_WRITE : 0;
	segment->cow_flags = 0;
	if (write || !is_cow(vma))
		return;
	if (!(vma->vm_flags & VM_WRITE)) {
		if (is_vm_hugetlb_page(vma))
			return;
		cow_flags |= FOLL_FORCE;
	}
	if (longpin_gup_keeps_own() && (userfaultfd_armed(vma) || !longpin_keys_allow(vma, true)))
		segment->cow_flags = cow_flags;
	else
		segment->gup_flags = cow_flags;
}

/**
 * longpin_classify - may the memory at @addr be pinned, and how?
 * @mm: address space; its mmap lock is held
 * @addr: address, without a tag
 * @flags: LONGPIN_PIN_*
 * @segment: filled on success
 * @why: filled on refusal
 *
 * Return: 0, -EFAULT or -EOPNOTSUPP.
 */
int longpin_classify(struct mm_struct *mm, unsigned long addr, u32 flags,
		     struct memory_segment *segment, struct longpin_refusal *why)
{
	bool write = flags & LONGPIN_PIN_WRITE, lease = flags & LONGPIN_PIN_LEASE;
	struct vm_area_struct *vma;
	u32 kind;

	longpin_mmap_assert_locked(mm);

	vma = find_vma(mm, addr);
	if (!vma || vma->vm_start > addr)
		return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_HOLE, addr);
	if (vma->vm_flags & VM_IO)
		return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_IO, addr);
	if (vma->vm_flags & VM_PFNMAP)
		return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_PFNMAP, addr);
	if (on_filesystem(vma, SECRETMEM_MAGIC))
		return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_SECRETMEM, addr);
	kind = kind_of(vma);
	if (lease && !(kind & LEASABLE))
		return longpin_refuse_at(why, -EOPNOTSUPP, LONGPIN_REASON_LEASE_MEMORY, addr);
	if (!lease && vma_is_fsdax(vma))
		return longpin_refuse_at(why, -EOPNOTSUPP, LONGPIN_REASON_FSDAX, addr);
	if (write) {
		if (!(vma->vm_flags & VM_WRITE) || !longpin_keys_allow(vma, true))
			return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_NOT_WRITABLE, addr);
		if (kind != LONGPIN_KIND_FSDAX && needs_dirty_tracking(vma))
			return longpin_refuse_at(why, -EOPNOTSUPP, LONGPIN_REASON_DIRTY_TRACKING,
						 addr);
		if (kind & DRIVERS_OWN)
			return longpin_refuse_at(why, -EOPNOTSUPP, LONGPIN_REASON_DRIVER_MEMORY,
						 addr);
	} else if (!(vma->vm_flags & VM_READ) || !longpin_keys_allow(vma, false)) {
		return longpin_refuse_at(why, -EFAULT, LONGPIN_REASON_NOT_READABLE, addr);
	}

	segment->vma = vma;
	segment->end = vma->vm_end;
	segment->data_end = data_end(vma);
	segment->kind = kind;
	segment->watched = userfaultfd_armed(vma);
	set_gup_flags(vma, write, segment);
	return 0;
}

/**
 * longpin_check_range - may all of a range of the current process be pinned?
 * @addr: its first byte, without a tag
 * @last: its last byte
 * @flags: LONGPIN_PIN_*
 * @first: filled on success: the mapping at @addr
 * @file: NULL; set to a description of the file behind the first mapping that has one, which is
 *	the caller's to free, whatever is returned
 * @why: filled on refusal
 *
 * So that a range that can't be pinned is refused before its pages are brought in. That
 * also bounds the range to what an address space can hold.
 *
 * Return: 0, -EFAULT, -EOPNOTSUPP, -ENOMEM, -EINTR.
 */
int longpin_check_range(unsigned long addr, unsigned long last, u32 flags,
			struct memory_segment *first, struct longpin_file **file,
			struct longpin_refusal *why)
{
	struct mm_struct *mm = current->mm;
	unsigned long next = addr;
	struct memory_segment segment;
	int err;

	err = longpin_mmap_read_lock(mm);
	if (err)
		return err;
	do {
		err = longpin_classify(mm, next, flags, &segment, why);
		if (err)
			break;
		if (next == addr)
			*first = segment;
		if (!*file && segment.vma->vm_file) {
			*file = longpin_describe_file(segment.vma, next);
			if (!*file)
				err = -ENOMEM;
		}
		next = segment.end;
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	} while (!err && next <= last);
	longpin_mmap_read_unlock(mm);
	return err;
}
