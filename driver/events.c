// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what happens, sent to those who listen.
 *
 * Two kinds of listeners. The members of the multicast group "events" get everything, so they
 * have to be privileged, and are where the privilege is: in the initial network namespace.
 * Subscribers are anybody, anywhere, and get what they may see and want to see, in their own terms:
 * a message is made for each of them.
 *
 * It is put into the subscriber's socket, of which we hold a reference, and not sent to the
 * socket's address: a moment after the socket was closed that may be somebody else's.
 *
 * Revocations are told by those who can't wait. So they go into a ring of a fixed size first, and
 * somebody else sends them.
 *
 * A socket that is too slow loses events, and its next read fails with ENOBUFS. A subscriber can
 * also tell by the sequence number in the header, which counts the events that it should have had.
 *
 * Lock order: subscribers_lock is taken to change the list, and nothing else under it. Whoever
 * walks the list is in an SRCU section, and takes a subscriber's lock in it: one slow subscriber
 * keeps only those waiting who have something to tell it.
 */
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/pid_namespace.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include <linux/longpin.h>
#include <linux/longpin_netlink.h>

#include "backing_file.h"
#include "events.h"
#include "kernel_compat.h"
#include "netlink.h"
#include "pin.h"
#include "process.h"
#include "reader.h"
#include "records.h"

/* Sockets that one ordinary user may subscribe with: each of them costs everybody who pins. */
#define USER_SUBSCRIBERS 64

/* Room for all attributes of an event but the path of a file. */
#define EVENT_BYTES 512

/**
 * struct subscriber - a socket that subscribed
 * @node: in subscribers
 * @sk: the socket; a reference is held
 * @portid: its address
 * @uid: the user who subscribed
 * @reader: in whose terms to tell it
 * @wanted: what to tell it
 * @lock: orders the events and their numbers
 * @sent: events put into the socket, or lost on the way; protected by @lock
 *
 * Lives until its socket is closed. All but @sent never change.
 */
struct subscriber {
	struct list_head node;
	struct sock *sk;
	u32 portid;
	kuid_t uid;
	struct longpin_reader reader;
	struct longpin_process_filter wanted;
	struct mutex lock; /* see above */
	u32 sent;
};

static LIST_HEAD(subscribers);
static DEFINE_MUTEX(subscribers_lock);	    /* to change the list */
static struct srcu_struct subscribers_srcu; /* to walk it */

/**
 * struct news - something to be told
 * @cmd: LONGPIN_CMD_*_NTF
 * @time: when, in nanoseconds since 1970; 0 for now
 * @process: who did it
 * @range: the pin; NULL for a request that was refused
 * @cause: LONGPIN_CAUSE_*, or 0
 * @change: what was taken back, or NULL
 * @context: where the request came from, as are those below
 * @request: what was asked for
 * @err: what the process was told
 * @why: the reason
 */
struct news {
	u8 cmd;
	u64 time;
	const struct longpin_process *process;
	struct pinned_range *range;
	u32 cause;
	const struct longpin_change *change;
	const struct longpin_context *context;
	const struct longpin_pin *request;
	int err;
	const struct longpin_refusal *why;
};

static int put_event(struct sk_buff *skb, const struct longpin_reader *reader,
		     const struct news *news)
{
	if (nla_put_u64_64bit(skb, LONGPIN_A_PIN_TIME, news->time, LONGPIN_A_PIN_PAD))
		return -EMSGSIZE;
	if (news->cause && nla_put_u32(skb, LONGPIN_A_PIN_CAUSE, news->cause))
		return -EMSGSIZE;
	if (news->change && (nla_put_u64_64bit(skb, LONGPIN_A_PIN_CHANGED_OFFSET,
					       news->change->offset, LONGPIN_A_PIN_PAD) ||
			     nla_put_u64_64bit(skb, LONGPIN_A_PIN_CHANGED_LENGTH,
					       news->change->length, LONGPIN_A_PIN_PAD)))
		return -EMSGSIZE;
	if (news->range)
		return longpin_put_pin(skb, reader, news->range);
	return longpin_put_refused(skb, reader, news->context, news->process, news->request,
				   news->err, news->why);
}

