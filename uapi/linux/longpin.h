/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * longpin: pin memory for as long as user space says.
 *
 * Vocabulary
 *
 *   context   one open file of /dev/longpin. dup(), fork() and SCM_RIGHTS share
 *             it; it ends when the last reference to the open file goes.
 *   pin       a range of a process's memory whose pages are held in place. A pin
 *             belongs to its context and is named by a handle, unique in it. It
 *             ends by LONGPIN_UNPIN or with its context, never by munmap(),
 *             execve() or the death of the process that made it.
 *   run       pages of a pin that are physically contiguous.
 *
 * Calling convention
 *
 * Every ioctl takes a pointer to a structure whose first member is its size in
 * bytes, set by the caller. Structures only grow, at the tail. A kernel that
 * knows a longer structure takes the missing tail as zero; a kernel that knows a
 * shorter one accepts the call if the tail that it does not know is all zero,
 * and answers E2BIG otherwise. So a program built against any version of this
 * header works with any version of the module. A size below the first published
 * size of the structure gets EINVAL.
 *
 * Members named out_* are results: what the caller leaves in them is ignored.
 * All others are inputs. Reserved members must be zero.
 *
 * Errors of every ioctl
 *
 *   ENOTTY   no such ioctl
 *   EFAULT   the structure (or a buffer that it names) is not accessible
 *   EINVAL   size too small, unknown flag, reserved member not zero
 *   E2BIG    a tail that this kernel does not know is not zero, or the size is
 *            beyond one page
 *
 * A call that fails changes nothing: no page stays pinned, nothing stays
 * charged, no handle is left.
 */
#ifndef _UAPI_LINUX_LONGPIN_H
#define _UAPI_LINUX_LONGPIN_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The type and the numbers of the ioctls. The size of the structure is in band
 * and grows, so it is not part of the number. The type is one that
 * Documentation/userspace-api/ioctl/ioctl-number.rst lists as nobody's (v6.12).
 */
#define LONGPIN_IOC_TYPE	0xBE

#define LONGPIN_INFO		_IO(LONGPIN_IOC_TYPE, 0x00)
#define LONGPIN_PIN		_IO(LONGPIN_IOC_TYPE, 0x01)
#define LONGPIN_UNPIN		_IO(LONGPIN_IOC_TYPE, 0x02)
#define LONGPIN_QUERY		_IO(LONGPIN_IOC_TYPE, 0x03)
#define LONGPIN_COPY		_IO(LONGPIN_IOC_TYPE, 0x04)
#define LONGPIN_EXTENTS		_IO(LONGPIN_IOC_TYPE, 0x05)

/* Stands for "no limit" in every out_*limit* and out_max_* member. */
#define LONGPIN_UNLIMITED	(~0ULL)

/*
 * Kinds of memory, a bit each: a range may mix them.
 *
 * ANON      anonymous memory of the process, small or transparent huge pages
 * SHMEM     shared anonymous memory, memfd, tmpfs files, System V segments
 * HUGETLB   hugetlbfs pages of any size
 * PRIVATE   a private mapping of a file: the pages pinned are the process's own
 *           copies, never the file's
 * FILE      a shared mapping of a file through the page cache
 * DEVDAX    device-DAX (/dev/daxX.Y)
 * DEVICE    pages that another driver mapped (a ring buffer, say)
 */
#define LONGPIN_KIND_ANON	(1U << 0)
#define LONGPIN_KIND_SHMEM	(1U << 1)
#define LONGPIN_KIND_HUGETLB	(1U << 2)
#define LONGPIN_KIND_PRIVATE	(1U << 3)
#define LONGPIN_KIND_FILE	(1U << 4)
#define LONGPIN_KIND_DEVDAX	(1U << 5)
#define LONGPIN_KIND_DEVICE	(1U << 6)

