/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_EVENTS_H
#define LONGPIN_EVENTS_H

#include <linux/types.h>
#include <linux/uidgid.h>

struct longpin_context;
struct longpin_pin;
struct longpin_reader;
struct longpin_refusal;
struct pinned_range;
struct sock;

/**
 * struct longpin_subscription - what a socket asked to be told
 * @pid: only what the process of this pid does, in the reader's terms; 0 for any
 * @by_uid: only what @uid's processes do
 * @uid: the user
 */
struct longpin_subscription {
	u32 pid;
	bool by_uid;
	kuid_t uid;
};

int longpin_subscribe(struct sock *sk, u32 portid, const struct longpin_reader *reader,
		      const struct longpin_subscription *wanted);

void longpin_send_pinned(const struct pinned_range *range);
void longpin_send_unpinned(const struct pinned_range *range, u32 cause);
void longpin_send_refused(const struct longpin_context *context, const struct longpin_pin *request,
			  int err, const struct longpin_refusal *why);

int longpin_events_init(void);
void longpin_events_exit(void);

#endif /* LONGPIN_EVENTS_H */
