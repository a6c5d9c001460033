// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what happens, sent to those who listen.
 *
 * Two kinds of listeners. The members of the multicast group "events" get everything, so they
 * have to be privileged, and are where the privilege is: in the initial network namespace.
 * Subscribers are anybody, anywhere, and get what they may see and want to see: so theirs are
 * unicasts, made for each of them.
 *
 * A socket that is too slow loses events, and its next read fails with ENOBUFS. A subscriber can
 * also tell by the sequence number in the header, which counts the events that it should have had.
 *
 * Nothing here sleeps but the calls of a reader: events come from places that can't.
 */
#include <linux/list.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/pid_namespace.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/ktime.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include <linux/longpin.h>
#include <linux/longpin_netlink.h>

#include "events.h"
#include "kernel_compat.h"
#include "netlink.h"
#include "pin.h"
#include "process.h"
#include "reader.h"
#include "records.h"

/* Sockets that one user may subscribe with: each of them costs everybody who pins. */
#define USER_SUBSCRIBERS 64

/**
 * struct subscriber - a socket that subscribed
 * @node: in subscribers
 * @net: its network namespace, which it keeps
 * @portid: its address there
 * @uid: the user who counts for it
 * @sent: events sent to it, or lost on the way
 * @reader: in whose terms to tell it
 * @wanted: what to tell it
 *
 * Lives until its socket is closed. For a moment then, its address may be another's, as with every
 * unicast that the kernel sends by itself.
 */
struct subscriber {
	struct list_head node;
	struct net *net;
	u32 portid;
	kuid_t uid;
	u32 sent;
	struct longpin_reader reader;
	struct longpin_subscription wanted;
};

static LIST_HEAD(subscribers);
/* A leaf; with bottom halves off, which keeps netlink_unicast() from sleeping. */
static DEFINE_SPINLOCK(subscribers_lock);

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
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_ATOMIC);
	void *header;

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

static bool wants(const struct subscriber *subscriber, const struct longpin_process *process)
{
	const struct longpin_subscription *wanted = &subscriber->wanted;

	if (!longpin_reader_sees(&subscriber->reader, process))
		return false;
	if (wanted->pid && wanted->pid != longpin_reader_pid(&subscriber->reader, process))
		return false;
	return !wanted->by_uid || uid_eq(wanted->uid, process->uid);
}

static void tell_subscribers(const struct longpin_event *event)
{
	struct subscriber *subscriber;
	struct sk_buff *skb;

	spin_lock_bh(&subscribers_lock);
	list_for_each_entry(subscriber, &subscribers, node) {
		if (!wants(subscriber, event->process))
			continue;
		/* A failure shows: as ENOBUFS, or as a gap in the sequence. */
		skb = event_message(event, subscriber->portid, ++subscriber->sent,
				    &subscriber->reader);
		if (skb)
			genlmsg_unicast(subscriber->net, skb, subscriber->portid);
	}
	spin_unlock_bh(&subscribers_lock);
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
		genlmsg_multicast(&longpin_family, skb, 0, 0, GFP_ATOMIC);
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
	kfree(subscriber);
}

static struct subscriber *find_subscriber(const struct net *net, u32 portid)
{
	struct subscriber *subscriber;

	lockdep_assert_held(&subscribers_lock);

	list_for_each_entry(subscriber, &subscribers, node) {
		if (subscriber->net == net && subscriber->portid == portid)
			return subscriber;
	}
	return NULL;
}

static unsigned int count_subscribers(kuid_t uid)
{
	struct subscriber *subscriber;
	unsigned int count = 0;

	lockdep_assert_held(&subscribers_lock);

	list_for_each_entry(subscriber, &subscribers, node)
		count += uid_eq(subscriber->uid, uid);
	return count;
}

/**
 * longpin_subscribe - send events to a socket of the current process, until it is closed
 * @net: its network namespace
 * @portid: its address there
 * @reader: who asks; taken over, whatever is returned
 * @wanted: what to send; takes the place of what the socket asked for before
 *
 * Return: 0, -EDQUOT when the user has too many already, -ENOMEM.
 */
int longpin_subscribe(struct net *net, u32 portid, const struct longpin_reader *reader,
		      const struct longpin_subscription *wanted)
{
	struct subscriber *fresh = kmalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT), *old;
	struct longpin_reader unused = *reader;
	int err = 0;

	if (!fresh) {
		longpin_reader_exit(&unused);
		return -ENOMEM;
	}
	fresh->net = net;
	fresh->portid = portid;
	fresh->uid = current_uid();
	fresh->sent = 0;
	fresh->reader = *reader;
	fresh->wanted = *wanted;

	spin_lock_bh(&subscribers_lock);
	old = find_subscriber(net, portid);
	if (old) {
		fresh->sent = old->sent;
		list_replace(&old->node, &fresh->node);
	} else if (count_subscribers(fresh->uid) < USER_SUBSCRIBERS) {
		list_add_tail(&fresh->node, &subscribers);
	} else {
		old = fresh;
		err = -EDQUOT;
	}
	spin_unlock_bh(&subscribers_lock);

	if (old)
		free_subscriber(old);
	return err;
}

static int socket_closed(struct notifier_block *block, unsigned long state, void *data)
{
	const struct netlink_notify *closed = data;
	struct subscriber *subscriber;

	if (state != NETLINK_URELEASE || closed->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;

	spin_lock_bh(&subscribers_lock);
	subscriber = find_subscriber(closed->net, closed->portid);
	if (subscriber)
		list_del(&subscriber->node);
	spin_unlock_bh(&subscribers_lock);

	if (subscriber)
		free_subscriber(subscriber);
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
	return netlink_register_notifier(&socket_notifier);
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
	INIT_LIST_HEAD(&subscribers);
}
