// SPDX-License-Identifier: GPL-2.0-only
/*
 * longpin: /dev/longpin, a way for any program to pin its memory for long.
 *
 * A pin flows: ioctl table, validate, reserve a handle, check the mappings, charge, take
 * pages and record them as runs, answer the caller, publish the handle. Release is the same
 * list backwards. The answer goes out before the handle is published, so that a failure to
 * deliver it can still unwind, and nobody can unpin what was not yet answered.
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/ktime.h>

#include <linux/longpin.h>

#include "accounting.h"
#include "context.h"
#include "kernel_compat.h"
#include "lease.h"
#include "netlink.h"
#include "notes.h"
#include "pin.h"
#include "pin_table.h"
#include "refusal.h"
#include "statistics.h"

#define PIN_FLAGS \
	(LONGPIN_PIN_WRITE | LONGPIN_PIN_DRY_RUN | LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD)

/* Shown as it is given. */
static int show_mode(char *buffer, const struct kernel_param *parameter)
{
	return scnprintf(buffer, PAGE_SIZE, "%#o\n", *(const ushort *)parameter->arg);
}

static const struct kernel_param_ops mode_ops = {
	.set = param_set_ushort,
	.get = show_mode,
};

static ushort device_mode = 0600;
module_param_cb(device_mode, &mode_ops, &device_mode, 0444);
__MODULE_PARM_TYPE(device_mode, "ushort");
MODULE_PARM_DESC(device_mode,
		 "Permissions of /dev/longpin where no udev rule sets others (default 0600)");

/**
 * struct longpin_call - one ioctl under way
 * @args: the caller's structure, with a zero tail if the caller's was shorter; its first
 *	member is the size, of which @size is the copy to trust
 * @user: where it came from
 * @file: the open file that it came by: how it was opened decides what may be done by it
 * @size: bytes of it that are answered: not more than the caller has, nor than we know
 */
struct longpin_call {
	union {
		struct longpin_info info;
		struct longpin_pin pin;
		struct longpin_unpin unpin;
		struct longpin_query query;
		struct longpin_copy copy;
		struct longpin_extents extents;
		struct longpin_repin repin;
		struct longpin_let_go let_go;
	} args;
	void __user *user;
	const struct file *file;
	size_t size;
};

static int answer(const struct longpin_call *call)
{
	return copy_to_user(call->user, &call->args, call->size) ? -EFAULT : 0;
}

static int ioctl_info(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_info *info = &call->args.info;

	if (info->flags)
		return -EINVAL;

	info->out_pin_flags = PIN_FLAGS;
	if (!longpin_can_lease())
		info->out_pin_flags &= ~(LONGPIN_PIN_LEASE | LONGPIN_PIN_EVENTFD);
	info->out_page_size = PAGE_SIZE;
	longpin_accounting_info(info);
	longpin_table_info(&context->pins, info);
	longpin_lease_info(info);
	memset(info->out_version, 0, sizeof(info->out_version));
	strscpy(info->out_version, LONGPIN_VERSION, sizeof(info->out_version));
	return answer(call);
}

static int validate_pin(const struct longpin_pin *pin, struct longpin_refusal *why)
{
	if (pin->flags & ~PIN_FLAGS)
		return longpin_refuse(why, -EINVAL, LONGPIN_REASON_FLAGS);
	if (pin->__reserved)
		return longpin_refuse(why, -EINVAL, LONGPIN_REASON_RESERVED);
	if (!pin->length)
		return longpin_refuse(why, -EINVAL, LONGPIN_REASON_ZERO_LENGTH);
	if (pin->addr + (pin->length - 1) < pin->addr)
		return longpin_refuse(why, -EINVAL, LONGPIN_REASON_WRAPS);
	return longpin_lease_check(pin, why);
}

/* Make the pin, answer, and publish it. On failure nothing is left but *why. */
static int do_pin(struct longpin_context *context, struct longpin_call *call,
		  struct longpin_refusal *why)
{
	struct longpin_pin *pin = &call->args.pin;
	struct longpin_footprint footprint;
	u64 started = ktime_get_ns();
	struct pinned_range *range;
	int err, handle;

