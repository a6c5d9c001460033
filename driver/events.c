// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events: what happens, sent to those who subscribed.
 *
 * Subscribers are anybody, anywhere, and get what they may see and want to see, in their own terms:
 * a message is made for each of them. It goes to the address of the socket, as messages of the
 * kernel do; the socket is kept open meanwhile, so that the address can't be another's by then.
 *
 * Revocations come from those who can't wait. So each audience has a ring of them, and somebody
 * else sends them, a few at a time. What else happens to a pin is sent after them.
 *
 * A socket that is too slow loses events, and its next read fails with ENOBUFS. A subscriber can
 * also see it by the sequence number in the event, which counts those that it should have had.
 *
 * Lock order: struct longpin_audience.sending, struct longpin_subscriber.lock; all in a section of
 * longpin_subscribers_lock(), so one slow subscriber keeps only those waiting who have something to
 * send to it.
 */
#include <linux/ktime.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
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
#include "subscribers.h"

/* Room for all attributes of an event but the path of a file. */
#define EVENT_BYTES 512

/* Revocations that are sent before others on the queue have their turn. */
#define BATCH 16

/**
 * struct news - something to be told
 * @cmd: LONGPIN_CMD_*_NTF
 * @time: when, in nanoseconds since 1970
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
		     const struct news *news, u32 sequence)
{
	if (nla_put_u32(skb, LONGPIN_A_PIN_SEQUENCE, sequence) ||
	    nla_put_u64_64bit(skb, LONGPIN_A_PIN_TIME, news->time, LONGPIN_A_PIN_PAD))
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
static struct sk_buff *event_message(const struct news *news, u32 sequence,
				     const struct longpin_reader *reader)
{
	const struct longpin_file *file = news->range ? news->range->file : NULL;
	struct sk_buff *skb;
	void *header;

	/* No larger than it has to be: it counts against the socket's buffer. */
	skb = genlmsg_new(EVENT_BYTES + (file ? strlen(file->path) : 0), GFP_KERNEL);
	if (!skb)
		return NULL;
	/* Nobody asked for it: so it has neither the address nor the number of a request. */
	header = genlmsg_put(skb, 0, 0, &longpin_family, 0, news->cmd);
	if (WARN_ON_ONCE(!header || put_event(skb, reader, news, sequence))) {
		nlmsg_free(skb);
		return NULL;
	}
	genlmsg_end(skb, header);
	return skb;
}

/* What was lost before it was a message: netlink itself says so of messages. */
static void lose(struct longpin_subscriber *subscriber, u32 events)
{
	struct sock *sk = subscriber->sk;

	lockdep_assert_held(&subscriber->lock);

	subscriber->sent += events;
	sk->sk_err = ENOBUFS;
	sk->sk_error_report(sk);
}

static void send_to(struct longpin_subscriber *subscriber, const struct news *news)
{
	struct file *file = longpin_sock_file(subscriber->sk);
	struct sk_buff *skb;

	if (!file) /* it is being closed */
		return;
	mutex_lock(&subscriber->lock);
	if (!subscriber->over) {
		skb = event_message(news, subscriber->sent + 1, &subscriber->reader);
		if (skb) {
			subscriber->sent++;
			genlmsg_unicast(sock_net(subscriber->sk), skb, subscriber->portid);
		} else {
			lose(subscriber, 1);
		}
	}
	mutex_unlock(&subscriber->lock);
	fput(file);
}

/* Of its revocations some had no room. */
static void lose_in_audience(const struct longpin_audience *audience, u32 events)
{
	struct longpin_subscriber *subscriber;

	list_for_each_entry_srcu(subscriber, &audience->subscribers, in_audience,
				 longpin_subscribers_locked()) {
		mutex_lock(&subscriber->lock);
		if (!subscriber->over)
			lose(subscriber, events);
		mutex_unlock(&subscriber->lock);
	}
}

static void send_to_audience(const struct longpin_audience *audience, const struct news *news)
{
	struct longpin_subscriber *subscriber;

	list_for_each_entry_srcu(subscriber, &audience->subscribers, in_audience,
				 longpin_subscribers_locked()) {
		if (longpin_reader_wants(&subscriber->reader, &subscriber->wanted, news->process))
			send_to(subscriber, news);
	}
}

/*
 * Take a revocation out of the ring: the oldest, or the oldest of a pin. If there is none at all,
 * *lost is how many had no room.
 */
static bool take_pending(struct longpin_audience *audience, const struct pinned_range *of,
			 struct longpin_revocation *taken, u32 *lost)
{
	struct longpin_revocation *one;
	bool found = false;
	unsigned int i;

