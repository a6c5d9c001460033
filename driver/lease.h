/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_LEASE_H
#define LONGPIN_LEASE_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "dax_devices.h"
#include "kernel_compat.h"

struct eventfd_ctx;
struct longpin_info;
struct longpin_pin;
struct longpin_refusal;
struct pinned_range;

/**
 * struct longpin_lease - what makes a pin one that the kernel can take back
 * @notifier: by which the kernel tells what it takes out of the mapping
 * @range: the pin
 * @filling: held by the one who fills the pin's gaps, and by the one who ends it; protects
 *	@listening
 * @listening: the kernel reports by @notifier; not while the pin holds nothing, see lease.c
 * @grace_ms: time that the holder is given, in milliseconds
 * @eventfd: what to signal, or NULL
 * @let_go: woken when pages were given back
 * @dax: the devices that its pages of fs-DAX are of; protected by the pin's lock
 * @work: wakes those who wait for the holder's events
 * @settling: stops listening if there is nothing to lose
 * @signals: how often @work has to signal @eventfd
 */
struct longpin_lease {
#ifdef LONGPIN_HAVE_INTERVAL_NOTIFIER
	struct mmu_interval_notifier notifier;
#endif
	struct pinned_range *range;
	struct mutex filling; /* see above */
	bool listening;
	u32 grace_ms;
	struct eventfd_ctx *eventfd;
	wait_queue_head_t let_go;
	struct longpin_dax_devices dax;
	struct work_struct work;
	struct work_struct settling;
	atomic_t signals;
};

int longpin_lease_init(void);
void longpin_lease_exit(void);

bool longpin_can_lease(void);
void longpin_lease_info(struct longpin_info *info);

int longpin_lease_check(const struct longpin_pin *request, struct longpin_refusal *why);
struct longpin_lease *longpin_lease_create(struct pinned_range *range,
					   const struct longpin_pin *request,
					   struct longpin_refusal *why);
int longpin_lease_wait_for_room(struct longpin_lease *lease);
int longpin_lease_resume(struct longpin_lease *lease);
void longpin_lease_end(struct longpin_lease *lease);
void longpin_lease_free(struct longpin_lease *lease);

void longpin_lease_notify(struct longpin_lease *lease);
void longpin_lease_emptied(struct longpin_lease *lease);
unsigned long longpin_lease_begin(struct longpin_lease *lease);
bool longpin_lease_lost(struct longpin_lease *lease, unsigned long seq);

#endif /* LONGPIN_LEASE_H */