	handle = longpin_table_reserve(&context->pins, why);
	if (handle < 0)
		return handle;
	range = pinned_range_create(context, handle, pin, why);
	if (IS_ERR(range)) {
		err = PTR_ERR(range);
		goto out_remove;
	}
	pinned_range_footprint(range, &footprint, &pin->out_kinds);
	pin->out_pages = footprint.pages;
	pin->out_runs = footprint.runs;
	pin->out_bookkeeping = footprint.bookkeeping;
	if (!(pin->flags & LONGPIN_PIN_DRY_RUN))
		pin->out_handle = handle;
	err = answer(call);
	if (err || pin->flags & LONGPIN_PIN_DRY_RUN)
		goto out_release;

	pinned_range_announce(range, ktime_get_ns() - started);
	longpin_table_publish(&context->pins, range);
	return 0;

out_release:
	pinned_range_release(range);
	pinned_range_put(range);
out_remove:
	longpin_table_remove(&context->pins, handle, NULL);
	return err;
}

/* No results but the reason of a refusal, if there is one. */
static void set_refused(struct longpin_pin *pin, const struct longpin_refusal *why)
{
	pin->out_handle = 0;
	pin->out_kinds = 0;
	pin->out_pages = 0;
	pin->out_runs = 0;
	pin->out_bookkeeping = 0;
	pin->out_reason = why->reason;
	pin->out_bad_addr = why->bad_addr;
	pin->out_limit = why->limit;
	pin->out_used = why->used;
	pin->out_asked = why->asked;
}

static int ioctl_pin(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_pin *pin = &call->args.pin;
	struct longpin_refusal why = {};
	int err;

	set_refused(pin, &why);
	err = validate_pin(pin, &why);
	if (!err && pin->flags & LONGPIN_PIN_WRITE && !(call->file->f_mode & FMODE_WRITE))
		err = -EBADF;
	if (!err)
		err = do_pin(context, call, &why);
	if (pin->flags & LONGPIN_PIN_DRY_RUN)
		longpin_count_dry_run();
	else if (err)
		longpin_note_refused(context, pin, err, &why);
	if (err) {
		set_refused(pin, &why);
		/* The errno stands even if its explanation can't be delivered. */
		answer(call);
	}
	return err;
}

static int ioctl_unpin(struct longpin_context *context, struct longpin_call *call)
{
	const struct longpin_unpin *unpin = &call->args.unpin;
	struct pinned_range *range;
	int err;

	if (unpin->flags || unpin->__reserved)
		return -EINVAL;
	range = longpin_table_get(&context->pins, unpin->handle);
	if (!range)
		return -ENOENT;
	err = pinned_range_unpin(range);
	pinned_range_put(range);
	return err;
}

static int ioctl_query(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_query *query = &call->args.query;
	struct pinned_range *range;
	int err;

	if (query->flags || query->__reserved)
		return -EINVAL;
	range = longpin_table_get(&context->pins, query->handle);
	if (!range)
		return -ENOENT;
	err = pinned_range_query(range, query);
	pinned_range_put(range);
	return err ? err : answer(call);
}

/*
 * Callers that don't know how much was copied may have the request where nothing can be written to.
 */
static int answer_copied(const struct longpin_call *call)
{
	return call->size > offsetof(struct longpin_copy, out_copied) ? answer(call) : 0;
}

static int ioctl_copy(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_copy *copy = &call->args.copy;
	struct pinned_range *range;
	int err;

	if (copy->flags & ~LONGPIN_COPY_WRITE || copy->__reserved)
		return -EINVAL;
	if (!(call->file->f_mode & (copy->flags & LONGPIN_COPY_WRITE ? FMODE_WRITE : FMODE_READ)))
		return -EBADF;
	copy->out_copied = 0;
	/* What is copied can't be undone, so it has to be possible to answer. */
	err = answer_copied(call);
	if (err)
		return err;
	range = longpin_table_get(&context->pins, copy->handle);
	if (!range)
		return -ENOENT;
	err = pinned_range_copy(range, copy);
	pinned_range_put(range);
	answer_copied(call);
	return err;
}

