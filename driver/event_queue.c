// SPDX-License-Identifier: GPL-2.0-only
/*
 * The events of a context: what is read from its file, and the page that it maps.
 *
 * Events are put in by those who revoke, who can't wait for memory; so the ring has a fixed
 * size. When it is full events are dropped and counted, and the count is read in their place:
 * nothing else gets in before that.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/longpin.h>

#include "event_queue.h"
#include "kernel_compat.h"

#define RING_EVENTS 512U

/* Records that one read() gives at most: a page full of them. */
#define READ_EVENTS ((unsigned int)(PAGE_SIZE / sizeof(struct longpin_event)))

/**
 * longpin_event_queue_init - an empty queue
 * @queue: filled
 */
void longpin_event_queue_init(struct longpin_event_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->wait);
}

/**
 * longpin_event_queue_destroy - undo longpin_event_queue_init()
 * @queue: nobody uses it any more
 */
void longpin_event_queue_destroy(struct longpin_event_queue *queue)
{
	kvfree(queue->events);
	if (queue->status) /* a mapping has its own reference on the page */
		free_page((unsigned long)queue->status);
}

/**
 * longpin_event_queue_ready - have room for events
 * @queue: the queue
 *
 * Return: 0, -ENOMEM.
 */
int longpin_event_queue_ready(struct longpin_event_queue *queue)
{
	struct longpin_event *events;

	if (READ_ONCE(queue->events))
		return 0;
	events = kvmalloc_array(RING_EVENTS, sizeof(*events), GFP_KERNEL_ACCOUNT);
	if (!events)
		return -ENOMEM;
	spin_lock(&queue->lock);
	if (!queue->events) {
		queue->events = events;
		events = NULL;
	}
	spin_unlock(&queue->lock);
	kvfree(events);
	return 0;
}

static struct longpin_event *event_at(const struct longpin_event_queue *queue, unsigned int i)
{
	return &queue->events[(queue->first + i) % RING_EVENTS];
}

/* Add the event to the last one, if both are of one kind and side by side. */
static bool join(const struct longpin_event_queue *queue, const struct longpin_event *event)
{
	struct longpin_event *last;

	if (queue->count == queue->busy)
		return false;
	last = event_at(queue, queue->count - 1);
	if (last->type != event->type || last->handle != event->handle ||
	    last->cause != event->cause)
		return false;
	if (last->offset + last->length != event->offset &&
	    event->offset + event->length != last->offset)
		return false;
	last->offset = min(last->offset, event->offset);
	last->length += event->length;
	return true;
}

/**
 * longpin_event_queue_push - put an event in
 * @queue: the queue, which has room for events
 * @event: the event
 *
 * Doesn't sleep. Nobody is woken: that is for longpin_event_queue_wake(), a moment later.
 */
void longpin_event_queue_push(struct longpin_event_queue *queue, const struct longpin_event *event)
{
	spin_lock(&queue->lock);
	if (queue->lost || !join(queue, event)) {
		if (!queue->lost && queue->count < RING_EVENTS)
			*event_at(queue, queue->count++) = *event;
		else
			queue->lost++;
	}
	if (event->type == LONGPIN_EVENT_REVOKED) {
		queue->generation++;
		if (queue->status) {
			smp_wmb(); /* who sees the new generation can read the event */
			WRITE_ONCE(queue->status->generation, queue->generation);
		}
	}
	spin_unlock(&queue->lock);
}

/**
 * longpin_event_queue_wake - wake those who wait for events
 * @queue: the queue
 *
 * They may be many, and each of them costs. So that is not for those who revoke.
 */
void longpin_event_queue_wake(struct longpin_event_queue *queue)
{
	wake_up_interruptible_poll(&queue->wait, EPOLLIN | EPOLLRDNORM);
}

static bool has_events(const struct longpin_event_queue *queue)
{
	lockdep_assert_held(&queue->lock);

	return queue->count || queue->lost;
}

static bool may_read(struct longpin_event_queue *queue)
{
	bool may;

	spin_lock(&queue->lock);
	may = has_events(queue) && !queue->reading;
	spin_unlock(&queue->lock);
	return may;
}

/*
 * Copy the oldest events, which stay where they are; and the number of those that were lost after
 * them, if there is room for it. Returns how many records that makes; 0 if there are none, or
 * somebody else is reading. Unless it is 0, end_reading() has to follow.
 */
