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
 *   unit      what one reference holds: a huge page, where the mapping has it as one, or a page.
 *   run       pages of a pin that are physically contiguous, and in units of one size.
 *   lease     a pin that the kernel may take back, page by page, when what is mapped
 *             there changes. See "Leases" below.
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
 * Members named out_* are results: what the caller leaves in them is ignored, if
 * the kernel knows them. All others are inputs. Reserved members must be zero. Set
 * the whole structure to zero first: then there is no tail that could get E2BIG.
 *
 * Errors of every ioctl
 *
 *   ENOTTY   no such ioctl
 *   EFAULT   the structure (or a buffer that it names) is not accessible
 *   EINVAL   size too small, unknown flag, reserved member not zero
 *   E2BIG    a tail that this kernel does not know is not zero, or the size is
 *            beyond one page
 *
 * How the file was opened decides what may be done by it, as with read() and write(): to pin with
 * LONGPIN_PIN_WRITE and to copy into a pin it must be open for writing, to copy out of a pin for
 * reading, or the call gets EBADF. All else takes either. So a program that may only open it
 * O_RDONLY, or was passed such a file, can hold its memory and see what is held, but not write.
 *
 * A call that fails changes nothing: no page stays pinned, nothing stays
 * charged, no handle is left. That an answer can't be delivered is found out
 * before anything is done that can't be undone. (LONGPIN_COPY and
 * LONGPIN_EXTENTS that fail half-way have filled a part of the buffer.)
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
#define LONGPIN_REPIN		_IO(LONGPIN_IOC_TYPE, 0x06)
#define LONGPIN_LET_GO		_IO(LONGPIN_IOC_TYPE, 0x07)

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
 * DEVICE    pages that another driver mapped (a ring buffer, say): pinned for reading only
 * FSDAX     a file on file-system DAX, whose pages are the storage itself: leased only
 */
#define LONGPIN_KIND_ANON	(1U << 0)
#define LONGPIN_KIND_SHMEM	(1U << 1)
#define LONGPIN_KIND_HUGETLB	(1U << 2)
#define LONGPIN_KIND_PRIVATE	(1U << 3)
#define LONGPIN_KIND_FILE	(1U << 4)
#define LONGPIN_KIND_DEVDAX	(1U << 5)
#define LONGPIN_KIND_DEVICE	(1U << 6)
#define LONGPIN_KIND_FSDAX	(1U << 7)