/* The event as a message, or NULL without memory. */
static struct sk_buff *event_message(const struct news *news, u32 portid, u32 seq,
				     const struct longpin_reader *reader)
{
	const struct longpin_file *file = news->range ? news->range->file : NULL;
	struct sk_buff *skb;
	void *header;

	/* No larger than it has to be: it counts against the socket's buffer. */
	skb = genlmsg_new(EVENT_BYTES + (file ? strlen(file->path) : 0), GFP_KERNEL);
	if (!skb)
		return NULL;
	header = genlmsg_put(skb, portid, seq, &longpin_family, 0, news->cmd);
	if (WARN_ON_ONCE(!header || put_event(skb, reader, news))) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, header);
	return skb;
}

static void lost_one(struct sock *sk)
{
	sk->sk_err = ENOBUFS;
	sk->sk_error_report(sk);
}

static void tell_subscriber(struct subscriber *subscriber, const struct news *news)
{
	struct sock *sk = subscriber->sk;
	struct sk_buff *skb;
	int err = -ENOBUFS;

	mutex_lock(&subscriber->lock);
	skb = event_message(news, subscriber->portid, ++subscriber->sent, &subscriber->reader);
	if (skb)
		err = sock_queue_rcv_skb(sk, skb);
	mutex_unlock(&subscriber->lock);

	if (!err)
		return;
	kfree_skb(skb);
	if (err != -EPERM) /* that is the socket's own filter */
		lost_one(sk);
}

static void tell_subscribers(const struct news *news)
{
	struct subscriber *subscriber;
	int section;

	section = srcu_read_lock(&subscribers_srcu);
	list_for_each_entry_srcu(subscriber, &subscribers, node,
				 srcu_read_lock_held(&subscribers_srcu)) {
		if (longpin_reader_wants(&subscriber->reader, &subscriber->wanted, news->process))
			tell_subscriber(subscriber, news);
	}
	srcu_read_unlock(&subscribers_srcu, section);
}

static int refuse_unprivileged(struct sock *sk, struct sk_buff *skb, void *data)
{
	return !file_ns_capable(sk->sk_socket->file, &init_user_ns, CAP_SYS_ADMIN);
}

static void tell_group(const struct news *news)
{
	static const struct longpin_reader everybody = {
		.pid_ns = &init_pid_ns,
		.user_ns = &init_user_ns,
		.sees_all = true,
	};
	struct sk_buff *skb = event_message(news, 0, 0, &everybody);

	if (skb)
		longpin_multicast(&longpin_family, skb, refuse_unprivileged);
	else
		genl_set_err(&longpin_family, &init_net, 0, 0, -ENOBUFS);
}

/* Something could not be told: let everybody know that. */
static void lose(void)
{
	struct subscriber *subscriber;
	int section;

	section = srcu_read_lock(&subscribers_srcu);
	list_for_each_entry_srcu(subscriber, &subscribers, node,
				 srcu_read_lock_held(&subscribers_srcu)) {
		mutex_lock(&subscriber->lock);
		subscriber->sent++;
		mutex_unlock(&subscriber->lock);
		lost_one(subscriber->sk);
	}
	srcu_read_unlock(&subscribers_srcu, section);
	if (longpin_group_has_listeners())
		genl_set_err(&longpin_family, &init_net, 0, 0, -ENOBUFS);
}

static bool anybody_listens(void)
{
	return !list_empty(&subscribers) || longpin_group_has_listeners();
}

static void send_news(struct news *news)
{
	if (!news->time)
		news->time = ktime_get_real_ns();
	tell_subscribers(news);
	if (longpin_group_has_listeners())
		tell_group(news);
}

/**
 * longpin_send_pinned - tell that a pin was made
 * @range: the pin
 */
void longpin_send_pinned(struct pinned_range *range)
{
	struct news news = {
		.cmd = LONGPIN_CMD_PINNED_NTF,
		.process = &range->maker,
		.range = range,
	};

	if (anybody_listens())
		send_news(&news);
}

/**
 * longpin_send_unpinned - tell that a pin ended
 * @range: the pin, which may have been released
 * @cause: LONGPIN_CAUSE_*
 */
