// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who subscribed to events: found by what they may see, and by their sockets.
 *
 * A subscriber sees what the processes of one user do, or of all. So an event is for two audiences,
 * that of its user and everybody's, and however many others there are, nobody looks at them. Nor
 * does a generic netlink socket that is closed and has not subscribed.
 *
 * Limits are for each user who subscribes; and since root of a user namespace may be any of its
 * users, for all of a namespace together, which the user answers for who made the outermost one. If
 * that was root, as container engines are, it is for the namespace: containers don't answer for
 * each other.
 *
 * changing_lock is taken to change the tables, and nothing else under it; so nobody holds it for
 * long. The tables are read in an SRCU section, longpin_subscribers_lock().
 */
#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/notifier.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "kernel_compat.h"
#include "subscribers.h"

/* Sockets that one payer may subscribe with. */
#define PAYER_SUBSCRIBERS 64

/* Those who see all. It is always there. */
struct longpin_audience longpin_everybody;

static DEFINE_HASHTABLE(audiences, 8); /* struct longpin_audience by uid */
static DEFINE_HASHTABLE(sockets, 10);  /* struct longpin_subscriber by network namespace and port */
static DEFINE_HASHTABLE(payers, 10);   /* struct longpin_payer by user or namespace */
static unsigned int count;	       /* of subscribers */
static DEFINE_MUTEX(changing_lock);    /* to change all of these */
static struct srcu_struct reading;     /* to read them */

static struct workqueue_struct *queue;
static work_func_t send_pending;

static void free_ended(struct work_struct *work);
static LLIST_HEAD(ended); /* struct longpin_subscriber, no longer in any table */
static DECLARE_WORK(free_work, free_ended);

/**
 * longpin_anybody_subscribed - has anybody subscribed?
 *
 * Return: whether somebody has.
 */
bool longpin_anybody_subscribed(void)
{
	return READ_ONCE(count);
}

/* On one line checkpatch takes it for a cast. */
/* clang-format off */
/**
 * longpin_subscribers_lock - begin to look at audiences and subscribers
 *
 * They stay until longpin_subscribers_unlock(). Doesn't sleep; what is in between may.
 *
 * Return: what longpin_subscribers_unlock() wants.
 */
int longpin_subscribers_lock(void)
	__acquires(&reading)
{
	return srcu_read_lock(&reading);
}

/* clang-format on */

/**
 * longpin_subscribers_unlock - end what longpin_subscribers_lock() began
 * @section: from there
 */
void longpin_subscribers_unlock(int section) __releases(&reading)
{
	srcu_read_unlock(&reading, section);
}

/**
 * longpin_subscribers_locked - for assertions
 *
 * Return: false only where longpin_subscribers_lock() was not called.
 */
bool longpin_subscribers_locked(void)
{
	return srcu_read_lock_held(&reading);
}

/**
 * longpin_audience_of - find the subscribers who see what one user does, but for longpin_everybody
 * @uid: the user; nobody, if not valid
 *
 * In a section, or with changing_lock held.
 *
 * Return: the audience, or NULL.
 */
struct longpin_audience *longpin_audience_of(kuid_t uid)
{
	struct hlist_head *bucket = &audiences[hash_min(__kuid_val(uid), HASH_BITS(audiences))];
	struct longpin_audience *audience;

	if (!uid_valid(uid))
		return NULL;
	hlist_for_each_entry_srcu(audience, bucket, node,
				  longpin_subscribers_locked() || lockdep_is_held(&changing_lock)) {
		if (uid_eq(audience->uid, uid))
			return audience;
	}
	return NULL;
}

/**
 * longpin_audience_queue - have what is pending sent
 * @audience: the audience
 *
 * Doesn't sleep.
 */
void longpin_audience_queue(struct longpin_audience *audience)
{
	queue_work(queue, &audience->work);
}