/*
 * Leases
 *
 * A pin made with LONGPIN_PIN_LEASE holds its pages only as long as they are what is mapped there.
 * When the kernel takes a page out of the mapping, the pin gives it back, and nobody waits
 * for longer than that takes. So it can hold file-system DAX, whose blocks the file system must
 * be able to take back, and it can serve a cache of registrations, which has to know when memory
 * changes hands. What takes pages back:
 *
 *   munmap(), mremap(), mmap() over it, execve(), the end of the process that made the pin;
 *   truncate, hole punch, collapse, insert, and exchange of a file's blocks, by anybody;
 *   MADV_DONTNEED, MADV_REMOVE and the like; the kernel, when it removes pages of fs-DAX from a
 *   mapping of its own accord, or the zero page of a hole that is written to;
 *   of a lease for writing that holds fs-DAX: what makes the file system write-protect the pages,
 *   fsync(), msync(), sync(), freezing it. It wants to know of the next write, to store it, or to
 *   wait with it. LONGPIN_REPIN tells it, as a store through the mapping does.
 *
 * What doesn't: all that, of a lease for reading or of other memory; unlink() of a file that is
 * mapped; and mprotect() and fork(), except of huge pages that are mapped as one (anonymous, shared
 * memory or fs-DAX), which they make the kernel split, and of private hugetlb pages. (A process
 * that has leased memory for writing may write to it by the lease after an mprotect(PROT_READ),
 * too.)
 *
 * Of ordinary memory (anonymous, shared, hugetlb) a lease holds references, as a pin does. They
 * keep the kernel from reclaiming, swapping out and moving anonymous memory as long as it is
 * leased: a memory cgroup that is too small for its leased pages runs out of memory, and a process
 * that wants such memory to be reclaimable gives its leases back by itself. Shared memory (tmpfs,
 * memfd) the kernel takes out of the mapping before it looks at references: it is reclaimed, and so
 * revoked. Of fs-DAX a lease holds no references.
 *
 * What is taken back are the units that the kernel names pages of: the rest of the pin stays. Of a
 * huge page that is mapped as one, all goes that the pin has of it. Where a mapping is divided, by
 * munmap(), mremap(), mprotect(), mlock() or madvise() of a part of it, the kernel names the 2 MiB
 * that are cut, whether or not there is a huge page: what is leased there goes too, and
 * LONGPIN_REPIN gets back what is still mapped. Memory that is unmapped or protected in small
 * pieces beside leased memory should be a mapping of its own, 2 MiB away. Of a file on fs-DAX, ext4
 * and XFS name all that is mapped, whatever part of it loses its blocks (seen on 6.1 and 6.12), and
 * then wait for all of it: so all of the file's pages go, and LONGPIN_REPIN gets those back that
 * are still the file's. When memory is short while a pin is cut in two, the run that the cut falls
 * into is taken back as a whole. LONGPIN_QUERY, LONGPIN_EXTENTS and LONGPIN_COPY know exactly what
 * is left, and LONGPIN_REPIN takes what is mapped now in place of what is gone.
 *
 * What the holder writes through the pin to fs-DAX is in the file, and the next fsync() flushes it
 * from the processor's caches, as it does what is stored through the mapping. While the file system
 * is frozen there is no lease for writing, and LONGPIN_REPIN waits, as a store does.
 *
 * What a lease can't do is stop a device that was told a physical address. A program that hands
 * addresses to a device has to stop it when it is told of a revocation; grace_ms gives it the
 * time.
 *
 * Being told. A context in which a pin was revoked is readable: read() gives one or more struct
 * longpin_event, poll() says POLLIN. A pin may name an eventfd, to which 1 is added for each event
 * of it. Those who wait are woken a moment after the event, by a task of the kernel's own; that
 * there is one can be seen at once. And the page that mmap(NULL, page size, PROT_READ, MAP_SHARED,
 * fd, 0) gives holds a struct longpin_status, whose generation tells without a system call whether
 * anything was revoked.
 */

/*
 * What took pages back, or ended a pin.
 *
 * UNPIN       LONGPIN_UNPIN
 * CLOSE       the last reference to the open file went
 * UNMAP       the range was unmapped, moved or mapped over
 * INVALIDATE  its pages were taken out of the mapping: a file's blocks were removed, or
 *             MADV_DONTNEED, or the kernel moved or reclaimed them
 * EXIT        the process that made the pin ended, or called execve()
 * LET_GO      LONGPIN_LET_GO
 * WRITE_PROTECT
 *             a file system with DAX write-protected pages of a lease for writing, to be told of
 *             the next write to them
 */
#define LONGPIN_CAUSE_UNPIN		1
#define LONGPIN_CAUSE_CLOSE		2
#define LONGPIN_CAUSE_UNMAP		3
#define LONGPIN_CAUSE_INVALIDATE	4
#define LONGPIN_CAUSE_EXIT		5
#define LONGPIN_CAUSE_LET_GO		6
#define LONGPIN_CAUSE_WRITE_PROTECT	7

/*
 * What a struct longpin_event says.
 *
 * REVOKING  the pages in [offset, offset + length) will be taken back when the pin's grace is over.
 *           The holder should stop its device there, and then LONGPIN_LET_GO of them; REVOKED
 *           follows for what it still holds then. (LONGPIN_UNPIN gives them back too, but returns
 *           only when the one who waits is through with all pins in its way, and so perhaps too
 *           late for the next.)
 * REVOKED   the pages in [offset, offset + length) that the pin held were taken back
 * OVERFLOW  the queue was full, and @lost events behind the ones read so far were dropped: ask for
 *           each leased pin by LONGPIN_QUERY. Comes in the place of what was lost
 */
