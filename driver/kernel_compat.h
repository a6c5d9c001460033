/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything that differs between kernels (4.15 to 7.3), under one name each.
 * kernel_features.h holds what the headers at hand offer (see kernel_probes.c);
 * no other file asks.
 */
#ifndef LONGPIN_KERNEL_COMPAT_H
#define LONGPIN_KERNEL_COMPAT_H

#include <linux/backing-dev.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmu_context.h>
#include <linux/mmu_notifier.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/user.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "kernel_features.h"

#ifdef LONGPIN_HAVE_TIMENS
#include <linux/time_namespace.h>
#endif

#ifdef LONGPIN_HAVE_ERROR_INJECTION
#include <linux/error-injection.h>
#else
#define ALLOW_ERROR_INJECTION(function, kind)
#endif

#ifdef LONGPIN_HAVE_NOSPEC
#include <linux/nospec.h>
#else /* 4.15, which doesn't guard itself against such speculation either */
#define array_index_nospec(index, size) (index)
#endif

#ifndef untagged_addr /* 5.3 */
#define untagged_addr(addr) (addr)
#endif

#ifndef data_race /* 5.8 */
#define data_race(expr) (expr)
#endif

#ifndef LONGPIN_HAVE_POLL_T /* 4.16 */
#define __poll_t unsigned int
#endif

#ifndef EPOLLIN /* 4.16 in the kernel */
#define EPOLLIN	    POLLIN
#define EPOLLRDNORM POLLRDNORM
#endif

#ifndef DAXFS_MAGIC /* 5.1 in a header of its own */
#define DAXFS_MAGIC 0x64646178
#endif

#ifndef SECRETMEM_MAGIC /* 5.14 */
#define SECRETMEM_MAGIC 0x5345434d
#endif

#ifndef list_for_each_entry_srcu /* 5.10 */
#define list_for_each_entry_srcu(pos, head, member, cond) list_for_each_entry_rcu(pos, head, member)
#endif

#ifndef hlist_for_each_entry_srcu /* 5.10 */
#define hlist_for_each_entry_srcu(pos, head, member, cond) \
	hlist_for_each_entry_rcu(pos, head, member)
#endif

#ifndef NLA_POLICY_MIN /* 5.0 */
#define NLA_POLICY_MIN(_type, _min) \
	{                           \
		.type = (_type)     \
	}
#endif

#ifndef NLA_POLICY_MASK /* 5.10 */
#define NLA_POLICY_MASK(_type, _mask) \
	{                             \
		.type = (_type)       \
	}
#endif

/*
 * The policy of a command: 5.10 has it with the command, as did kernels before 5.2, but these have
 * its length with the family. Those in between have one policy for the family.
 */
#ifdef LONGPIN_HAVE_GENL_OP_MAXATTR
#define LONGPIN_GENL_OP(_cmd, _policy, _max) .cmd = (_cmd), .policy = (_policy), .maxattr = (_max)
#define LONGPIN_GENL_FAMILY(_policy, _max)   .maxattr = 0
#elif defined(LONGPIN_HAVE_GENL_FAMILY_POLICY)
#define LONGPIN_GENL_OP(_cmd, _policy, _max) .cmd = (_cmd)
#define LONGPIN_GENL_FAMILY(_policy, _max)   .maxattr = (_max), .policy = (_policy)
#else
#define LONGPIN_GENL_OP(_cmd, _policy, _max) .cmd = (_cmd), .policy = (_policy)
#define LONGPIN_GENL_FAMILY(_policy, _max)   .maxattr = (_max)
#endif

/* In the initial user namespace; without an audit record, since every caller is asked. */
static inline bool longpin_capable(int capability)
{
	return ns_capable_noaudit(&init_user_ns, capability);
}

/* 0, or -EINTR when a fatal signal came. */
static inline int longpin_mmap_read_lock(struct mm_struct *mm)
{
#ifdef LONGPIN_HAVE_MMAP_READ_LOCK
	return mmap_read_lock_killable(mm);
#else
	return down_read_killable(&mm->mmap_sem);
#endif
}

static inline void longpin_mmap_read_unlock(struct mm_struct *mm)
{
#ifdef LONGPIN_HAVE_MMAP_READ_LOCK
	mmap_read_unlock(mm);
#else
	up_read(&mm->mmap_sem);
#endif
}