static void init_audience(struct longpin_audience *audience, kuid_t uid)
{
	audience->uid = uid;
	INIT_LIST_HEAD(&audience->subscribers);
	INIT_WORK(&audience->work, send_pending);
	mutex_init(&audience->sending);
	spin_lock_init(&audience->lock);
}

/* Nobody finds it any more. */
static void free_audience(struct longpin_audience *audience)
{
	unsigned int i;

	cancel_work_sync(&audience->work);
	for (i = 0; i < audience->count; i++) {
		struct longpin_revocation *one =
			&audience->pending[(audience->first + i) % LONGPIN_PENDING];

		if (one->range)
			pinned_range_put(one->range);
	}
	mutex_destroy(&audience->sending);
	kvfree(audience);
}

static void free_subscriber(struct longpin_subscriber *subscriber)
{
	if (subscriber->frees_audience)
		free_audience(subscriber->audience);
	longpin_reader_exit(&subscriber->reader);
	sock_put(subscriber->sk);
	mutex_destroy(&subscriber->lock);
	kfree(subscriber);
}

/* Not by those who end them: close() must not wait until others have sent their events. */
static void free_ended(struct work_struct *work)
{
	struct llist_node *list = llist_del_all(&ended);
	struct longpin_subscriber *subscriber, *next;

	synchronize_srcu(&reading);
	llist_for_each_entry_safe(subscriber, next, list, ended)
		free_subscriber(subscriber);
}

static bool same_payer(const struct longpin_payer *one, const struct longpin_payer *other)
{
	return one->ns ? one->ns == other->ns : !other->ns && uid_eq(one->uid, other->uid);
}

static unsigned long payer_key(const struct longpin_payer *payer)
{
	return payer->ns ? (unsigned long)payer->ns : __kuid_val(payer->uid);
}

static bool can_pay(const struct longpin_payer *payer)
{
	const struct longpin_payer *other;
	unsigned int paid = 0;

	lockdep_assert_held(&changing_lock);

	hash_for_each_possible(payers, other, node, payer_key(payer))
		paid += same_payer(other, payer);
	return paid < PAYER_SUBSCRIBERS;
}

/* Note who answers for the current process. */
static void set_payers(struct longpin_subscriber *subscriber)
{
	const struct user_namespace *ns = subscriber->reader.user_ns;

	subscriber->user.uid = current_uid();
	subscriber->owner.uid = current_uid();
	if (ns == &init_user_ns)
		return;
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	if (uid_eq(ns->owner, GLOBAL_ROOT_UID))
		subscriber->owner.ns = ns;
	else
		subscriber->owner.uid = ns->owner;
}

static unsigned long socket_key(const struct net *net, u32 portid)
{
	return (unsigned long)net + portid;
}

/* A subscriber's place in the table of sockets. Another socket may have the address by now. */
static bool is_socket(const struct longpin_subscriber *subscriber, const struct net *net,
		      u32 portid)
{
	return subscriber->portid == portid && net_eq(sock_net(subscriber->sk), net);
}

static struct longpin_subscriber *find_socket(const struct sock *sk, u32 portid)
{
	struct longpin_subscriber *subscriber;

	lockdep_assert_held(&changing_lock);

	hash_for_each_possible(sockets, subscriber, in_sockets, socket_key(sock_net(sk), portid)) {
		if (subscriber->sk == sk)
			return subscriber;
	}
	return NULL;
}

/* Takes over @spare if the audience is not there yet. */
static void join_audience(struct longpin_subscriber *fresh, struct longpin_audience **spare)
{
	struct longpin_audience *audience = &longpin_everybody;

	lockdep_assert_held(&changing_lock);

	if (!fresh->reader.sees_all) {
		audience = longpin_audience_of(fresh->reader.uid);
		if (!audience) {
			audience = *spare;
			*spare = NULL;
			hash_add_rcu(audiences, &audience->node, __kuid_val(audience->uid));
		}
	}
	fresh->audience = audience;
	list_add_tail_rcu(&fresh->in_audience, &audience->subscribers);
}

