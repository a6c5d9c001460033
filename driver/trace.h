/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: what the netlink events tell (see uapi/netlink/longpin.yaml), for perf, ftrace and
 * BPF. Pids and uids are those of the initial namespaces.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM longpin

#if !defined(LONGPIN_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define LONGPIN_TRACE_H

#include <linux/types.h>
#include <linux/kdev_t.h>
#include <linux/pid.h>
#include <linux/tracepoint.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include <linux/longpin.h>
#include <linux/longpin_netlink.h>

#include "backing_file.h"
#include "context.h"
#include "pin.h"
#include "refusal.h"

/* The macros in the shape that they have everywhere in the kernel. */
/* clang-format off */
#define longpin_show_kinds(kinds)                    \
	__print_flags(kinds, "|",                    \
		{ LONGPIN_KIND_ANON, "anon" },       \
		{ LONGPIN_KIND_SHMEM, "shmem" },     \
		{ LONGPIN_KIND_HUGETLB, "hugetlb" }, \
		{ LONGPIN_KIND_PRIVATE, "private" }, \
		{ LONGPIN_KIND_FILE, "file" },       \
		{ LONGPIN_KIND_DEVDAX, "devdax" },   \
		{ LONGPIN_KIND_DEVICE, "device" },   \
		{ LONGPIN_KIND_FSDAX, "fsdax" })

#define longpin_show_cause(cause)                            \
	__print_symbolic(cause,                              \
		{ LONGPIN_CAUSE_UNPIN, "unpin" },            \
		{ LONGPIN_CAUSE_CLOSE, "close" },            \
		{ LONGPIN_CAUSE_UNMAP, "unmap" },            \
		{ LONGPIN_CAUSE_INVALIDATE, "invalidate" },  \
		{ LONGPIN_CAUSE_EXIT, "exit" },              \
		{ LONGPIN_CAUSE_LET_GO, "let-go" },			\
		{ LONGPIN_CAUSE_WRITE_PROTECT, "write-protect" })

#define longpin_show_flags(flags)                 \
	__print_flags(flags, "|",                 \
		{ LONGPIN_PIN_WRITE, "write" },   \
		{ LONGPIN_PIN_LEASE, "lease" },   \
		{ LONGPIN_PIN_EVENTFD, "eventfd" })

#define LONGPIN_RANGE_FORMAT \
	"context=%u handle=%u pid=%d comm=%s uid=%u addr=0x%llx length=%llu pages=%llu " \
	"runs=%llu kinds=%s flags=%s cookie=0x%llx dev=%u:%u inode=%llu"

#define LONGPIN_RANGE_ARGS                                                                \
	__entry->context, __entry->handle, __entry->pid, __entry->comm, __entry->uid,     \
		__entry->addr, __entry->length, __entry->pages, __entry->runs,            \
		longpin_show_kinds(__entry->kinds), longpin_show_flags(__entry->flags),   \
		__entry->cookie, __entry->major, __entry->minor, __entry->inode

/* What doesn't end or revoke anything has no cause, and what concerns all of the pin no change. */
DECLARE_EVENT_CLASS(longpin_range,
	TP_PROTO(struct pinned_range *range, u32 cause, const struct longpin_change *change),
	TP_ARGS(range, cause, change),
	TP_STRUCT__entry(
		__field(u32, context)
		__field(u32, handle)
		__field(pid_t, pid)
		__array(char, comm, TASK_COMM_LEN)
		__field(uid_t, uid)
		__field(u64, addr)
		__field(u64, length)
		__field(u64, pages)
		__field(u64, runs)
		__field(u32, kinds)
		__field(u32, flags)
		__field(u64, cookie)
		__field(u32, major)
		__field(u32, minor)
		__field(u64, inode)
		__field(u32, cause)
		__field(u64, change_offset)
		__field(u64, change_length)
	),
	TP_fast_assign(
		__entry->context = range->context->id;
		__entry->handle = range->handle;
		__entry->pid = pid_nr(range->maker.pid);
		memcpy(__entry->comm, range->maker.comm, TASK_COMM_LEN);
		__entry->uid = from_kuid(&init_user_ns, range->maker.uid);
		__entry->addr = range->addr;
		__entry->length = range->length;
		/* Without the pin's lock, which may not be taken here where it sleeps. */
		__entry->pages = READ_ONCE(range->footprint.pages);
		__entry->runs = READ_ONCE(range->footprint.runs);
		__entry->kinds = READ_ONCE(range->kinds);
		__entry->flags = range->flags;
		__entry->cookie = range->cookie;
		__entry->major = range->file ? MAJOR(range->file->dev) : 0;
		__entry->minor = range->file ? MINOR(range->file->dev) : 0;
		__entry->inode = range->file ? range->file->inode : 0;
		__entry->cause = cause;
		__entry->change_offset = change ? change->offset : 0;
		__entry->change_length = change ? change->length : 0;
	),
	TP_printk(LONGPIN_RANGE_FORMAT, LONGPIN_RANGE_ARGS)
);