#define LONGPIN_EVENT_REVOKING	1
#define LONGPIN_EVENT_REVOKED	2
#define LONGPIN_EVENT_OVERFLOW	3

/**
 * struct longpin_event - what read() of the open file gives
 * @size: bytes of this record; the next one follows there. Grows at the tail: a reader goes on by
 *	it, and its buffer has room for a page, so that a record of a later kernel fits
 * @type: LONGPIN_EVENT_*
 * @handle: the pin, which may have ended by now; 0 for OVERFLOW
 * @cause: LONGPIN_CAUSE_*; 0 for OVERFLOW
 * @cookie: the pin's
 * @offset: first byte, counted from the pin's addr
 * @length: bytes; revocations of adjacent pages may come as one
 * @lost: OVERFLOW: how many events; 0 for all others
 * @time: when, by CLOCK_BOOTTIME as the process that reads it has it (see time_namespaces(7)), in
 *	nanoseconds
 *
 * read() gives as many whole records as there are and fit. It waits for the first one unless
 * the file is O_NONBLOCK.
 *
 * A buffer that is shorter than a record of this kernel, but not than 56 bytes, gets one record,
 * cut to that length, with its size.
 *
 * Errors of read(): EINVAL (the buffer is shorter than 56 bytes), EAGAIN (none, or another reader
 * is just reading, and O_NONBLOCK), EINTR (a signal came before one did), EFAULT (the buffer;
 * nothing is lost then), ENOMEM.
 *
 * Layout: 56 bytes, no padding.
 */
struct longpin_event {
	__u32 size;
	__u32 type;
	__u32 handle;
	__u32 cause;
	__aligned_u64 cookie;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 lost;
	__aligned_u64 time;
};

/**
 * struct longpin_status - what mmap() of the open file shows, read-only
 * @generation: has changed after a page of a leased pin of this context was taken back. It changes
 *	behind the event that read() gives, and before the munmap(), truncate() or other
 *	call that took the page back returns
 *
 * As long as a 64-bit load of it finds the same value, every leased page that was held when
 * that value was first seen is held still. A child that fork()s off does not inherit the mapping.
 * As every mapping of a file, it keeps the file open: the pins end when it is unmapped too.
 *
 * Errors of mmap(): EINVAL (other than one page at offset 0), EACCES (not MAP_SHARED
 * and PROT_READ alone), ENOMEM.
 *
 * Layout: 8 bytes; the rest of the page is 0.
 */
struct longpin_status {
	__aligned_u64 generation;
};

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
 * LEASE_KERNEL   EOPNOTSUPP: this kernel has no means to take a pin back (before 5.5, or built
 *                without CONFIG_MMU_NOTIFIER); LONGPIN_INFO says so beforehand
 * LEASE_ONLY     EINVAL: grace_ms or LONGPIN_PIN_EVENTFD without LONGPIN_PIN_LEASE
 * EVENTFD        EBADF, EINVAL: eventfd is not the descriptor of an eventfd
 * GRACE          EINVAL: grace_ms is beyond the module parameter max_grace_ms (in out_limit)
 *
 * The memory:
 * HOLE           EFAULT at: nothing is mapped there
 * NOT_READABLE   EFAULT at: a mapping that may not be read, or this thread's protection keys forbid
 *                it
 * NOT_WRITABLE   EFAULT at: a write pin of a mapping that may not be written, or this thread's
 *                protection keys forbid it
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
 * LEASE_MEMORY   EOPNOTSUPP at: memory that can't be leased: a private mapping of a file, a
 *                file in the page cache, pages that another driver mapped; or a file
 *                on a fifth device with DAX
 * DRIVER_MEMORY  EOPNOTSUPP at: a write pin of pages that another driver mapped. It knows of those
 *                who write to them by their mappings, and the pin would outlive these: a BPF map
 *                that was frozen must not change any more
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
#define LONGPIN_REASON_LEASE_KERNEL	5
#define LONGPIN_REASON_LEASE_ONLY	6
#define LONGPIN_REASON_EVENTFD		7
#define LONGPIN_REASON_GRACE		8
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
#define LONGPIN_REASON_LEASE_MEMORY	27
#define LONGPIN_REASON_DRIVER_MEMORY	28
#define LONGPIN_REASON_MEMLOCK		32
#define LONGPIN_REASON_MAX_PAGES	33
#define LONGPIN_REASON_MAX_PINS		34
#define LONGPIN_REASON_MAX_USER_PAGES	35