/*
 * Why a request was refused: out_reason, with the errno that goes with it. "at": out_bad_addr
 * holds the first address that stands in the way.
 *
 * NONE           not refused, or the errno says it all
 *
 * The request itself:
 * ZERO_LENGTH    EINVAL: length is 0
 * WRAPS          EINVAL: addr + length wraps around
 * FLAGS          EINVAL: a flag that this kernel does not know
 * RESERVED       EINVAL: a reserved member is not zero
 *
 * The memory:
 * HOLE           EFAULT at: nothing is mapped there
 * NOT_READABLE   EFAULT at: a mapping that may not be read
 * NOT_WRITABLE   EFAULT at: a write pin of a mapping that may not be written
 * IO             EFAULT at: device registers (VM_IO)
 * PFNMAP         EFAULT at: a mapping without page structures (VM_PFNMAP)
 * SECRETMEM      EFAULT at: memfd_secret() memory
 * FAULT          EFAULT, ENOMEM at: the page could not be brought in: it lies beyond the end of
 *                its file, no memory was left, it is broken, or its device is being unbound
 * FSDAX          EOPNOTSUPP at: file-system DAX. The file system must be able to take its
 *                blocks back, and a pin would keep it from doing so for as long as it likes
 * DIRTY_TRACKING EOPNOTSUPP at: a write pin of a shared file mapping. The file system is to
 *                know of each write, and a device would write behind its back
 * DEVICE_GONE    EFAULT at: the DAX device was unbound in the middle of the call
 * DEVICE_PAGE    EOPNOTSUPP at: ZONE_DEVICE memory other than device-DAX
 *
 * Limits; out_limit, out_used and out_asked say more:
 * MEMLOCK        ENOMEM: RLIMIT_MEMLOCK, counted by user; in bytes
 * MAX_PAGES      ENOMEM: module parameter max_pages, counted over all users; in bytes
 * MAX_USER_PAGES ENOMEM: module parameter max_user_pages, counted by user; in bytes
 * MAX_PINS       ENOMEM: module parameter max_pins, counted by context; in pins
 */
#define LONGPIN_REASON_NONE		0
#define LONGPIN_REASON_ZERO_LENGTH	1
#define LONGPIN_REASON_WRAPS		2
#define LONGPIN_REASON_FLAGS		3
#define LONGPIN_REASON_RESERVED		4
#define LONGPIN_REASON_HOLE		16
#define LONGPIN_REASON_NOT_READABLE	17
#define LONGPIN_REASON_NOT_WRITABLE	18
#define LONGPIN_REASON_IO		19
#define LONGPIN_REASON_PFNMAP		20
#define LONGPIN_REASON_SECRETMEM	21
#define LONGPIN_REASON_FAULT		22
#define LONGPIN_REASON_FSDAX		23
#define LONGPIN_REASON_DIRTY_TRACKING	24
#define LONGPIN_REASON_DEVICE_GONE	25
#define LONGPIN_REASON_DEVICE_PAGE	26
#define LONGPIN_REASON_MEMLOCK		32
#define LONGPIN_REASON_MAX_PAGES	33
#define LONGPIN_REASON_MAX_PINS		34
#define LONGPIN_REASON_MAX_USER_PAGES	35

/**
 * struct longpin_info - LONGPIN_INFO: what this kernel offers, and what is left
 * @size: sizeof(struct longpin_info)
 * @flags: must be 0
 * @out_pin_flags: the LONGPIN_PIN_* flags that LONGPIN_PIN knows
 * @out_page_size: bytes in a page
 * @out_memlock_limit: the caller's RLIMIT_MEMLOCK in whole pages, in bytes;
 *	LONGPIN_UNLIMITED without one or with CAP_IPC_LOCK
 * @out_memlock_used: bytes charged to the caller's user, by whomever: longpin,
 *	io_uring, perf and others share the count
 * @out_max_pages_limit: bytes that all contexts together may pin (max_pages)
 * @out_max_pages_used: bytes that all contexts together have pinned
 * @out_max_pins_limit: pins that a context may hold (max_pins)
 * @out_max_pins_used: pins that this context holds
 * @out_version: version of the module, a string with its terminating NUL
 * @out_max_user_pages_limit: bytes that the caller's user may pin (max_user_pages)
 * @out_max_user_pages_used: bytes that the caller's user has pinned, in all contexts
 *
 * Anybody who holds the file may ask. Layout: 112 bytes, no padding.
 */