static int add_subscriber(struct longpin_subscriber *fresh, struct longpin_audience **spare)
{
	lockdep_assert_held(&changing_lock);

	if (find_socket(fresh->sk, fresh->portid))
		return -EBUSY;
	if (!fresh->reader.sees_all) {
		if (!can_pay(&fresh->user) || !can_pay(&fresh->owner))
			return -EDQUOT;
		hash_add(payers, &fresh->user.node, payer_key(&fresh->user));
		if (!same_payer(&fresh->user, &fresh->owner))
			hash_add(payers, &fresh->owner.node, payer_key(&fresh->owner));
	}
	hash_add_rcu(sockets, &fresh->in_sockets, socket_key(sock_net(fresh->sk), fresh->portid));
	if (fresh->reader.sees_all || uid_valid(fresh->reader.uid))
		join_audience(fresh, spare);
	WRITE_ONCE(count, count + 1);
	return 0;
}

static void remove_subscriber(struct longpin_subscriber *subscriber)
{
	struct longpin_audience *audience = subscriber->audience;

	lockdep_assert_held(&changing_lock);

	WRITE_ONCE(count, count - 1);
	hash_del_rcu(&subscriber->in_sockets);
	hash_del(&subscriber->user.node);
	hash_del(&subscriber->owner.node);
	if (!audience)
		return;
	list_del_rcu(&subscriber->in_audience);
	if (audience != &longpin_everybody && list_empty(&audience->subscribers)) {
		hash_del_rcu(&audience->node);
		subscriber->frees_audience = true;
	}
}

static void free_later(struct longpin_subscriber *subscriber)
{
	llist_add(&subscriber->ended, &ended);
	queue_work(queue, &free_work);
}

/**
 * longpin_subscribe - send events to a socket of the current process, until it is closed or
 *	longpin_unsubscribe()
 * @sk: the socket
 * @portid: its address
 * @reader: who asks; taken over, whatever is returned
 * @wanted: what to send
 *
 * Return: 0; -EBUSY when the socket has subscribed already; -EDQUOT when there are too many
 * subscriptions; -ENOMEM.
 */
int longpin_subscribe(struct sock *sk, u32 portid, const struct longpin_reader *reader,
		      const struct longpin_process_filter *wanted)
{
	struct longpin_subscriber *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	bool may_need_one = !reader->sees_all && uid_valid(reader->uid);
	struct longpin_reader unused = *reader;
	struct longpin_audience *spare = NULL;
	int err;

	/* Not under the lock: memory that is charged can be long in coming. */
	if (may_need_one)
		spare = kvzalloc(sizeof(*spare), GFP_KERNEL_ACCOUNT);
	if (!fresh || (may_need_one && !spare)) {
		kvfree(spare);
		kfree(fresh);
		longpin_reader_exit(&unused);
		return -ENOMEM;
	}
	if (spare)
		init_audience(spare, reader->uid);
	sock_hold(sk);
	fresh->sk = sk;
	fresh->portid = portid;
	fresh->reader = *reader;
	fresh->wanted = *wanted;
	set_payers(fresh);
	mutex_init(&fresh->lock);

	mutex_lock(&changing_lock);
	err = add_subscriber(fresh, &spare);
	mutex_unlock(&changing_lock);

	if (spare)
		free_audience(spare);
	if (err)
		free_subscriber(fresh);
	return err;
}

/**
 * longpin_unsubscribe - send nothing more to a socket
 * @sk: the socket
 * @portid: its address
 *
 * Return: 0; -ENOENT when it has not subscribed.
 */