/**
 * struct longpin_info - LONGPIN_INFO: what this kernel offers, and what is left
 * @size: sizeof(struct longpin_info)
 * @flags: must be 0
 * @out_pin_flags: the LONGPIN_PIN_* flags that LONGPIN_PIN takes; without LONGPIN_PIN_LEASE where
 *	the kernel has no means for it
 * @out_page_size: bytes in a page
 * @out_memlock_limit: the caller's RLIMIT_MEMLOCK in whole pages, in bytes;
 *	LONGPIN_UNLIMITED without one or with CAP_IPC_LOCK
 * @out_memlock_used: bytes charged to the caller's user, by whomever: longpin,
 *	io_uring, perf and others share the count
 * @out_max_pages_limit: bytes that the pins of all users together may keep (max_pages)
 * @out_max_pages_used: bytes that they keep
 * @out_max_pins_limit: pins that a context may hold (max_pins); LONGPIN_UNLIMITED if it is 0
 * @out_max_pins_used: pins that this context holds
 * @out_version: version of the module, a string with its terminating NUL
 * @out_max_user_pages_limit: bytes that the pins of the caller's user may keep (max_user_pages)
 * @out_max_user_pages_used: bytes that they keep, in all contexts: what is pinned, and the rest of
 *	huge pages that are pinned in part, once for the user
 * @out_max_grace_ms: most that grace_ms may be
 * @__reserved: 0
 *
 * Anybody who holds the file may ask. Layout: 120 bytes, no padding.
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
	__u32 out_max_grace_ms;
	__u32 __reserved;
};

/*
 * Flags of LONGPIN_PIN.
 *
 * WRITE     the holder will write to the pages. The mapping must be writable.
 *           Pages are marked dirty on release (DAX needs no such mark). Without
 *           it the pin is for reading, and yet stays coherent with what the
 *           process writes later: a private mapping is given its own copy first
 *           (but not a read-only one of a hugetlb file, where Linux before 6.2 can't).
 *           Older kernels part the two in private memory all the same, and the
 *           process writes to another page: before 5.9 when it writes after a
 *           fork(), from 5.9 to 5.18 when it writes after the memory was
 *           write-protected, by mprotect(PROT_READ) and back say.
 * DRY_RUN   answer as if pinning, and change nothing: no page is taken, brought
 *           in, copied, or marked dirty. Whether it is refused, and why, is
 *           decided as for a real call by the request, the mappings, the ends of
 *           the files that are mapped, and the limits: so in the same state the
 *           answer is that of a real call, but for what shows only when a page is
 *           brought in: memory or storage has run out, a page or what it is read
 *           from is broken or can't be reached, a device is just going, a
 *           userfaultfd handler declines. out_handle is 0; out_kinds and
 *           out_pages are exact. out_runs and out_bookkeeping are estimates:
 *           pages that are mapped count as they lie, and those that are not as
 *           if they lay beside their neighbours; of private memory that is not
 *           the process's own yet other pages would be pinned than are mapped.
 * LEASE     the kernel may take the pin back: see "Leases" above. DRY_RUN goes with it.
 * EVENTFD   add 1 to the eventfd that the member of that name names for each event of the pin.
 *           It is looked up once: the descriptor may be closed afterwards
 */
