/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_SUBSCRIBERS_H
#define LONGPIN_SUBSCRIBERS_H

#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include "pin.h"
#include "reader.h"

struct sock;
struct user_namespace;

/**
 * struct longpin_revocation - pages that were revoked, of which somebody has to hear
 * @range: the pin; a reference is held. NULL once it was sent
 * @cause: LONGPIN_CAUSE_*
 * @change: what was revoked
 * @time: when, in nanoseconds since 1970
 */
struct longpin_revocation {
	struct pinned_range *range;
	u32 cause;
	struct longpin_change change;
	u64 time;
};

#define LONGPIN_PENDING 256U

/**
 * struct longpin_audience - the subscribers who may see what one user's processes do, or all
 * @node: in the table of audiences, by @uid
 * @uid: the user
 * @subscribers: struct longpin_subscriber; read in a section, see longpin_subscribers_lock()
 * @work: sends what is pending
 * @sending: keeps those events that are pending in their order. Taken before a subscriber's lock
 * @lock: protects all below; a leaf, and nobody sleeps under it
 * @first: the oldest of @pending
 * @count: how many there are, those that were sent before their turn included
 * @lost: revocations after those, for which there was no room
 * @pending: revocations to be sent, a ring
 *
 * Each has a ring of its own, so that what happens to one user's leases takes no room from
 * another's.
 */
struct longpin_audience {
	struct hlist_node node;
	kuid_t uid;
	struct list_head subscribers;
	struct work_struct work;
	struct mutex sending; /* see above */
	spinlock_t lock;      /* see above */
	unsigned int first;
	unsigned int count;
	u32 lost;
	struct longpin_revocation pending[LONGPIN_PENDING];
};

/**
 * struct longpin_payer - what a subscription counts against
 * @node: in the table of payers
 * @uid: a user, or
 * @ns: a user namespace
 */
struct longpin_payer {
	struct hlist_node node;
	kuid_t uid;
	const struct user_namespace *ns;
};

/**
 * struct longpin_subscriber - a socket that subscribed
 * @in_audience: among those who may see the same
 * @in_sockets: in the table of sockets, by the address
 * @audience: which; NULL for one who sees nothing
 * @user: the user who subscribed
 * @owner: the user who answers for its namespace, if that is somebody else
 * @sk: the socket; a reference is held
 * @portid: its address
 * @reader: in whose terms to send
 * @wanted: what to send
 * @ended: in the list of those that are to be freed
 * @frees_audience: it was the last one there
 * @lock: orders the events and their numbers; protects those below
 * @sent: events put into the socket, or lost on the way
 * @over: nothing more may be sent
 */
struct longpin_subscriber {
	struct list_head in_audience;
	struct hlist_node in_sockets;
	struct longpin_audience *audience;
	struct longpin_payer user;
	struct longpin_payer owner;
	struct sock *sk;
	u32 portid;
	struct longpin_reader reader;
	struct longpin_process_filter wanted;
	struct llist_node ended;
	bool frees_audience;
	struct mutex lock; /* see above */
	u32 sent;
	bool over;
};

extern struct longpin_audience longpin_everybody;

bool longpin_anybody_subscribed(void);
int longpin_subscribers_lock(void);
void longpin_subscribers_unlock(int section);
bool longpin_subscribers_locked(void);
struct longpin_audience *longpin_audience_of(kuid_t uid);
void longpin_audience_queue(struct longpin_audience *audience);

int longpin_subscribe(struct sock *sk, u32 portid, const struct longpin_reader *reader,
		      const struct longpin_process_filter *wanted);
int longpin_unsubscribe(struct sock *sk, u32 portid);

int longpin_subscribers_init(work_func_t send);
void longpin_subscribers_flush(void);
void longpin_subscribers_exit(void);

#endif /* LONGPIN_SUBSCRIBERS_H */