void longpin_send_unpinned(struct pinned_range *range, u32 cause)
{
	struct news news = {
		.cmd = LONGPIN_CMD_UNPINNED_NTF,
		.process = &range->maker,
		.range = range,
		.cause = cause,
	};

	if (anybody_listens())
		send_news(&news);
}

/**
 * longpin_send_refused - tell that the current process was refused a pin
 * @context: where it asked for one
 * @request: what it asked for
 * @err: what it is told, a negative errno
 * @why: the reason
 */
void longpin_send_refused(const struct longpin_context *context, const struct longpin_pin *request,
			  int err, const struct longpin_refusal *why)
{
	struct longpin_process process;
	struct news news = {
		.cmd = LONGPIN_CMD_REFUSED_NTF,
		.process = &process,
		.context = context,
		.request = request,
		.err = err,
		.why = why,
	};

	if (anybody_listens()) {
		longpin_process_note(&process);
		send_news(&news);
		longpin_process_forget(&process);
	}
}

/**
 * longpin_send_repinned - tell that a lease got pages again
 * @range: the pin
 */
void longpin_send_repinned(struct pinned_range *range)
{
	struct news news = {
		.cmd = LONGPIN_CMD_REPINNED_NTF,
		.process = &range->maker,
		.range = range,
	};

	if (anybody_listens())
		send_news(&news);
}

/**
 * struct revocation - pages that were taken back, to be told
 * @range: the pin; a reference is held
 * @cause: LONGPIN_CAUSE_*
 * @change: what was taken back
 * @time: when, in nanoseconds since 1970
 */
struct revocation {
	struct pinned_range *range;
	u32 cause;
	struct longpin_change change;
	u64 time;
};

static void send_revocations(struct work_struct *work);

#define RING_REVOCATIONS 256U
static struct revocation revocations[RING_REVOCATIONS];
static unsigned int revocations_first, revocations_count;
static bool revocations_lost;		  /* behind those in the ring, which was full */
static DEFINE_SPINLOCK(revocations_lock); /* a leaf, for those above */
static DECLARE_WORK(revocations_work, send_revocations);

/* Take one out of the ring. If there is none, *lost tells whether some had no room. */
static bool next_revocation(struct revocation *next, bool *lost)
{
	bool found;

	spin_lock(&revocations_lock);
	found = revocations_count;
	if (found) {
		*next = revocations[revocations_first];
		revocations_first = (revocations_first + 1) % RING_REVOCATIONS;
		revocations_count--;
	} else {
		*lost = revocations_lost;
		revocations_lost = false;
	}
	spin_unlock(&revocations_lock);
	return found;
}

static void send_revocations(struct work_struct *work)
{
	struct revocation next;
	bool lost;

	while (next_revocation(&next, &lost)) {
		struct news news = {
			.cmd = LONGPIN_CMD_REVOKED_NTF,
			.time = next.time,
			.process = &next.range->maker,
			.range = next.range,
			.cause = next.cause,
			.change = &next.change,
		};

		send_news(&news);
		pinned_range_put(next.range);
		cond_resched();
	}
	if (lost)
		lose();
}

/**
 * longpin_send_revoked - tell that pages of a lease were taken back
 * @range: the pin
 * @cause: LONGPIN_CAUSE_*
 * @change: what was taken back
 *
 * Doesn't sleep: it is told a moment later.
 */
void longpin_send_revoked(struct pinned_range *range, u32 cause,
			  const struct longpin_change *change)
{
	struct revocation *fresh;

	if (!anybody_listens())
		return;
	spin_lock(&revocations_lock);
	if (revocations_count < RING_REVOCATIONS) {
		fresh = &revocations[(revocations_first + revocations_count++) % RING_REVOCATIONS];
		pinned_range_get(range);
		fresh->range = range;
		fresh->cause = cause;
		fresh->change = *change;
		fresh->time = ktime_get_real_ns();
	} else {
		revocations_lost = true;
	}
	spin_unlock(&revocations_lock);
	schedule_work(&revocations_work);
}

