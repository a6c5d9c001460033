// SPDX-License-Identifier: GPL-2.0-only
/*
 * The least that a long-term pin through get_user_pages can cost: its fast variant in a loop, into
 * an array that is there already, and nothing else: no accounting, no limits, no checks.
 * For measurements in a guest: whoever opens the device is trusted, and one thread uses an open
 * file at a time.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "longpin_floor.h"

/* As many pages a call as one page table has: IRQs are off meanwhile. */
#define CHUNK_PAGES 512U

/**
 * struct floor - an open file
 * @count: pages held
 * @pages: these
 */
struct floor {
	unsigned long count;
	struct page *pages[LONGPIN_FLOOR_MAX_PAGES];
};

static void floor_unpin(struct floor *floor, unsigned long nr)
{
	floor->count -= nr;
	/* As whoever let a device write to them has to. */
	unpin_user_pages_dirty_lock(floor->pages + floor->count, nr, true);
}

static long floor_pin(struct floor *floor, unsigned long addr, unsigned long nr,
		      unsigned int gup_flags)
{
	unsigned long done = 0;

	while (done < nr) {
		int got = pin_user_pages_fast(addr + (done << PAGE_SHIFT),
					      min_t(unsigned long, nr - done, CHUNK_PAGES),
					      gup_flags, floor->pages + floor->count);

		if (got <= 0) {
			floor_unpin(floor, done);
			return got ? got : -EFAULT;
		}
		floor->count += got;
		done += got;
	}
	return 0;
}

static long floor_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct floor *floor = file->private_data;
	struct longpin_floor_pin pin;

	switch (cmd) {
	case LONGPIN_FLOOR_PIN:
		if (copy_from_user(&pin, (void __user *)arg, sizeof(pin)))
			return -EFAULT;
		if (pin.pages > LONGPIN_FLOOR_MAX_PAGES - floor->count)
			return -EINVAL;
		return floor_pin(floor, pin.addr, pin.pages,
				 FOLL_WRITE | (pin.longterm ? FOLL_LONGTERM : 0));
	case LONGPIN_FLOOR_UNPIN:
		if (arg > floor->count)
			return -EINVAL;
		floor_unpin(floor, arg);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int floor_open(struct inode *inode, struct file *file)
{
	struct floor *floor = kvmalloc(sizeof(*floor), GFP_KERNEL);

	if (!floor)
		return -ENOMEM;
	floor->count = 0;
	file->private_data = floor;
	return 0;
}

static int floor_release(struct inode *inode, struct file *file)
{
	struct floor *floor = file->private_data;

	floor_unpin(floor, floor->count);
	kvfree(floor);
	return 0;
}

static const struct file_operations floor_fops = {
	.owner = THIS_MODULE,
	.open = floor_open,
	.release = floor_release,
	.unlocked_ioctl = floor_ioctl,
};

static struct miscdevice floor_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "longpin-floor",
	.fops = &floor_fops,
	.mode = 0600,
};
module_misc_device(floor_device);

MODULE_DESCRIPTION("The floor of what pinning memory costs, for longpin's benchmark");
MODULE_LICENSE("GPL");