	*lost = 0;
	spin_lock(&audience->lock);
	for (i = 0; !found && i < audience->count; i++) {
		one = &audience->pending[(audience->first + i) % LONGPIN_PENDING];
		if (!one->range || (of && one->range != of))
			continue;
		*taken = *one;
		one->range = NULL;
		found = true;
	}
	while (audience->count && !audience->pending[audience->first].range) {
		audience->first = (audience->first + 1) % LONGPIN_PENDING;
		audience->count--;
	}
	if (!found && !audience->count) {
		*lost = audience->lost;
		audience->lost = 0;
	}
	spin_unlock(&audience->lock);
	return found;
}

/* Send a pending revocation, if there is one: as take_pending(). */
static bool send_one_pending(struct longpin_audience *audience, const struct pinned_range *of)
{
	struct longpin_revocation one;
	u32 lost;
	bool found;

	mutex_lock(&audience->sending);
	found = take_pending(audience, of, &one, &lost);
	if (found) {
		struct news news = {
			.cmd = LONGPIN_CMD_REVOKED_NTF,
			.time = one.time,
			.process = &one.range->maker,
			.range = one.range,
			.cause = one.cause,
			.change = &one.change,
		};

		send_to_audience(audience, &news);
	} else if (lost) {
		lose_in_audience(audience, lost);
	}
	mutex_unlock(&audience->sending);
	if (found)
		pinned_range_put(one.range);
	return found;
}

/* The work of an audience. */
static void send_pending(struct work_struct *work)
{
	struct longpin_audience *audience = container_of(work, struct longpin_audience, work);
	unsigned int left = BATCH;
	int section;
	bool more;

	section = longpin_subscribers_lock();
	do {
		more = send_one_pending(audience, NULL);
		cond_resched();
	} while (more && --left);
	longpin_subscribers_unlock(section);
	if (more)
		longpin_audience_queue(audience);
}

static void send_to_one_audience(struct longpin_audience *audience, const struct news *news)
{
	unsigned int left = LONGPIN_PENDING;

	if (!audience)
		return;
	/* First what was revoked of it before. */
	while (news->range && news->range->lease && left-- &&
	       send_one_pending(audience, news->range))
		;
	send_to_audience(audience, news);
}

static void send_news(struct news *news)
{
	int section;

	news->time = ktime_get_real_ns();
	section = longpin_subscribers_lock();
	send_to_one_audience(longpin_audience_of(news->process->owner), news);
	send_to_one_audience(&longpin_everybody, news);
	longpin_subscribers_unlock(section);
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

	if (longpin_anybody_subscribed())
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

	if (longpin_anybody_subscribed())
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

	if (longpin_anybody_subscribed()) {
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

	if (longpin_anybody_subscribed())
		send_news(&news);
}

/* Doesn't sleep. */
static void push(struct longpin_audience *audience, struct pinned_range *range, u32 cause,
		 const struct longpin_change *change)
{
	struct longpin_revocation *fresh;

	if (!audience || list_empty(&audience->subscribers))
		return;
	spin_lock(&audience->lock);
	/* Nor anything after what was lost, until that was said. */
	if (!audience->lost && audience->count < LONGPIN_PENDING) {
		fresh = &audience->pending[(audience->first + audience->count++) % LONGPIN_PENDING];
		pinned_range_get(range);
		fresh->range = range;
		fresh->cause = cause;
		fresh->change = *change;
		fresh->time = ktime_get_real_ns();
	} else {
		audience->lost++;
	}
	spin_unlock(&audience->lock);
	longpin_audience_queue(audience);
}

/**
 * longpin_send_revoked - tell that pages of a lease were taken back
 * @range: the pin
 * @cause: LONGPIN_CAUSE_*
 * @change: what was taken back
 *
 * Doesn't sleep: it is sent a moment later.
 */
void longpin_send_revoked(struct pinned_range *range, u32 cause,
			  const struct longpin_change *change)
{
	int section;

	if (!longpin_anybody_subscribed())
		return;
	section = longpin_subscribers_lock();
	push(longpin_audience_of(range->maker.owner), range, cause, change);
	push(&longpin_everybody, range, cause, change);
	longpin_subscribers_unlock(section);
}

/**
 * longpin_events_init - be ready to send
 *
 * Return: 0, or an errno.
 */
int longpin_events_init(void)
{
	return longpin_subscribers_init(send_pending);
}

/**
 * longpin_events_finish - send what has yet to be sent
 *
 * Nothing more happens.
 */
void longpin_events_finish(void)
{
	longpin_subscribers_flush();
}

/**
 * longpin_events_exit - undo longpin_events_init()
 *
 * Nobody can subscribe any more.
 */
void longpin_events_exit(void)
{
	longpin_subscribers_exit();
}