static void free_subscriber(struct subscriber *subscriber)
{
	longpin_reader_exit(&subscriber->reader);
	sock_put(subscriber->sk);
	mutex_destroy(&subscriber->lock);
	kfree(subscriber);
}

/* May the socket become one more? */
static int check_subscriber(const struct subscriber *fresh)
{
	const struct subscriber *other;
	unsigned int count = 0;

	lockdep_assert_held(&subscribers_lock);

	list_for_each_entry(other, &subscribers, node) {
		if (other->sk == fresh->sk)
			return -EBUSY;
		count += uid_eq(other->uid, fresh->uid);
	}
	return fresh->reader.sees_all || count < USER_SUBSCRIBERS ? 0 : -EDQUOT;
}

/**
 * longpin_subscribe - send events to a socket of the current process, until it is closed
 * @sk: the socket
 * @portid: its address
 * @reader: who asks; taken over, whatever is returned
 * @wanted: what to send
 *
 * Return: 0; -EBUSY when the socket has subscribed already; -EDQUOT when the user has too many
 * sockets that have; -ENOMEM.
 */
int longpin_subscribe(struct sock *sk, u32 portid, const struct longpin_reader *reader,
		      const struct longpin_process_filter *wanted)
{
	struct subscriber *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	struct longpin_reader unused = *reader;
	int err;

	if (!fresh) {
		longpin_reader_exit(&unused);
		return -ENOMEM;
	}
	sock_hold(sk);
	fresh->sk = sk;
	fresh->portid = portid;
	fresh->uid = current_uid();
	fresh->reader = *reader;
	fresh->wanted = *wanted;
	mutex_init(&fresh->lock);

	mutex_lock(&subscribers_lock);
	err = check_subscriber(fresh);
	if (!err)
		list_add_tail_rcu(&fresh->node, &subscribers);
	mutex_unlock(&subscribers_lock);

	if (err)
		free_subscriber(fresh);
	return err;
}

/* The subscriber whose socket was closed. Another socket may have its address by now. */
static struct subscriber *find_closed(const struct netlink_notify *closed)
{
	struct subscriber *subscriber;

	lockdep_assert_held(&subscribers_lock);

	list_for_each_entry(subscriber, &subscribers, node) {
		if (subscriber->portid == closed->portid &&
		    net_eq(sock_net(subscriber->sk), closed->net) &&
		    sock_flag(subscriber->sk, SOCK_DEAD))
			return subscriber;
	}
	return NULL;
}

static int socket_closed(struct notifier_block *block, unsigned long state, void *data)
{
	const struct netlink_notify *closed = data;
	struct subscriber *subscriber;

	if (state != NETLINK_URELEASE || closed->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;

	mutex_lock(&subscribers_lock);
	subscriber = find_closed(closed);
	if (subscriber)
		list_del_rcu(&subscriber->node);
	mutex_unlock(&subscribers_lock);

	if (subscriber) {
		synchronize_srcu(&subscribers_srcu);
		free_subscriber(subscriber);
	}
	return NOTIFY_DONE;
}

static struct notifier_block socket_notifier = {
	.notifier_call = socket_closed,
};

/**
 * longpin_events_init - begin to notice sockets that are closed
 *
 * Return: 0, or an errno.
 */
int longpin_events_init(void)
{
	int err = init_srcu_struct(&subscribers_srcu);

	if (err)
		return err;
	err = netlink_register_notifier(&socket_notifier);
	if (err)
		cleanup_srcu_struct(&subscribers_srcu);
	return err;
}

/**
 * longpin_events_finish - send what has yet to be sent
 *
 * Nothing more happens.
 */
void longpin_events_finish(void)
{
	flush_work(&revocations_work);
}

/**
 * longpin_events_exit - forget all subscribers
 *
 * No events are sent and nobody can subscribe any more.
 */
void longpin_events_exit(void)
{
	struct subscriber *subscriber, *next;

	netlink_unregister_notifier(&socket_notifier);
	list_for_each_entry_safe(subscriber, next, &subscribers, node)
		free_subscriber(subscriber);
	cleanup_srcu_struct(&subscribers_srcu);
}
