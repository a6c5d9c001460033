// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which file is behind pinned memory, for those who ask later.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "backing_file.h"
#include "kernel_compat.h"

/* Bytes in a path at most, so that a pin fits into one netlink message (see records.c). */
#define PATH_BYTES 1000

/* Most paths are shorter: these need no large buffer, which the kernel may clear before use. */
#define SMALL_PATH 128

/* The path of a file, in @buffer of PATH_MAX bytes; of one that is too long its end. */
static const char *describe_path(struct file *file, char *buffer)
{
	const struct path *path = longpin_file_path(file);
	char *text = d_path(path, buffer, PATH_MAX);
	size_t length;

	if (IS_ERR(text)) { /* longer still */
		snprintf(buffer, PATH_MAX, ".../%pd", path->dentry);
		return buffer;
	}
	length = strlen(text);
	if (length > PATH_BYTES) {
		text += length - PATH_BYTES;
		memcpy(text, "...", 3);
	}
	return text;
}

/**
 * longpin_describe_file - describe the file behind a mapping
 * @vma: a mapping that has one; the mmap lock is held
 * @addr: first pinned byte in the mapping
 *
 * Return: the description, to be given to kfree(); NULL without memory. May sleep.
 */
struct longpin_file *longpin_describe_file(struct vm_area_struct *vma, unsigned long addr)
{
	const struct inode *inode = longpin_file_inode(vma->vm_file);
	char small[SMALL_PATH], *large = NULL;
	struct longpin_file *file;
	const char *path;
	size_t size;

	path = d_path(longpin_file_path(vma->vm_file), small, sizeof(small));
	if (IS_ERR(path)) {
		large = kmalloc(PATH_MAX, GFP_KERNEL);
		if (!large)
			return NULL;
		path = describe_path(vma->vm_file, large);
	}
	size = strlen(path) + 1;
	file = kmalloc(sizeof(*file) + size, GFP_KERNEL_ACCOUNT);
	if (file) {
		file->dev = inode->i_sb->s_dev;
		file->inode = inode->i_ino;
		file->offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) + (addr - vma->vm_start);
		memcpy(file->path, path, size);
	}
	kfree(large);
	return file;
}
