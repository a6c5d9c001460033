/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_NETLINK_H
#define LONGPIN_NETLINK_H

#include <linux/types.h>

struct genl_family;

extern struct genl_family longpin_family;

int longpin_netlink_init(void);
void longpin_netlink_exit(void);

#endif /* LONGPIN_NETLINK_H */
