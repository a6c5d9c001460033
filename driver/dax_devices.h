/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_DAX_DEVICES_H
#define LONGPIN_DAX_DEVICES_H

#include <linux/list.h>
#include <linux/types.h>

struct dev_pagemap;
struct longpin_lease;
struct longpin_revoked;
struct page;

/* Devices of which a lease may hold pages of fs-DAX at a time. */
#define LONGPIN_DAX_DEVICES 4

/**
 * struct longpin_dax_device - a device of which a lease holds pages of fs-DAX
 * @pgmap: its pagemap
 * @pages: how many are held. 0: @pgmap means nothing
 */
struct longpin_dax_device {
	struct dev_pagemap *pgmap;
	unsigned long pages;
};

/**
 * struct longpin_dax_devices - all such devices of a lease
 * @device: the devices
 * @pages: pages on all of them
 * @node: in dax_leases, if there are some
 */
struct longpin_dax_devices {
	struct longpin_dax_device device[LONGPIN_DAX_DEVICES];
	unsigned long pages;
	struct list_head node;
};

struct longpin_dax_device *longpin_dax_device(struct longpin_lease *lease,
					      struct dev_pagemap *pgmap);
void longpin_dax_count(struct longpin_lease *lease, struct longpin_dax_device *device, long pages);
void longpin_dax_uncount(struct longpin_lease *lease, const struct longpin_revoked *revoked);
int longpin_dax_init(void);
void longpin_dax_exit(void);

#endif /* LONGPIN_DAX_DEVICES_H */