struct longpin_info {
	__u32 size;
	__u32 flags;
	__u32 out_pin_flags;
	__u32 out_page_size;
	__aligned_u64 out_memlock_limit;
	__aligned_u64 out_memlock_used;
	__aligned_u64 out_max_pages_limit;
	__aligned_u64 out_max_pages_used;
	__aligned_u64 out_max_pins_limit;
	__aligned_u64 out_max_pins_used;
	char out_version[32];
	__aligned_u64 out_max_user_pages_limit;
	__aligned_u64 out_max_user_pages_used;
};

/*
 * Flags of LONGPIN_PIN.
 *
 * WRITE     the holder will write to the pages. The mapping must be writable.
 *           Pages are marked dirty on release (DAX needs no such mark). Without
 *           it the pin is for reading, and yet stays coherent with what the
 *           process writes later: a private mapping is given its own copy first
 *           (but not a read-only one of hugetlb pages, where the kernel can't).
 * DRY_RUN   answer as if pinning, and hold nothing: the pages are taken and given
 *           back before the call returns. So the answer cannot differ from that
 *           of a real call in the same state; and pages that were not there yet
 *           are brought in, as by a real call. out_handle is 0.
 */
#define LONGPIN_PIN_WRITE	(1U << 0)
#define LONGPIN_PIN_DRY_RUN	(1U << 1)

/**
 * struct longpin_pin - LONGPIN_PIN: pin a range of the caller's memory
 * @size: sizeof(struct longpin_pin)
 * @flags: LONGPIN_PIN_*
 * @addr: first byte of the range; needs no alignment
 * @length: bytes in the range; not 0. The whole pages that the range touches are
 *	pinned
 * @cookie: for the caller's own use, given back by LONGPIN_QUERY
 * @out_handle: names the pin in this context; never 0
 * @out_kinds: LONGPIN_KIND_* of the memory in the range
 * @out_pages: pages pinned and charged
 * @out_runs: physically contiguous runs among them
 * @out_bookkeeping: bytes of kernel memory that the pin's records take
 * @out_reason: LONGPIN_REASON_*, when the call failed
 * @__reserved: must be 0
 * @out_bad_addr: the first address that stands in the way
 * @out_limit: the limit that was met
 * @out_used: what is used of it already
 * @out_asked: what the request would add
 *
 * All or nothing: the pin covers the whole range or the call fails. Pins may
 * overlap, and are independent of each other. The pages are charged to the
 * caller's user against RLIMIT_MEMLOCK (CAP_IPC_LOCK is exempt from the limit)
 * and are shown as VmPin of the process.
 *
 * Of out_*, a call that succeeds sets all up to out_bookkeeping, and a call that
 * fails for a reason listed above sets those from out_reason on; the others
 * come back as 0.
 *
 * Errors: those above with their LONGPIN_REASON_*, and ENOMEM (kernel memory),
 * EINTR (a fatal signal came), EAGAIN (the mapping was changed again and again
 * while it was being pinned).
 *
 * Layout: 104 bytes, no padding.
 */
struct longpin_pin {
	__u32 size;
	__u32 flags;
	__aligned_u64 addr;
	__aligned_u64 length;
	__aligned_u64 cookie;
	__u32 out_handle;
	__u32 out_kinds;
	__aligned_u64 out_pages;
	__aligned_u64 out_runs;
	__aligned_u64 out_bookkeeping;
	__u32 out_reason;
	__u32 __reserved;
	__aligned_u64 out_bad_addr;
	__aligned_u64 out_limit;
	__aligned_u64 out_used;
	__aligned_u64 out_asked;
};

/**
 * struct longpin_unpin - LONGPIN_UNPIN: end a pin
 * @size: sizeof(struct longpin_unpin)
 * @flags: must be 0
 * @handle: the pin
 * @__reserved: must be 0
 *
 * When the call returns 0, the pages are released and the charge is undone. It
 * waits for a LONGPIN_COPY or LONGPIN_EXTENTS of the same pin that is under way.
 * Of several threads that unpin one handle, one succeeds.
 *
 * Errors: ENOENT (no such handle), EINTR (a fatal signal came while waiting; the
 * pin stays).
 *
 * Layout: 16 bytes, no padding.
 */