/* mmap_assert_locked() is not for modules: with CONFIG_DEBUG_VM it wants dump_mm(). */
static inline void longpin_mmap_assert_locked(struct mm_struct *mm)
{
#ifdef LONGPIN_HAVE_MMAP_LOCK
	lockdep_assert_held(&mm->mmap_lock);
#else
	lockdep_assert_held(&mm->mmap_sem);
#endif
}

/* VmPin of the process, in pages. May sleep. */
static inline void longpin_mm_pinned_add(struct mm_struct *mm, long pages)
{
#ifdef LONGPIN_HAVE_ATOMIC_PINNED_VM
	atomic64_add(pages, &mm->pinned_vm);
#else
	down_write(&mm->mmap_sem);
	mm->pinned_vm += pages;
	up_write(&mm->mmap_sem);
#endif
}

/*
 * Take long-term pins of up to @nr pages of the current process from @start on.
 * No mmap lock may be held. Returns the number of pages taken, which may be fewer
 * than asked for, or an errno.
 */
static inline long longpin_gup_longterm(unsigned long start, int nr, unsigned int gup_flags,
					struct page **pages)
{
#ifdef LONGPIN_HAVE_PIN_USER_PAGES_FAST
	return pin_user_pages_fast(start, nr, gup_flags | FOLL_LONGTERM, pages);
#else
	long got = longpin_mmap_read_lock(current->mm);

	if (got)
		return got;
#if defined(LONGPIN_HAVE_GET_USER_PAGES_FOLL_LONGTERM)
	got = get_user_pages(start, nr, gup_flags | FOLL_LONGTERM, pages, NULL);
#elif defined(LONGPIN_HAVE_GET_USER_PAGES_LONGTERM)
	got = get_user_pages_longterm(start, nr, gup_flags, pages, NULL);
#else
#error "longpin: this kernel has no long-term variant of get_user_pages (it came with 4.15)"
#endif
	longpin_mmap_read_unlock(current->mm);
	return got;
#endif
}

/*
 * Bring in up to @nr pages of the current process from @start on, as its own accesses would, and
 * wait for a userfaultfd handler if it takes one: get_user_pages' long-term variants don't up to
 * 6.2. Protection keys are not asked. No lock may be held, and none is held while a handler is
 * waited for. Returns how many, with a plain reference on each if @pages is not NULL; or an errno,
 * -EINTR on a fatal signal.
 */
static inline long longpin_bring_in(unsigned long start, unsigned long nr, unsigned int gup_flags,
				    struct page **pages)
{
	struct mm_struct *mm = current->mm;
	int locked = 1;
	long got = longpin_mmap_read_lock(mm);

	if (got)
		return got;
#if defined(LONGPIN_HAVE_GET_USER_PAGES_REMOTE_TSK)
	got = get_user_pages_remote(current, mm, start, nr, gup_flags, pages, NULL, &locked);
#elif defined(LONGPIN_HAVE_GET_USER_PAGES_REMOTE_VMAS)
	got = get_user_pages_remote(mm, start, nr, gup_flags, pages, NULL, &locked);
#else
	got = get_user_pages_remote(mm, start, nr, gup_flags, pages, &locked);
#endif
	if (locked)
		longpin_mmap_read_unlock(mm);
	return got;
}

/*
 * Does a pin for reading keep an anonymous page the process's own, as one for writing does? Before
 * 5.19 the process gets another page when it writes after a fork().
 */
static inline bool longpin_gup_keeps_own(void)
{
#ifdef LONGPIN_HAVE_FAULT_FLAG_UNSHARE
	return true;
#else
	return false;
#endif
}

/* Do this thread's protection keys let it read or write there? The mmap lock is held. */
static inline bool longpin_keys_allow(struct vm_area_struct *vma, bool write)
{
#ifdef CONFIG_PPC_MEM_KEYS
	return true; /* what knows it is not for modules */
#else
	return arch_vma_access_permitted(vma, write, false, false);
#endif
}

/* Give back what longpin_gup_longterm() took: @nr pages from @first on. May sleep. */
static inline void longpin_unpin_range(struct page *first, unsigned long nr, bool dirty)
{
#ifdef LONGPIN_HAVE_UNPIN_USER_PAGE_RANGE
	unpin_user_page_range_dirty_lock(first, nr, dirty);
#else
	unsigned long pfn = page_to_pfn(first), end = pfn + nr;

	for (; pfn < end; pfn++) {
		struct page *page = pfn_to_page(pfn);

#ifdef LONGPIN_HAVE_PIN_USER_PAGES_FAST
		unpin_user_pages_dirty_lock(&page, 1, dirty);
#else
		if (dirty)
			set_page_dirty_lock(page);
		put_page(page);
#endif
	}
#endif
}