DEFINE_EVENT(longpin_range, longpin_pin,
	TP_PROTO(struct pinned_range *range, u32 cause, const struct longpin_change *change),
	TP_ARGS(range, cause, change)
);

DEFINE_EVENT_PRINT(longpin_range, longpin_unpin,
	TP_PROTO(struct pinned_range *range, u32 cause, const struct longpin_change *change),
	TP_ARGS(range, cause, change),
	TP_printk(LONGPIN_RANGE_FORMAT " cause=%s", LONGPIN_RANGE_ARGS,
		  longpin_show_cause(__entry->cause))
);

/* The pages and runs are those that are left. */
DEFINE_EVENT_PRINT(longpin_range, longpin_revoke,
	TP_PROTO(struct pinned_range *range, u32 cause, const struct longpin_change *change),
	TP_ARGS(range, cause, change),
	TP_printk(LONGPIN_RANGE_FORMAT " cause=%s change_offset=%llu change_length=%llu",
		  LONGPIN_RANGE_ARGS, longpin_show_cause(__entry->cause), __entry->change_offset,
		  __entry->change_length)
);

DEFINE_EVENT(longpin_range, longpin_repin,
	TP_PROTO(struct pinned_range *range, u32 cause, const struct longpin_change *change),
	TP_ARGS(range, cause, change)
);

TRACE_EVENT(longpin_refuse,
	TP_PROTO(const struct longpin_context *context, const struct longpin_pin *request,
		 int err, const struct longpin_refusal *why),
	TP_ARGS(context, request, err, why),
	TP_STRUCT__entry(
		__field(u32, context)
		__field(pid_t, pid)
		__array(char, comm, TASK_COMM_LEN)
		__field(uid_t, uid)
		__field(u64, addr)
		__field(u64, length)
		__field(u32, flags)
		__field(u64, cookie)
		__field(int, error)
		__field(u32, reason)
		__field(u64, bad_addr)
		__field(u64, limit)
		__field(u64, used)
		__field(u64, asked)
	),
	TP_fast_assign(
		__entry->context = context->id;
		__entry->pid = task_tgid_nr(current);
		memcpy(__entry->comm, current->group_leader->comm, TASK_COMM_LEN);
		__entry->uid = from_kuid(&init_user_ns, current_uid());
		__entry->addr = request->addr;
		__entry->length = request->length;
		__entry->flags = request->flags;
		__entry->cookie = request->cookie;
		__entry->error = -err;
		__entry->reason = why->reason;
		__entry->bad_addr = why->bad_addr;
		__entry->limit = why->limit;
		__entry->used = why->used;
		__entry->asked = why->asked;
	),
	TP_printk("context=%u pid=%d comm=%s uid=%u addr=0x%llx length=%llu flags=%s cookie=0x%llx errno=%d reason=%u bad_addr=0x%llx limit=%llu used=%llu asked=%llu",
		  __entry->context, __entry->pid, __entry->comm, __entry->uid, __entry->addr,
		  __entry->length, longpin_show_flags(__entry->flags), __entry->cookie,
		  __entry->error, __entry->reason, __entry->bad_addr, __entry->limit,
		  __entry->used, __entry->asked)
);
/* clang-format on */

#endif /* LONGPIN_TRACE_H */

/* The rest has to be read each time. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
