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
 * struct longpin_event - something to be told
 * @cmd: LONGPIN_CMD_*_NTF
 * @time: when, in nanoseconds since 1970
 * @process: who did it
 * @range: the pin; NULL for a request that was refused
 * @cause: LONGPIN_CAUSE_*, or 0
 * @context: where the request came from, as are those below
 * @request: what was asked for
 * @err: what the process was told
 * @why: the reason
 */
struct longpin_event {
	u8 cmd;
	u64 time;
	const struct longpin_process *process;
	const struct pinned_range *range;
	u32 cause;
	const struct longpin_context *context;
	const struct longpin_pin *request;
	int err;
	const struct longpin_refusal *why;
};

static int put_event(struct sk_buff *skb, const struct longpin_reader *reader,
		     const struct longpin_event *event)
{
	if (nla_put_u64_64bit(skb, LONGPIN_A_PIN_TIME, event->time, LONGPIN_A_PIN_PAD))
		return -EMSGSIZE;
	if (event->cause && nla_put_u32(skb, LONGPIN_A_PIN_CAUSE, event->cause))
		return -EMSGSIZE;
	if (event->range)
		return longpin_put_pin(skb, reader, event->range);
	return longpin_put_refused(skb, reader, event->context, event->process, event->request,
				   event->err, event->why);
}

/* The event as a message, or NULL without memory. */
static struct sk_buff *event_message(const struct longpin_event *event, u32 portid, u32 seq,
				     const struct longpin_reader *reader)
{
	const struct longpin_file *file = event->range ? event->range->file : NULL;
	struct sk_buff *skb;
	void *header;

	/* No larger than it has to be: it counts against the socket's buffer. */
	skb = genlmsg_new(EVENT_BYTES + (file ? strlen(file->path) : 0), GFP_KERNEL);
	if (!skb)
		return NULL;
	header = genlmsg_put(skb, portid, seq, &longpin_family, 0, event->cmd);
	if (WARN_ON_ONCE(!header || put_event(skb, reader, event))) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, header);
	return skb;
}

static void tell_subscriber(struct subscriber *subscriber, const struct longpin_event *event)
{
	struct sock *sk = subscriber->sk;
	struct sk_buff *skb;
	int err = -ENOBUFS;

	mutex_lock(&subscriber->lock);
	skb = event_message(event, subscriber->portid, ++subscriber->sent, &subscriber->reader);
	if (skb)
		err = sock_queue_rcv_skb(sk, skb);
	mutex_unlock(&subscriber->lock);

	if (!err)
		return;
	kfree_skb(skb);
	if (err != -EPERM) { /* that is the socket's own filter */
		sk->sk_err = ENOBUFS;
		sk->sk_error_report(sk);
	}
}

static void tell_subscribers(const struct longpin_event *event)
{
	struct subscriber *subscriber;
	int section;

	section = srcu_read_lock(&subscribers_srcu);
	list_for_each_entry_srcu(subscriber, &subscribers, node,
				 srcu_read_lock_held(&subscribers_srcu)) {
		if (longpin_reader_wants(&subscriber->reader, &subscriber->wanted, event->process))
			tell_subscriber(subscriber, event);
	}
	srcu_read_unlock(&subscribers_srcu, section);
}

static int refuse_unprivileged(struct sock *sk, struct sk_buff *skb, void *data)
{
	return !file_ns_capable(sk->sk_socket->file, &init_user_ns, CAP_SYS_ADMIN);
}

static void tell_group(const struct longpin_event *event)
{
	static const struct longpin_reader everybody = {
		.pid_ns = &init_pid_ns,
		.user_ns = &init_user_ns,
		.sees_all = true,
	};
	struct sk_buff *skb = event_message(event, 0, 0, &everybody);

	if (skb)
		longpin_multicast(&longpin_family, skb, refuse_unprivileged);
	else
		genl_set_err(&longpin_family, &init_net, 0, 0, -ENOBUFS);
}

static bool anybody_listens(void)
{
	return !list_empty(&subscribers) || longpin_group_has_listeners();
}

static void send_event(struct longpin_event *event)
{
	event->time = ktime_get_real_ns();
	tell_subscribers(event);
	if (longpin_group_has_listeners())
		tell_group(event);
}

/**
 * longpin_send_pinned - tell that a pin was made
 * @range: the pin
 */
void longpin_send_pinned(const struct pinned_range *range)
{
	struct longpin_event event = {
		.cmd = LONGPIN_CMD_PINNED_NTF,
		.process = &range->maker,
		.range = range,
	};

	if (anybody_listens())
		send_event(&event);
}

/**
 * longpin_send_unpinned - tell that a pin ended
 * @range: the pin, which may have been released
 * @cause: LONGPIN_CAUSE_*
 */
void longpin_send_unpinned(const struct pinned_range *range, u32 cause)
{
	struct longpin_event event = {
		.cmd = LONGPIN_CMD_UNPINNED_NTF,
		.process = &range->maker,
		.range = range,
		.cause = cause,
	};

	if (anybody_listens())
		send_event(&event);
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
	struct longpin_event event = {
		.cmd = LONGPIN_CMD_REFUSED_NTF,
		.process = &process,
		.context = context,
		.request = request,
		.err = err,
		.why = why,
	};

	if (anybody_listens()) {
		longpin_process_note(&process);
		send_event(&event);
		longpin_process_forget(&process);
	}
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
