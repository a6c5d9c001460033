// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which file is behind pinned memory, for those who ask later.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "backing_file.h"

/* Bytes in a path at most, so that a pin fits into one netlink message (see netlink.c). */
#define PATH_BYTES 1000

/**
 * longpin_describe_file - describe the file behind a mapping
 * @vma: a mapping that has one; the mmap lock is held
 * @addr: first pinned byte in the mapping
 *
 * Return: the description, to be given to kfree(); NULL without memory. May sleep.
 */
struct longpin_file *longpin_describe_file(struct vm_area_struct *vma, unsigned long addr)
{
	struct inode *inode = file_inode(vma->vm_file);
	struct longpin_file *file = NULL;
	char *buffer, *path;
	size_t size;

	buffer = kmalloc(PATH_BYTES + 1, GFP_KERNEL);
	if (!buffer)
		return NULL;
	path = d_path(&vma->vm_file->f_path, buffer, PATH_BYTES + 1);
	if (IS_ERR(path)) { /* too long */
		snprintf(buffer, PATH_BYTES + 1, ".../%pD4", vma->vm_file);
		path = buffer;
	}

	size = strlen(path) + 1;
	file = kmalloc(sizeof(*file) + size, GFP_KERNEL_ACCOUNT);
	if (file) {
		file->dev = inode->i_sb->s_dev;
		file->inode = inode->i_ino;
		file->offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) + (addr - vma->vm_start);
		memcpy(file->path, path, size);
	}
	kfree(buffer);
	return file;
}
