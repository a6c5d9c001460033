/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_EVENT_QUEUE_H
#define LONGPIN_EVENT_QUEUE_H

#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "kernel_compat.h"

struct longpin_event;
struct longpin_status;

/**
 * struct longpin_event_queue - what the holder of a context's leases has yet to read
 * @lock: a leaf; protects @events to @generation. Nothing is allocated under it, nor user memory
 *	touched
 * @wait: woken when there is something to read
 * @events: a ring of them; NULL before the first lease
 * @first: index of the oldest
 * @count: how many there are
 * @reading: somebody copies the oldest to user space: there is nothing to read for others
 * @busy: how many of the oldest are being read, and can't change any more
 * @lost: how many were dropped since the ring was full
 * @generation: as in struct longpin_status
 * @status: what mmap() shows; NULL before the first one. Protected by @lock, never changes again
 */
struct longpin_event_queue {
	spinlock_t lock; /* see above */
	wait_queue_head_t wait;
	struct longpin_event *events;
	unsigned int first;
	unsigned int count;
	bool reading;
	unsigned int busy;
	u64 lost;
	u64 generation;
	struct longpin_status *status;
};

void longpin_event_queue_init(struct longpin_event_queue *queue);
void longpin_event_queue_destroy(struct longpin_event_queue *queue);
int longpin_event_queue_ready(struct longpin_event_queue *queue);

void longpin_event_queue_push(struct longpin_event_queue *queue, const struct longpin_event *event);
void longpin_event_queue_wake(struct longpin_event_queue *queue);

ssize_t longpin_event_queue_read(struct longpin_event_queue *queue, char __user *buffer,
				 size_t bytes, bool nonblock);
__poll_t longpin_event_queue_poll(struct longpin_event_queue *queue, struct file *file,
				  poll_table *table);
int longpin_event_queue_mmap(struct longpin_event_queue *queue, struct vm_area_struct *vma);

#endif /* LONGPIN_EVENT_QUEUE_H */