int longpin_unsubscribe(struct sock *sk, u32 portid)
{
	struct longpin_subscriber *subscriber;

	mutex_lock(&changing_lock);
	subscriber = find_socket(sk, portid);
	if (subscriber)
		remove_subscriber(subscriber);
	mutex_unlock(&changing_lock);
	if (!subscriber)
		return -ENOENT;

	/* Somebody may be about to send. */
	mutex_lock(&subscriber->lock);
	subscriber->over = true;
	mutex_unlock(&subscriber->lock);
	free_later(subscriber);
	return 0;
}

/* The subscriber whose socket was closed, in a section or under the lock. */
static struct longpin_subscriber *find_closed(const struct netlink_notify *closed)
{
	struct hlist_head *bucket =
		&sockets[hash_min(socket_key(closed->net, closed->portid), HASH_BITS(sockets))];
	struct longpin_subscriber *subscriber;

	hlist_for_each_entry_srcu(subscriber, bucket, in_sockets,
				  longpin_subscribers_locked() || lockdep_is_held(&changing_lock)) {
		if (is_socket(subscriber, closed->net, closed->portid) &&
		    sock_flag(subscriber->sk, SOCK_DEAD))
			return subscriber;
	}
	return NULL;
}

static int socket_closed(struct notifier_block *block, unsigned long state, void *data)
{
	const struct netlink_notify *closed = data;
	struct longpin_subscriber *subscriber;
	int section;

	if (state != NETLINK_URELEASE || closed->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;

	section = longpin_subscribers_lock();
	subscriber = find_closed(closed);
	longpin_subscribers_unlock(section);
	if (!subscriber)
		return NOTIFY_DONE;

	mutex_lock(&changing_lock);
	subscriber = find_closed(closed);
	if (subscriber)
		remove_subscriber(subscriber);
	mutex_unlock(&changing_lock);
	if (subscriber)
		free_later(subscriber);
	return NOTIFY_DONE;
}

static struct notifier_block socket_notifier = {
	.notifier_call = socket_closed,
};

/**
 * longpin_subscribers_init - begin to notice sockets that are closed
 * @send: sends what is pending for an audience, whose work it is given
 *
 * Return: 0, or an errno.
 */
int longpin_subscribers_init(work_func_t send)
{
	int err;

	send_pending = send;
	init_audience(&longpin_everybody, INVALID_UID);
	/*
	 * Not one of the system's: there is always more to send where leases are revoked all the
	 * time.
	 */
	queue = alloc_workqueue("longpin", WQ_UNBOUND, 0);
	if (!queue)
		return -ENOMEM;
	err = init_srcu_struct(&reading);
	if (err)
		goto out_queue;
	err = netlink_register_notifier(&socket_notifier);
	if (err)
		goto out_srcu;
	return 0;

out_srcu:
	cleanup_srcu_struct(&reading);
out_queue:
	destroy_workqueue(queue);
	return err;
}

static void flush_audience(struct longpin_audience *audience)
{
	do
		flush_work(&audience->work);
	while (READ_ONCE(audience->count));
}

/**
 * longpin_subscribers_flush - wait until all that is pending was sent
 *
 * Nothing more happens.
 */
void longpin_subscribers_flush(void)
{
	struct longpin_audience *audience;
	int bucket;

	mutex_lock(&changing_lock);
	flush_audience(&longpin_everybody);
	hash_for_each(audiences, bucket, audience, node)
		flush_audience(audience);
	mutex_unlock(&changing_lock);
}

/**
 * longpin_subscribers_exit - forget all subscribers
 *
 * No events are sent and nobody can subscribe any more.
 */
void longpin_subscribers_exit(void)
{
	struct longpin_subscriber *subscriber;
	struct hlist_node *next;
	int bucket;

	netlink_unregister_notifier(&socket_notifier);
	mutex_lock(&changing_lock);
	hash_for_each_safe(sockets, bucket, next, subscriber, in_sockets) {
		remove_subscriber(subscriber);
		free_later(subscriber);
	}
	mutex_unlock(&changing_lock);
	destroy_workqueue(queue); /* which frees them before */
	cleanup_srcu_struct(&reading);
}