static unsigned int begin_reading(struct longpin_event_queue *queue, struct longpin_event *records,
				  unsigned int room)
{
	unsigned int n = 0;

	spin_lock(&queue->lock);
	if (queue->reading || !has_events(queue))
		goto out_unlock;
	queue->reading = true;
	for (; n < queue->count && n < room; n++)
		records[n] = *event_at(queue, n);
	queue->busy = n;
	if (n == queue->count && n < room && queue->lost) {
		records[n++] = (struct longpin_event){
			.size = sizeof(records[n]),
			.type = LONGPIN_EVENT_OVERFLOW,
			.lost = queue->lost,
			.time = ktime_to_ns(ktime_get_boottime()),
		};
	}
out_unlock:
	spin_unlock(&queue->lock);
	return n;
}

/* What was copied was delivered, or wasn't. Others may read what is left. */
static void end_reading(struct longpin_event_queue *queue, const struct longpin_event *records,
			unsigned int n, bool delivered)
{
	bool more;

	spin_lock(&queue->lock);
	if (delivered) {
		queue->first = (queue->first + queue->busy) % RING_EVENTS;
		queue->count -= queue->busy;
		queue->lost -= records[n - 1].lost;
	}
	queue->busy = 0;
	queue->reading = false;
	more = has_events(queue);
	spin_unlock(&queue->lock);
	if (more)
		longpin_event_queue_wake(queue);
}

/* Copy what there is to the reader. Returns bytes, 0 if there is nothing to read. */
static ssize_t deliver(struct longpin_event_queue *queue, struct longpin_event *records,
		       char __user *buffer, unsigned int room)
{
	unsigned int n = begin_reading(queue, records, room);
	unsigned int i;
	bool failed;

	if (!n)
		return 0;
	for (i = 0; i < n; i++)
		records[i].time = longpin_boottime_of_reader(records[i].time);
	failed = copy_to_user(buffer, records, n * sizeof(records[0]));
	end_reading(queue, records, n, !failed);
	return failed ? -EFAULT : n * sizeof(records[0]);
}

/**
 * longpin_event_queue_read - read() of the file
 * @queue: the queue
 * @buffer: where to
 * @bytes: room there
 * @nonblock: don't wait
 *
 * Return: bytes, or -EINVAL, -EAGAIN, -ERESTARTSYS, -EFAULT, -ENOMEM.
 */
ssize_t longpin_event_queue_read(struct longpin_event_queue *queue, char __user *buffer,
				 size_t bytes, bool nonblock)
{
	unsigned int room = min_t(size_t, bytes / sizeof(struct longpin_event), READ_EVENTS);
	struct longpin_event *records;
	ssize_t done;

	/* A longer record has to be cut for a reader that knows only the first published one. */
	BUILD_BUG_ON(sizeof(struct longpin_event) != 56);
	if (!room)
		return -EINVAL;
	records = kmalloc_array(room, sizeof(*records), GFP_KERNEL_ACCOUNT);
	if (!records)
		return -ENOMEM;
	while (!(done = deliver(queue, records, buffer, room))) {
		done = -EAGAIN;
		if (nonblock)
			break;
		done = -ERESTARTSYS;
		if (wait_event_interruptible(queue->wait, may_read(queue)))
			break;
	}
	kfree(records);
	return done;
}

/**
 * longpin_event_queue_poll - poll() of the file
 * @queue: the queue
 * @file: the file
 * @table: as poll() has it
 *
 * Return: whether there is something to read.
 */
__poll_t longpin_event_queue_poll(struct longpin_event_queue *queue, struct file *file,
				  poll_table *table)
{
	poll_wait(file, &queue->wait, table);
	return may_read(queue) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int make_status(struct longpin_event_queue *queue)
{
	struct longpin_status *status =
		(struct longpin_status *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (!status)
		return -ENOMEM;
	spin_lock(&queue->lock);
	if (!queue->status) {
		status->generation = queue->generation;
		queue->status = status;
		status = NULL;
	}
	spin_unlock(&queue->lock);
	free_page((unsigned long)status);
	return 0;
}

/**
 * longpin_event_queue_mmap - mmap() of the file
 * @queue: the queue
 * @vma: the mapping in the making
 *
 * Return: 0, -EINVAL, -EACCES, -ENOMEM.
 */
int longpin_event_queue_mmap(struct longpin_event_queue *queue, struct vm_area_struct *vma)
{
	int err;

	if (vma->vm_pgoff || vma->vm_end - vma->vm_start != PAGE_SIZE)
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC) || !(vma->vm_flags & VM_MAYSHARE))
		return -EACCES;
	err = make_status(queue);
	if (err)
		return err;
	/* A child would be told of pins that are not of its memory. */
	longpin_change_vm_flags(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP,
				VM_MAYWRITE | VM_MAYEXEC);
	return vm_insert_page(vma, vma->vm_start, virt_to_page(queue->status));
}