/* The page that is @n pages behind in memory. */
static inline struct page *longpin_nth_page(const struct page *page, unsigned long n)
{
#if defined(CONFIG_SPARSEMEM) && !defined(CONFIG_SPARSEMEM_VMEMMAP)
	return pfn_to_page(page_to_pfn(page) + n);
#else
	return (struct page *)page + n;
#endif
}

static inline unsigned long longpin_page_flags(const struct page *page)
{
#ifdef LONGPIN_HAVE_MEMDESC_FLAGS
	const unsigned long *flags = &page->flags.f;
#else
	const unsigned long *flags = &page->flags;
#endif
	/* Other flags than those that are looked at may change meanwhile. */
	return data_race(*flags);
}

/* Mark pages dirty without their lock, as the kernel does while it unmaps them. */
static inline void longpin_mark_dirty(struct page *first, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
#ifdef LONGPIN_HAVE_FOLIO
		folio_mark_dirty(page_folio(longpin_nth_page(first, i)));
#else
		set_page_dirty(compound_head(longpin_nth_page(first, i)));
#endif
	}
}

/*
 * Take a plain reference on one page of the current process that get_user_pages' fast variant
 * doesn't take. The mmap lock is held, and is still held on return. Returns 1, or an errno.
 *
 * Not a pin (FOLL_PIN) on purpose: where files share a block of fs-DAX, its page looks anonymous,
 * and a pin for reading asks for it to be unshared first. That does nothing, and is tried for ever.
 */
static inline long longpin_gup_one(unsigned long addr, unsigned int gup_flags, struct page **page)
{
#if !defined(LONGPIN_HAVE_INTERVAL_NOTIFIER)
	return -EOPNOTSUPP; /* there are no leases here, and so no need */
#elif defined(LONGPIN_HAVE_GET_USER_PAGES_VMAS)
	return get_user_pages(addr, 1, gup_flags, page, NULL);
#else
	return get_user_pages(addr, 1, gup_flags, page);
#endif
}

/*
 * A section that percpu_ref_kill() waits for. Up to 4.19 that is RCU-sched; since 4.20 there is but
 * one RCU, and with PREEMPT_RT what may sleep there, as put_page() does, must not be done with
 * preemption off.
 */
static inline void longpin_pagemap_read_lock(void)
{
#ifdef CONFIG_PREEMPT_RT
	rcu_read_lock();
#else
	rcu_read_lock_sched();
#endif
}

static inline void longpin_pagemap_read_unlock(void)
{
#ifdef CONFIG_PREEMPT_RT
	rcu_read_unlock();
#else
	rcu_read_unlock_sched();
#endif
}

/*
 * Take plain references on the pages of the current process from @start on that
 * its page tables hold now. Never sleeps, never faults. Returns how many, maybe 0.
 */
static inline int longpin_gup_present(unsigned long start, int nr, bool write, struct page **pages)
{
#ifdef LONGPIN_HAVE_GET_USER_PAGES_FAST_ONLY
	int got = get_user_pages_fast_only(start, nr, write ? FOLL_WRITE : 0, pages);
#else
	int got = __get_user_pages_fast(start, nr, write, pages);
#endif
	return got < 0 ? 0 : got;
}

/* Fault one page in. The mmap lock is held, and is still held on return. */
static inline int longpin_fault_in(struct mm_struct *mm, unsigned long addr, bool write)
{
	unsigned int flags = write ? FAULT_FLAG_WRITE : 0;

#ifdef LONGPIN_HAVE_FIXUP_USER_FAULT_TSK
	return fixup_user_fault(current, mm, addr, flags, NULL);
#else
	return fixup_user_fault(mm, addr, flags, NULL);
#endif
}

/* The pagemap of a ZONE_DEVICE page on which a reference is held. */
static inline struct dev_pagemap *longpin_page_pgmap(const struct page *page)
{
#ifdef LONGPIN_HAVE_PAGE_PGMAP
	return page_pgmap(page);
#else
	/* In a tail page the field is part of compound_head. */
	return compound_head((struct page *)page)->pgmap;
#endif
}