#define LONGPIN_PIN_WRITE	(1U << 0)
#define LONGPIN_PIN_DRY_RUN	(1U << 1)
#define LONGPIN_PIN_LEASE	(1U << 2)
#define LONGPIN_PIN_EVENTFD	(1U << 3)

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
 * @eventfd: an eventfd, with LONGPIN_PIN_EVENTFD; else must be 0
 * @grace_ms: milliseconds that the holder is given, with LONGPIN_PIN_LEASE, before another
 *	program's truncate, hole punch or fsync() of a file on fs-DAX, or the unbinding of a
 *	device-DAX device, takes pages back; at most out_max_grace_ms of LONGPIN_INFO. That
 *	program waits about as long as the largest grace there may be, and no longer, however many
 *	pins are in its way; so a holder may get less. All other causes take the pages at once
 *
 * All or nothing: the pin covers the whole range or the call fails. Pins may
 * overlap, and are independent of each other. The pages are charged to the
 * caller's user against RLIMIT_MEMLOCK (CAP_IPC_LOCK is exempt from the limit)
 * and are shown as VmPin of the process. max_user_pages and max_pages count
 * huge pages whole of which one page is pinned, as that keeps them from being freed;
 * RLIMIT_MEMLOCK counts the pages that are asked for.
 *
 * Of out_*, a call that succeeds sets all up to out_bookkeeping, and a call that
 * fails for a reason listed above sets those from out_reason on; the others
 * come back as 0.
 *
 * Errors: those above with their LONGPIN_REASON_*, and ENOMEM (kernel memory), EBADF
 * (LONGPIN_PIN_WRITE, and the file is not open for writing), EINTR (a fatal signal
 * came; or the first lease of a process was interrupted by work that the kernel has
 * for the task: try again), EAGAIN (the mapping was changed again and again while it was being
 * pinned).
 *
 * Layout: 112 bytes, no padding.
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
	__s32 eventfd;
	__u32 grace_ms;
};

/**
 * struct longpin_unpin - LONGPIN_UNPIN: end a pin
 * @size: sizeof(struct longpin_unpin)
 * @flags: must be 0
 * @handle: the pin
 * @__reserved: must be 0
 *
 * When the call returns 0, the pages are released and the charge is undone. A
 * LONGPIN_COPY or LONGPIN_EXTENTS of the same pin that is under way fails with
 * ENOENT; a LONGPIN_REPIN is waited for. Of several threads that unpin one handle, one
 * succeeds.
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
 * @out_pages: pages held now
 * @out_runs: physically contiguous runs among them
 * @out_bookkeeping: bytes of kernel memory that the pin's records take
 * @out_kinds: LONGPIN_KIND_* of the memory
 * @__reserved: must be 0
 * @out_revoked_pages: pages of the range that the pin no longer holds
 * @out_grace_ms: as given
 * @__reserved2: 0
 *
 * Errors: ENOENT (no such handle).
 *
 * Layout: 88 bytes, no padding.
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
	__aligned_u64 out_revoked_pages;
	__u32 out_grace_ms;
	__u32 __reserved2;
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
 * @out_copied: bytes that were copied, from the first on; all of them if the call succeeds
 *
 * The copy goes to the pages themselves, whatever is mapped now where they were
 * when they were pinned. A copy that fails half-way has copied out_copied bytes, and has left
 * everything else as it was.
 *
 * Errors: ENOENT (no such handle), EINVAL (length 0, or beyond the end), EBADF (the file is not
 * open for that direction), EPERM (LONGPIN_COPY_WRITE to a pin made without
 * LONGPIN_PIN_WRITE), ESTALE (a page was taken back: what lies before it was copied), EFAULT
 * (the buffer), EHWPOISON (a page is known to be broken, or is found to be), ENOMEM (kernel
 * memory), EINTR (a fatal signal came).
 *
 * Layout: 48 bytes, no padding.
 */