static int ioctl_extents(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_extents *extents = &call->args.extents;
	struct pinned_range *range;
	int err;

	if (extents->flags || extents->__reserved)
		return -EINVAL;
	extents->out_count = 0;
	extents->out_next = 0;
	range = longpin_table_get(&context->pins, extents->handle);
	if (!range)
		return -ENOENT;
	err = pinned_range_extents(range, extents);
	pinned_range_put(range);
	/* How far it got, too, if it failed; whose errno stands then. */
	return answer(call) && !err ? -EFAULT : err;
}

static int answer_repin(const void *call)
{
	return answer(call);
}

/* As that of the pin would be: that is what the holder knows it by. */
static void note_repin_refused(const struct pinned_range *range, int err,
			       const struct longpin_refusal *why)
{
	const struct longpin_pin request = {
		.flags = range->flags,
		.addr = range->addr,
		.length = range->length,
		.cookie = range->cookie,
	};

	longpin_note_refused(range->context, &request, err, why);
}

/* As set_refused() */
static void set_repin_refused(struct longpin_repin *repin, const struct longpin_refusal *why)
{
	repin->out_repinned = 0;
	repin->out_pages = 0;
	repin->out_reason = why->reason;
	repin->out_bad_addr = why->bad_addr;
	repin->out_limit = why->limit;
	repin->out_used = why->used;
	repin->out_asked = why->asked;
}

static int ioctl_repin(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_repin *repin = &call->args.repin;
	struct longpin_refusal why = {};
	struct pinned_range *range;
	int err;

	if (repin->flags)
		return -EINVAL;
	set_repin_refused(repin, &why);
	range = longpin_table_get(&context->pins, repin->handle);
	if (!range)
		return -ENOENT;
	err = pinned_range_repin(range, repin, &why, answer_repin, call);
	if (err)
		note_repin_refused(range, err, &why);
	pinned_range_put(range);
	if (!err)
		return 0;

	set_repin_refused(repin, &why);
	/* The errno stands even if its explanation can't be delivered. */
	answer(call);
	return err;
}

static int ioctl_let_go(struct longpin_context *context, struct longpin_call *call)
{
	struct longpin_let_go *let_go = &call->args.let_go;
	struct pinned_range *range;
	int err;

	if (let_go->flags || let_go->__reserved)
		return -EINVAL;
	let_go->out_pages = 0;
	/* What is given back can't be had again, so it has to be possible to answer. */
	err = answer(call);
	if (err)
		return err;
	range = longpin_table_get(&context->pins, let_go->handle);
	if (!range)
		return -ENOENT;
	err = pinned_range_let_go(range, let_go);
	pinned_range_put(range);
	if (!err)
		answer(call);
	return err;
}

/**
 * struct longpin_op - one ioctl
 * @cmd: its number
 * @size: size of its structure as this module knows it
 * @min_size: size as first published; stays when the structure grows
 * @fn: does it
 */
struct longpin_op {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	int (*fn)(struct longpin_context *context, struct longpin_call *call);
};

#define OP(_cmd, _fn, _struct, _last)                    \
	[_IOC_NR(_cmd)] = {                              \
		.cmd = (_cmd),                           \
		.size = sizeof(_struct),                 \
		.min_size = offsetofend(_struct, _last), \
		.fn = (_fn),                             \
	}

static const struct longpin_op ops[] = {
	OP(LONGPIN_INFO, ioctl_info, struct longpin_info, out_version),
	OP(LONGPIN_PIN, ioctl_pin, struct longpin_pin, out_asked),
	OP(LONGPIN_UNPIN, ioctl_unpin, struct longpin_unpin, __reserved),
	OP(LONGPIN_QUERY, ioctl_query, struct longpin_query, __reserved),
	OP(LONGPIN_COPY, ioctl_copy, struct longpin_copy, buffer),
	OP(LONGPIN_EXTENTS, ioctl_extents, struct longpin_extents, out_next),
	OP(LONGPIN_REPIN, ioctl_repin, struct longpin_repin, out_asked),
	OP(LONGPIN_LET_GO, ioctl_let_go, struct longpin_let_go, out_pages),
};