/* Is it a page of file-system DAX? It is a ZONE_DEVICE page, and its pagemap is held. */
static inline bool longpin_is_fs_dax(const struct page *page)
{
#ifdef LONGPIN_HAVE_INTERVAL_NOTIFIER
	return longpin_page_pgmap(page)->type == MEMORY_DEVICE_FS_DAX;
#else
	return false; /* and not wanted: there are no leases */
#endif
}

/*
 * A live reference on the pagemap of a ZONE_DEVICE page, or NULL when it is going. The page is
 * held, and the caller is in longpin_pagemap_read_lock()'s section since before it was taken.
 */
static inline struct dev_pagemap *longpin_get_dev_pagemap(const struct page *page)
{
#if defined(LONGPIN_HAVE_GET_DEV_PAGEMAP_ONE_ARG)
	return get_dev_pagemap(page_to_pfn(page));
#elif defined(LONGPIN_HAVE_FIND_DEV_PAGEMAP)
	/* get_dev_pagemap() looks it up by that, which is not for modules. */
	struct dev_pagemap *pgmap = longpin_page_pgmap(page);

	return percpu_ref_tryget_live(pgmap->ref) ? pgmap : NULL;
#else
	return get_dev_pagemap(page_to_pfn(page), NULL);
#endif
}

/* One more reference on a pagemap, on which one is held. */
static inline void longpin_get_pgmap_again(struct dev_pagemap *pgmap)
{
#ifdef LONGPIN_HAVE_PGMAP_REF_EMBEDDED
	percpu_ref_get(&pgmap->ref);
#else
	percpu_ref_get(pgmap->ref);
#endif
}

/* Has somebody begun to take the device away? A reference is held. */
static inline bool longpin_pgmap_is_dying(struct dev_pagemap *pgmap)
{
#ifdef LONGPIN_HAVE_PGMAP_REF_EMBEDDED
	return percpu_ref_is_dying(&pgmap->ref);
#else
	return percpu_ref_is_dying(pgmap->ref);
#endif
}

/* Order of the compound page that a page, on which a reference is held, is part of. */
static inline unsigned int longpin_page_order(const struct page *page)
{
	return compound_order(compound_head((struct page *)page));
}

/* A time by CLOCK_BOOTTIME, as the current process's time namespace has it. */
static inline u64 longpin_boottime_of_reader(u64 time)
{
#ifdef LONGPIN_HAVE_TIMENS
	return timens_add_boottime_ns(time);
#else
	return time;
#endif
}

/*
 * Keep the struct of the current user. Where modules can't do that by itself, credentials are kept,
 * which hold a user namespace and keyrings too, and are returned; else NULL.
 */
static inline const struct cred *longpin_hold_user(void)
{
#ifdef LONGPIN_HAVE_FREE_UID
	get_uid(current_user());
	return NULL;
#else
	return get_current_cred();
#endif
}

/* Undo that. */
static inline void longpin_release_user(struct user_struct *user, const struct cred *holder)
{
#ifdef LONGPIN_HAVE_FREE_UID
	free_uid(user);
#else
	put_cred(holder);
#endif
}

static inline void longpin_eventfd_signal(struct eventfd_ctx *eventfd)
{
#ifdef LONGPIN_HAVE_EVENTFD_SIGNAL_ONE_ARG
	eventfd_signal(eventfd);
#else
	eventfd_signal(eventfd, 1);
#endif
}