struct longpin_unpin {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 __reserved;
};

/**
 * struct longpin_query - LONGPIN_QUERY: what a handle stands for
 * @size: sizeof(struct longpin_query)
 * @flags: must be 0
 * @handle: the pin
 * @out_pin_flags: LONGPIN_PIN_* that it was made with
 * @out_addr: address that it was made with, in the process that made it
 * @out_length: length that it was made with
 * @out_cookie: as given
 * @out_pages: pages held
 * @out_runs: physically contiguous runs among them
 * @out_bookkeeping: bytes of kernel memory that the pin's records take
 * @out_kinds: LONGPIN_KIND_* of the memory
 * @__reserved: must be 0
 *
 * Errors: ENOENT (no such handle), EINTR (a fatal signal came while waiting for
 * an unpin).
 *
 * Layout: 72 bytes, no padding.
 */
struct longpin_query {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 out_pin_flags;
	__aligned_u64 out_addr;
	__aligned_u64 out_length;
	__aligned_u64 out_cookie;
	__aligned_u64 out_pages;
	__aligned_u64 out_runs;
	__aligned_u64 out_bookkeeping;
	__u32 out_kinds;
	__u32 __reserved;
};

/* Flag of LONGPIN_COPY: from the buffer into the pin, not the other way. */
#define LONGPIN_COPY_WRITE	(1U << 0)

/**
 * struct longpin_copy - LONGPIN_COPY: read or write the held pages, as a device would
 * @size: sizeof(struct longpin_copy)
 * @flags: LONGPIN_COPY_*
 * @handle: the pin
 * @__reserved: must be 0
 * @offset: first byte, counted from the pin's addr
 * @length: bytes to copy; not 0; offset + length must not pass the end of the pin
 * @buffer: address of the caller's buffer
 *
 * The copy goes to the pages themselves, whatever is mapped now where they were
 * when they were pinned. A copy that fails half-way may have copied a part, and has left
 * everything else as it was.
 *
 * Errors: ENOENT (no such handle), EINVAL (length 0, or beyond the end), EPERM
 * (LONGPIN_COPY_WRITE to a pin made without LONGPIN_PIN_WRITE), EFAULT (the
 * buffer), EHWPOISON (a page is known to be broken), ENOMEM (kernel memory), EINTR (a fatal
 * signal came).
 *
 * Layout: 40 bytes, no padding.
 */
struct longpin_copy {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 __reserved;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 buffer;
};

/**
 * struct longpin_extent - one physically contiguous stretch of a pin
 * @offset: first byte, counted from the pin's addr
 * @length: bytes
 * @phys: physical address of the first byte; 0 without CAP_SYS_ADMIN
 *
 * Part of the answer of LONGPIN_EXTENTS. Layout: 24 bytes, no padding; fixed for
 * ever, since it is the element of an array.
 */
struct longpin_extent {
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 phys;
};

/**
 * struct longpin_extents - LONGPIN_EXTENTS: list the extents of a pin
 * @size: sizeof(struct longpin_extents)
 * @flags: must be 0
 * @handle: the pin
 * @count: elements that the buffer has room for
 * @offset: where to start, counted from the pin's addr; the first extent listed
 *	begins there
 * @buffer: address of an array of struct longpin_extent
 * @out_count: elements written
 * @__reserved: must be 0
 * @out_next: offset to go on from; the length of the pin when all was listed
 *
 * Errors: ENOENT (no such handle), EINVAL (offset beyond the end), EFAULT (the
 * buffer), EINTR (a fatal signal came).
 *
 * Layout: 48 bytes, no padding.
 */
struct longpin_extents {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 count;
	__aligned_u64 offset;
	__aligned_u64 buffer;
	__u32 out_count;
	__u32 __reserved;
	__aligned_u64 out_next;
};

#endif /* _UAPI_LINUX_LONGPIN_H */