struct longpin_copy {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 __reserved;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 buffer;
	__aligned_u64 out_copied;
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
 * struct longpin_extents - LONGPIN_EXTENTS: list the extents that a pin holds
 * @size: sizeof(struct longpin_extents)
 * @flags: must be 0
 * @handle: the pin
 * @count: elements that the buffer has room for
 * @offset: where to start, counted from the pin's addr; the first extent listed
 *	begins there, or behind what was taken back there
 * @buffer: address of an array of struct longpin_extent
 * @out_count: elements written
 * @__reserved: must be 0
 * @out_next: offset to go on from; the length of the pin when all was listed
 *
 * A call that fails half-way sets out_count and out_next to what it had listed by then.
 *
 * Errors: ENOENT (no such handle), EINVAL (offset beyond the end), EFAULT (the
 * buffer), EINTR (a fatal signal came), ENOMEM (kernel memory).
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

/**
 * struct longpin_repin - LONGPIN_REPIN: pin again what was taken back
 * @size: sizeof(struct longpin_repin)
 * @flags: must be 0
 * @handle: a leased pin
 * @out_reason: LONGPIN_REASON_*, when the call failed
 * @offset: first byte, counted from the pin's addr
 * @length: bytes; 0 for all up to the end of the pin; offset + length must not pass it
 * @out_repinned: pages that the call took
 * @out_pages: pages that the pin holds now
 * @out_bad_addr: as in struct longpin_pin
 * @out_limit: as there
 * @out_used: as there
 * @out_asked: as there
 *
 * For every page that the part touches and the pin no longer holds, the page that is mapped there
 * now is taken, by the rules and limits of LONGPIN_PIN. So the pin follows its file, or its
 * mapping. All or nothing: if one of them can't be had, none is taken, and the pin holds what it
 * held. Until the call succeeds, LONGPIN_QUERY, LONGPIN_EXTENTS and LONGPIN_COPY see none of the
 * pages that it takes.
 *
 * Errors: those of LONGPIN_PIN, and ENOENT (no such handle), EINVAL (beyond the end), EOPNOTSUPP
 * (not a leased pin), EPERM (not the process that made the pin, or it has called execve() since).
 *
 * Layout: 80 bytes, no padding.
 */
struct longpin_repin {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 out_reason;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 out_repinned;
	__aligned_u64 out_pages;
	__aligned_u64 out_bad_addr;
	__aligned_u64 out_limit;
	__aligned_u64 out_used;
	__aligned_u64 out_asked;
};

/**
 * struct longpin_let_go - LONGPIN_LET_GO: give a part of a leased pin back
 * @size: sizeof(struct longpin_let_go)
 * @flags: must be 0
 * @handle: a leased pin
 * @__reserved: must be 0
 * @offset: first byte, counted from the pin's addr
 * @length: bytes; not 0; offset + length must not pass the end of the pin
 * @out_pages: pages that were given back
 *
 * All pages that the part touches are given back, as if they had been revoked, but without an
 * event (but what had to go besides, for want of memory, is told). Of a huge page that is held as
 * one unit, all that the pin has of it has to be in the part, or it stays. The answer to
 * LONGPIN_EVENT_REVOKING when the device has been stopped there. The pin stays, even if it
 * holds nothing any more.
 *
 * Errors: ENOENT (no such handle, or the pin has just ended), EINVAL (length 0, or beyond the end),
 * EOPNOTSUPP (not a leased pin).
 *
 * Layout: 40 bytes, no padding.
 */
struct longpin_let_go {
	__u32 size;
	__u32 flags;
	__u32 handle;
	__u32 __reserved;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 out_pages;
};

#endif /* _UAPI_LINUX_LONGPIN_H */