static inline void longpin_change_vm_flags(struct vm_area_struct *vma, unsigned long set,
					   unsigned long clear)
{
#ifdef LONGPIN_HAVE_VM_FLAGS_MOD
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/* Whether a request lacks an attribute that it needs; if so, the answer will name it. */
static inline bool longpin_attr_is_missing(struct genl_info *info, int type)
{
#ifdef GENL_REQ_ATTR_CHECK /* 6.1 */
	return GENL_REQ_ATTR_CHECK(info, type);
#else
	return !info->attrs[type];
#endif
}

/* Where an error at the start of a dump is explained; NULL where the kernel has no place for it. */
static inline struct netlink_ext_ack *longpin_dump_extack(struct netlink_callback *cb)
{
#ifdef LONGPIN_HAVE_DUMP_EXTACK
	return cb->extack;
#else
	return NULL;
#endif
}

/*
 * The file behind a mapping as user space knows it, and /proc/PID/maps shows it: since 6.8 a file
 * of an overlay is mapped from its layer.
 */
static inline const struct path *longpin_file_path(struct file *file)
{
#ifdef LONGPIN_HAVE_FILE_USER_PATH
	return file_user_path(file);
#else
	return &file->f_path;
#endif
}

static inline const struct inode *longpin_file_inode(struct file *file)
{
#ifdef LONGPIN_HAVE_FILE_USER_PATH
	return file_user_inode(file);
#else
	return file_inode(file);
#endif
}

/*
 * A reference on the file of a socket that user space opened; NULL when it is being closed. As long
 * as it is held the socket isn't released.
 */
static inline struct file *longpin_sock_file(struct sock *sk)
{
	struct file *file = NULL;

	/* What releases the socket takes the lock before it lets go of the file. */
	read_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_socket) {
#ifdef LONGPIN_HAVE_GET_FILE_ACTIVE
		file = get_file_active(&sk->sk_socket->file);
#else
		file = sk->sk_socket->file;
		if (file && !get_file_rcu(file))
			file = NULL;
#endif
	}
	read_unlock_bh(&sk->sk_callback_lock);
	return file;
}

static inline bool longpin_is_anon(struct page *page)
{
#ifdef LONGPIN_HAVE_FOLIO
	return folio_test_anon(page_folio(page));
#else
	return PageAnon(compound_head(page));
#endif
}

/* Memory that is nobody's but processes': anonymous, shmem (swap-backed) and hugetlb pages. */
static inline bool longpin_is_plain_memory(struct page *page)
{
#ifdef LONGPIN_HAVE_FOLIO
	struct folio *folio = page_folio(page);

	return folio_test_anon(folio) || folio_test_swapbacked(folio) || folio_test_hugetlb(folio);
#else
	page = compound_head(page);
	return PageAnon(page) || PageSwapBacked(page) || PageHuge(page);
#endif
}

/* Page cache of a file, if it is no plain memory. */
static inline bool longpin_has_mapping(struct page *page)
{
#ifdef LONGPIN_HAVE_FOLIO
	return READ_ONCE(page_folio(page)->mapping);
#else
	return READ_ONCE(compound_head(page)->mapping);
#endif
}

/*
 * Copy from memory that may be broken without anybody knowing it yet. A plain load of it is a
 * machine check that the kernel doesn't survive; where the processor can, this returns false.
 */
static inline bool longpin_copy_mc(void *to, const void *from, size_t length)
{
#if defined(LONGPIN_HAVE_COPY_MC_TO_KERNEL)
	return !copy_mc_to_kernel(to, from, length);
#elif defined(LONGPIN_HAVE_MEMCPY_MCSAFE)
	return !memcpy_mcsafe(to, from, length);
#else
	memcpy(to, from, length);
	return true;
#endif
}

/* Nobody sleeps until it is unmapped again. */
static inline void *longpin_kmap(struct page *page)
{
#ifdef LONGPIN_HAVE_KMAP_LOCAL_PAGE
	return kmap_local_page(page);
#else
	return kmap_atomic(page);
#endif
}

static inline void longpin_kunmap(void *kaddr)
{
#ifdef LONGPIN_HAVE_KMAP_LOCAL_PAGE
	kunmap_local(kaddr);
#else
	kunmap_atomic(kaddr);
#endif
}

static inline bool longpin_mapping_can_writeback(struct address_space *mapping)
{
#ifdef LONGPIN_HAVE_MAPPING_CAN_WRITEBACK
	return mapping_can_writeback(mapping);
#else
	return mapping_cap_writeback_dirty(mapping);
#endif
}

/* copy_struct_from_user() came with 5.4: the rule is in its comment there. */
static inline int longpin_copy_struct_from_user(void *dst, size_t ksize, const void __user *src,
						size_t usize)
{
#ifdef LONGPIN_HAVE_COPY_STRUCT_FROM_USER
	return copy_struct_from_user(dst, ksize, src, usize);
#else
	size_t common = min(ksize, usize), i;
	char byte;

	memset(dst + common, 0, ksize - common);
	for (i = common; i < usize; i++) {
		if (get_user(byte, (const char __user *)src + i))
			return -EFAULT;
		if (byte)
			return -E2BIG;
	}
	return copy_from_user(dst, src, common) ? -EFAULT : 0;
#endif
}

#endif /* LONGPIN_KERNEL_COMPAT_H */