static long longpin_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd);
	const struct longpin_op *op;
	struct longpin_call call;
	u32 size;
	int err;

	if (nr >= ARRAY_SIZE(ops))
		return -ENOTTY;
	op = &ops[array_index_nospec(nr, ARRAY_SIZE(ops))];
	if (op->cmd != cmd)
		return -ENOTTY;

	call.file = file;
	call.user = (void __user *)arg;
	if (get_user(size, (u32 __user *)call.user))
		return -EFAULT;
	if (size < op->min_size)
		return -EINVAL;
	if (size > PAGE_SIZE) /* bounds the search for a byte that is not zero */
		return -E2BIG;
	err = longpin_copy_struct_from_user(&call.args, op->size, call.user, size);
	if (err)
		return err;
	call.size = min_t(size_t, size, op->size);

	return op->fn(file->private_data, &call);
}

#ifdef CONFIG_COMPAT
/* The structures are the same for 32-bit callers; only the pointer is not. */
static long longpin_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return longpin_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}
#endif

static int longpin_open(struct inode *inode, struct file *file)
{
	struct longpin_context *context = longpin_context_open();

	if (IS_ERR(context))
		return PTR_ERR(context);
	file->private_data = context;
	return nonseekable_open(inode, file);
}

/* The last reference to the open file is gone, so no ioctl is under way. */
static int longpin_release(struct inode *inode, struct file *file)
{
	longpin_context_close(file->private_data);
	return 0;
}

/* /proc/PID/fdinfo: which context it is, by netlink's number for it, and what it holds. */
static void longpin_show_fdinfo(struct seq_file *to, struct file *file)
{
	struct longpin_context *context = file->private_data;

	seq_printf(to, "longpin-context:\t%d\nlongpin-pins:\t%lu\nlongpin-pages:\t%lld\n",
		   context->id, longpin_table_pins(&context->pins),
		   (s64)atomic64_read(&context->pins.pages));
}

static ssize_t longpin_read(struct file *file, char __user *buffer, size_t bytes, loff_t *offset)
{
	struct longpin_context *context = file->private_data;

	return longpin_event_queue_read(&context->events, buffer, bytes,
					file->f_flags & O_NONBLOCK);
}

static __poll_t longpin_poll(struct file *file, poll_table *table)
{
	struct longpin_context *context = file->private_data;

	return longpin_event_queue_poll(&context->events, file, table);
}

static int longpin_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct longpin_context *context = file->private_data;

	return longpin_event_queue_mmap(&context->events, vma);
}

static const struct file_operations longpin_fops = {
	.owner = THIS_MODULE,
	.open = longpin_open,
	.release = longpin_release,
	.read = longpin_read,
	.poll = longpin_poll,
	.mmap = longpin_mmap,
	.show_fdinfo = longpin_show_fdinfo,
	.unlocked_ioctl = longpin_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl = longpin_compat_ioctl,
#endif
};

static struct miscdevice longpin_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "longpin",
	.fops = &longpin_fops,
};

static int __init longpin_init(void)
{
	int err;

	if (!device_mode || device_mode & ~0777) {
		pr_err("longpin: device_mode %#o is not a set of permissions (0001 to 0777)\n",
		       device_mode);
		return -EINVAL;
	}
	longpin_device.mode = device_mode;
	err = longpin_lease_init();
	if (err)
		return err;
	err = longpin_netlink_init();
	if (err)
		goto out_lease;
	err = misc_register(&longpin_device);
	if (err)
		goto out_netlink;
	return 0;

out_netlink:
	longpin_netlink_exit();
out_lease:
	longpin_lease_exit();
	return err;
}
module_init(longpin_init);

static void __exit longpin_exit(void)
{
	misc_deregister(&longpin_device);
	longpin_lease_exit();
	longpin_netlink_exit();
}
module_exit(longpin_exit);

MODULE_DESCRIPTION("Pin user memory for as long as user space says");
MODULE_LICENSE("GPL");
MODULE_VERSION(LONGPIN_VERSION);
