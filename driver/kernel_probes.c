// SPDX-License-Identifier: GPL-2.0-only
/*
 * Questions to the kernel's headers, one a section, each a function that compiles
 * if the answer is yes. kernel_probes.sh compiles the file once for each PROBE_*
 * and writes the answers to kernel_features.h. Distributions backport, so version
 * numbers would not do.
 */
#include <linux/backing-dev.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <net/genetlink.h>
#ifdef PROBE_NOSPEC
#include <linux/nospec.h>
#endif
#ifdef PROBE_TIMENS
#include <linux/time_namespace.h>
#endif
#ifdef PROBE_ERROR_INJECTION
#include <linux/error-injection.h>
#endif

int probe(struct mm_struct *mm, struct page **pages);
int probe(struct mm_struct *mm, struct page **pages)
{
#if defined(PROBE_SANITY)
	return 0;
#elif defined(PROBE_PIN_USER_PAGES_FAST)	  /* 5.6 */
	return pin_user_pages_fast(0, 1, FOLL_WRITE | FOLL_LONGTERM, pages);
#elif defined(PROBE_GET_USER_PAGES_FOLL_LONGTERM) /* 5.2, RHEL 8; has vmas until 6.4 */
	return get_user_pages(0, 1, FOLL_LONGTERM, pages, NULL);
#elif defined(PROBE_GET_USER_PAGES_LONGTERM)	  /* 4.15 to 5.1 */
	return get_user_pages_longterm(0, 1, FOLL_WRITE, pages, NULL);
#elif defined(PROBE_GET_USER_PAGES_REMOTE_TSK)	  /* until 5.8 */
	return get_user_pages_remote(NULL, mm, 0, 1, 0, pages, NULL, NULL);
#elif defined(PROBE_GET_USER_PAGES_REMOTE_VMAS)	  /* 5.9 to 6.4 */
	return get_user_pages_remote(mm, 0, 1, 0, pages, NULL, NULL);
#elif defined(PROBE_FAULT_FLAG_UNSHARE)		  /* 5.19 */
	return FAULT_FLAG_UNSHARE;
#elif defined(PROBE_UNPIN_USER_PAGE_RANGE)	  /* 5.13 */
	unpin_user_page_range_dirty_lock(pages[0], 1, true);
	return 0;
#elif defined(PROBE_GET_USER_PAGES_FAST_ONLY)	  /* 5.8 */
	return get_user_pages_fast_only(0, 1, FOLL_WRITE, pages);
#elif defined(PROBE_FIXUP_USER_FAULT_TSK)	  /* until 5.8 */
	return fixup_user_fault(NULL, mm, 0, 0, NULL);
#elif defined(PROBE_MMAP_READ_LOCK)		  /* 5.8, stable 5.4, RHEL 8 */
	return mmap_read_lock_killable(mm);
#elif defined(PROBE_MMAP_LOCK)			  /* 5.8: mmap_sem has got another name */
	return rwsem_is_locked(&mm->mmap_lock);
#elif defined(PROBE_ATOMIC_PINNED_VM)		  /* 5.1 */
	return atomic64_read(&mm->pinned_vm);
#elif defined(PROBE_COPY_STRUCT_FROM_USER)	  /* 5.4 */
	return copy_struct_from_user(pages, 8, NULL, 8);
#elif defined(PROBE_PAGE_PGMAP)			  /* 6.14 */
	return !page_pgmap(pages[0]);
#elif defined(PROBE_GET_DEV_PAGEMAP_ONE_ARG)	  /* 6.18 */
	return !get_dev_pagemap(0);
#elif defined(PROBE_FIND_DEV_PAGEMAP)		  /* until 4.15 */
	return !find_dev_pagemap(0);
#elif defined(PROBE_FOLIO)			  /* 5.16; pages lost these tests bit by bit */
	return folio_test_hugetlb(page_folio(pages[0]));
#elif defined(PROBE_KMAP_LOCAL_PAGE)		  /* 5.11 */
	kunmap_local(kmap_local_page(pages[0]));
	return 0;
#elif defined(PROBE_COPY_MC_TO_KERNEL)		  /* 5.10 */
	return copy_mc_to_kernel(pages, mm, 1);
#elif defined(PROBE_MEMCPY_MCSAFE)		  /* until 5.9 */
	return memcpy_mcsafe(pages, mm, 1);
#elif defined(PROBE_MAPPING_CAN_WRITEBACK)	  /* 5.10 */
	return mapping_can_writeback(NULL);
#elif defined(PROBE_GENL_OP_MAXATTR)		  /* 5.10 */
	return ((struct genl_ops *)pages)->maxattr;
#elif defined(PROBE_GENL_FAMILY_POLICY)		  /* 5.2 */
	return !((struct genl_family *)pages)->policy;
#elif defined(PROBE_TIMENS)			  /* 5.6 */
	return timens_add_boottime_ns(0) != 0;
#elif defined(PROBE_DUMP_EXTACK)		  /* 4.20 */
	return !((struct netlink_callback *)pages)->extack;
#elif defined(PROBE_FILE_USER_PATH)		  /* 6.8 */
	return !file_user_path(NULL) || !file_user_inode(NULL);
#elif defined(PROBE_GET_FILE_ACTIVE)		  /* 6.7 */
	return !get_file_active((struct file **)pages);
#elif defined(PROBE_INTERVAL_NOTIFIER)		  /* 5.5, with CONFIG_MMU_NOTIFIER */
	/* Without that, as in RHEL 8.3 and 8.5, notifiers aren't told of what kind an event is. */
	return mmu_notifier_range_blockable((struct mmu_notifier_range *)pages) &&
	       mmu_interval_read_begin(NULL);
#elif defined(PROBE_GET_USER_PAGES_VMAS)	  /* until 6.4 */
	return get_user_pages(0, 1, FOLL_WRITE, pages, NULL);
#elif defined(PROBE_PGMAP_REF_EMBEDDED)		  /* 5.17 */
	percpu_ref_get(&((struct dev_pagemap *)pages)->ref);
	return 0;
#elif defined(PROBE_NOSPEC)			  /* 4.15.2 */
	return array_index_nospec(0, 1);
#elif defined(PROBE_ERROR_INJECTION)		  /* 4.16 */
	return EI_ETYPE_ERRNO;
#elif defined(PROBE_POLL_T)			  /* 4.16 */
	return (__force int)(__poll_t)0;
#elif defined(PROBE_EVENTFD_SIGNAL_ONE_ARG)	  /* 6.8 */
	eventfd_signal(NULL);
	return 0;
#elif defined(PROBE_VM_FLAGS_MOD)		  /* 6.3 */
	vm_flags_mod((struct vm_area_struct *)pages, VM_DONTCOPY, VM_MAYWRITE);
	return 0;
#elif defined(PROBE_MEMDESC_FLAGS)		  /* 6.18 */
	return pages[0]->flags.f != 0;
#elif defined(PROBE_LEAVES) /* 5.10, where get_user_pages has a fast variant */
#if !defined(CONFIG_64BIT) || !(defined(CONFIG_HAVE_FAST_GUP) || defined(CONFIG_HAVE_GUP_FAST))
#error
#endif
	pud_t *pud = pud_offset_lockless((p4d_t *)pages, *(p4d_t *)pages, 0);
	pmd_t *pmd = pmd_offset_lockless(pud, *pud, 0);

	return (pud_leaf(*pud) && pud_pfn(*pud) && pud_write(*pud)) ||
	       (pmd_leaf(*pmd) && pmd_pfn(*pmd) && pmd_write(*pmd));
#else
#error "kernel_probes.sh names a probe that is not here"
#endif
}
