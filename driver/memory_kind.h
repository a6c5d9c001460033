/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_MEMORY_KIND_H
#define LONGPIN_MEMORY_KIND_H

#include <linux/types.h>

struct longpin_file;
struct longpin_refusal;
struct mm_struct;
struct vm_area_struct;

/**
 * struct memory_segment - the rest of a mapping, and how its pages are to be pinned
 * @vma: the mapping, for as long as the mmap lock is held since it was looked up
 * @end: first address behind it
 * @data_end: first address behind the end of its file, if that comes before @end; else @end
 * @kind: one of LONGPIN_KIND_*
 * @gup_flags: FOLL_WRITE and FOLL_FORCE as the mapping needs them
 * @cow_flags: the same for a page that is not the process's own yet, and so has to be copied before
 *	it is taken with @gup_flags; 0 where no page is looked at for that
 * @watched: a userfaultfd handler may have to bring pages in
 */
struct memory_segment {
	struct vm_area_struct *vma;
	unsigned long end;
	unsigned long data_end;
	u32 kind;
	unsigned int gup_flags;
	unsigned int cow_flags;
	bool watched;
};

int longpin_classify(struct mm_struct *mm, unsigned long addr, u32 flags,
		     struct memory_segment *segment, struct longpin_refusal *why);
int longpin_check_range(unsigned long addr, unsigned long last, u32 flags,
			struct memory_segment *first, struct longpin_file **file,
			struct longpin_refusal *why);

#endif /* LONGPIN_MEMORY_KIND_H */
