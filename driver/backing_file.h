/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_BACKING_FILE_H
#define LONGPIN_BACKING_FILE_H

#include <linux/types.h>

struct vm_area_struct;

/**
 * struct longpin_file - a mapped file, described when memory of it was pinned
 * @dev: device of its file system
 * @inode: its inode number
 * @offset: place in the file of the first pinned byte that is mapped from it
 * @path: its path as the process saw it
 *
 * A description and not a reference: a pin must not keep a file system from being unmounted.
 */
struct longpin_file {
	dev_t dev;
	u64 inode;
	u64 offset;
	char path[];
};

struct longpin_file *longpin_describe_file(struct vm_area_struct *vma, unsigned long addr);

#endif /* LONGPIN_BACKING_FILE_H */
