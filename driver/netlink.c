// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: its commands, as uapi/netlink/longpin.yaml specifies them.
 *
 * A dump goes over many messages, and while it does pins come and go. Its place is a context id
 * and a handle, and it only ever moves on in their order: so what lives through all of it is met
 * once. What is made while it is under way is passed over, or a dump would never end where new
 * things are made as fast as they are read.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include <linux/longpin.h>
#include <linux/longpin_netlink.h>

#include "context.h"
#include "events.h"
#include "kernel_compat.h"
#include "netlink.h"
#include "pin.h"
#include "reader.h"
#include "records.h"
#include "subscribers.h"

/* Pins that are looked at while the lock of their table is held. */
#define DUMP_BATCH 1024

/*
 * All policies have one length: before 5.10 it is that of the family. A policy is for getting and
 * for dumping, which take different attributes, and before 5.10 for all commands; so the commands
 * check for themselves.
 */
#define MAXATTR LONGPIN_A_PIN_KINDS

/* Of memory, that there are. */
#define ALL_KINDS (LONGPIN_KIND_FSDAX | (LONGPIN_KIND_FSDAX - 1))

static const struct nla_policy context_policy[MAXATTR + 1] = {
	[LONGPIN_A_CONTEXT_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

static const struct nla_policy pin_policy[MAXATTR + 1] = {
	[LONGPIN_A_PIN_CONTEXT] = NLA_POLICY_MIN(NLA_U32, 1),
	[LONGPIN_A_PIN_HANDLE] = NLA_POLICY_MIN(NLA_U32, 1),
	[LONGPIN_A_PIN_PID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LONGPIN_A_PIN_UID] = { .type = NLA_U32 },
	[LONGPIN_A_PIN_KINDS] = NLA_POLICY_MASK(NLA_U32, ALL_KINDS),
};

static const struct nla_policy no_policy[MAXATTR + 1] = {};

static const struct nla_policy subscribe_policy[MAXATTR + 1] = {
	[LONGPIN_A_PIN_PID] = NLA_POLICY_MIN(NLA_U32, 1),
	[LONGPIN_A_PIN_UID] = { .type = NLA_U32 },
};

/* Attributes that a request may have, a bit each. */
#define GET_CONTEXT BIT(LONGPIN_A_CONTEXT_ID)
#define GET_PIN	    (BIT(LONGPIN_A_PIN_CONTEXT) | BIT(LONGPIN_A_PIN_HANDLE))
#define DUMP_PINS                                                                          \
	(BIT(LONGPIN_A_PIN_CONTEXT) | BIT(LONGPIN_A_PIN_HANDLE) | BIT(LONGPIN_A_PIN_PID) | \
	 BIT(LONGPIN_A_PIN_UID) | BIT(LONGPIN_A_PIN_KINDS))
#define SUBSCRIBE (BIT(LONGPIN_A_PIN_PID) | BIT(LONGPIN_A_PIN_UID))
#define NONE	  0

/* Those that may be 0. */
#define MAY_BE_ZERO BIT(LONGPIN_A_PIN_UID)

static int check_attributes(struct nlattr **attrs, unsigned long allowed,
			    struct netlink_ext_ack *extack)
{
	int type;

	for (type = 1; type <= MAXATTR; type++) {
		if (!attrs[type])
			continue;
		if (!(allowed & BIT(type))) {
			NL_SET_ERR_MSG_ATTR(extack, attrs[type],
					    "the request doesn't take this attribute");
			return -EINVAL;
		}
		if (!(MAY_BE_ZERO & BIT(type)) && !nla_get_u32(attrs[type])) {
			NL_SET_ERR_MSG_ATTR(extack, attrs[type], "integer out of range");
			return -ERANGE;
		}
		if (type == LONGPIN_A_PIN_KINDS && nla_get_u32(attrs[type]) & ~ALL_KINDS) {
			NL_SET_ERR_MSG_ATTR(extack, attrs[type], "no such kind of memory");
			return -EINVAL;
		}
	}
	return 0;
}

/* Whose pins the reader asks for, in its own terms. */
static int get_process_filter(struct nlattr **attrs, const struct longpin_reader *reader,
			      struct longpin_process_filter *filter, struct netlink_ext_ack *extack)
{
	struct nlattr *pid = attrs[LONGPIN_A_PIN_PID];
	struct nlattr *uid = attrs[LONGPIN_A_PIN_UID];

	if (pid)
		filter->pid = nla_get_u32(pid);
	if (!uid)
		return 0;
	filter->by_uid = true;
	filter->uid = make_kuid(reader->user_ns, nla_get_u32(uid));
	if (uid_valid(filter->uid))
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, uid, "no such uid in your user namespace");
	return -EINVAL;
}

/* An answer in the making, or NULL without memory. */
static struct sk_buff *start_reply(struct genl_info *info, void **header)
{
	struct sk_buff *skb = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put_reply(skb, info, &longpin_family, 0, info->genlhdr->cmd);
	if (*header)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

/* Send the answer, or drop it if there was an error. */
static int finish_reply(struct genl_info *info, struct sk_buff *skb, void *header, int err)
{
	if (err) {
		nlmsg_free(skb);
		return err;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

static int get_context(struct sk_buff *request, struct genl_info *info)
{
	struct longpin_context *context;
	struct longpin_reader reader;
	struct sk_buff *skb;
	struct nlattr *id;
	void *header;
	int err;

	err = check_attributes(info->attrs, GET_CONTEXT, info->extack);
	if (err)
		return err;
	if (longpin_attr_is_missing(info, LONGPIN_A_CONTEXT_ID)) {
		NL_SET_ERR_MSG(info->extack, "the id of a context is missing");
		return -EINVAL;
	}
	id = info->attrs[LONGPIN_A_CONTEXT_ID];
	skb = start_reply(info, &header);
	if (!skb)
		return -ENOMEM;

	err = -ENOENT;
	longpin_reader_init(&reader, request);
	context = longpin_context_find(nla_get_u32(id));
	if (context) {
		if (longpin_reader_sees(&reader, &context->opener))
			err = longpin_put_context(skb, &reader, context);
		longpin_context_put(context);
	}
	longpin_reader_exit(&reader);

	if (err == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, id, "there is no such context that you may see");
	return finish_reply(info, skb, header, err);
}

/**
 * struct pin_answer - a pin on its way into an answer
 * @skb: the answer
 * @reader: who asks
 */
struct pin_answer {
	struct sk_buff *skb;
	struct longpin_reader reader;
};

static int answer_pin(struct pinned_range *range, void *data)
{
	const struct pin_answer *answer = data;

	if (!longpin_reader_sees(&answer->reader, &range->maker))
		return -ENOENT;
	return longpin_put_pin(answer->skb, &answer->reader, range);
}

static int get_pin(struct sk_buff *request, struct genl_info *info)
{
	struct longpin_context *context;
	struct nlattr *id, *handle;
	struct pin_answer answer;
	void *header;
	int err;

	err = check_attributes(info->attrs, GET_PIN, info->extack);
	if (err)
		return err;
	if (longpin_attr_is_missing(info, LONGPIN_A_PIN_CONTEXT) ||
	    longpin_attr_is_missing(info, LONGPIN_A_PIN_HANDLE)) {
		NL_SET_ERR_MSG(info->extack, "a context and a handle are needed to name a pin");
		return -EINVAL;
	}
	id = info->attrs[LONGPIN_A_PIN_CONTEXT];
	handle = info->attrs[LONGPIN_A_PIN_HANDLE];
	answer.skb = start_reply(info, &header);
	if (!answer.skb)
		return -ENOMEM;

	err = -ENOENT;
	longpin_reader_init(&answer.reader, request);
	context = longpin_context_find(nla_get_u32(id));
	if (context) {
		err = longpin_table_visit(&context->pins, nla_get_u32(handle), answer_pin, &answer);
		longpin_context_put(context);
	}
	longpin_reader_exit(&answer.reader);

	if (err == -ENOENT)
		NL_SET_ERR_MSG_ATTR(info->extack, handle, "there is no such pin that you may see");
	return finish_reply(info, answer.skb, header, err);
}

static int get_statistics(struct sk_buff *request, struct genl_info *info)
{
	struct longpin_reader reader;
	struct sk_buff *skb;
	void *header;
	bool may_see;
	int err;

	err = check_attributes(info->attrs, NONE, info->extack);
	if (err)
		return err;
	longpin_reader_init(&reader, request);
	may_see = longpin_reader_sees_sums(&reader);
	longpin_reader_exit(&reader);
	if (!may_see) {
		NL_SET_ERR_MSG(info->extack,
			       "the statistics are for the initial pid and user namespaces");
		return -EPERM;
	}
	skb = start_reply(info, &header);
	if (!skb)
		return -ENOMEM;
	return finish_reply(info, skb, header, longpin_put_statistics(skb));
}

static int subscribe(struct sk_buff *request, struct genl_info *info)
{
	struct longpin_process_filter wanted = {};
	struct longpin_reader reader;
	int err;

	err = check_attributes(info->attrs, SUBSCRIBE, info->extack);
	if (err)
		return err;
	longpin_reader_init(&reader, request);
	err = get_process_filter(info->attrs, &reader, &wanted, info->extack);
	if (err) {
		longpin_reader_exit(&reader);
		return err;
	}
	err = longpin_subscribe(NETLINK_CB(request).sk, info->snd_portid, &reader, &wanted);
	if (err == -EBUSY)
		NL_SET_ERR_MSG(info->extack, "this socket has subscribed already");
	if (err == -EDQUOT)
		NL_SET_ERR_MSG(info->extack, "this user has too many subscriptions");
	return err;
}

static int unsubscribe(struct sk_buff *request, struct genl_info *info)
{
	int err = check_attributes(info->attrs, NONE, info->extack);

	if (err)
		return err;
	err = longpin_unsubscribe(NETLINK_CB(request).sk, info->snd_portid);
	if (err == -ENOENT)
		NL_SET_ERR_MSG(info->extack, "this socket has not subscribed");
	return err;
}

/**
 * struct dump - a dump under way
 * @reader: who asks
 * @started: when, by CLOCK_BOOTTIME, in nanoseconds
 * @last: id of the context to end with: those that are opened meanwhile come after it, and there
 *	may be no end of them
 * @context: id of the context to go on with
 * @handle: the pin in it to go on with
 * @only_handle: 0, or the only handle to list
 * @processes: whose pins to list
 * @kinds: 0, or the LONGPIN_KIND_* any of which has to be there
 * @skb: the message that is being filled
 * @cb: netlink's state of the dump
 * @left: pins to be looked at before the lock is dropped for a moment
 */
struct dump {
	struct longpin_reader reader;
	u64 started;
	int last;
	int context;
	int handle;
	u32 only_handle;
	struct longpin_process_filter processes;
	u32 kinds;
	struct sk_buff *skb;
	struct netlink_callback *cb;
	unsigned int left;
};

/* The dump's state is our own, as what netlink keeps for us has no room for it. */
static struct dump *dump_of(struct netlink_callback *cb)
{
	return (struct dump *)cb->args[0];
}

static int start_dump(struct netlink_callback *cb)
{
	struct dump *dump;

	/*
	 * A dump goes on when the family is gone, and keeps the module; but a module whose load
	 * fails goes without asking. There is nothing to tell of yet.
	 */
	if (THIS_MODULE->state == MODULE_STATE_COMING)
		return -ENODEV;
	dump = kzalloc(sizeof(*dump), GFP_KERNEL_ACCOUNT);
	if (!dump)
		return -ENOMEM;
	longpin_reader_init(&dump->reader, cb->skb);
	dump->started = ktime_to_ns(ktime_get_boottime());
	dump->last = longpin_contexts_highest();
	dump->cb = cb;
	cb->args[0] = (long)dump;
	return 0;
}

static int end_dump(struct netlink_callback *cb)
{
	struct dump *dump = dump_of(cb);

	longpin_reader_exit(&dump->reader);
	kfree(dump);
	return 0;
}

static int start_context_dump(struct netlink_callback *cb)
{
	struct netlink_ext_ack *extack = longpin_dump_extack(cb);
	struct nlattr *attrs[MAXATTR + 1];
	int err;

	err = genlmsg_parse(cb->nlh, &longpin_family, attrs, MAXATTR, context_policy, extack);
	if (!err)
		err = check_attributes(attrs, NONE, extack);
	if (err)
		return err;
	return start_dump(cb);
}

static int get_filters(struct dump *dump, struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	u32 context = 0;

	if (attrs[LONGPIN_A_PIN_CONTEXT])
		context = nla_get_u32(attrs[LONGPIN_A_PIN_CONTEXT]);
	if (context) { /* others aren't even looked at */
		dump->context = min_t(u32, context, INT_MAX);
		dump->last = dump->context;
	}
	if (attrs[LONGPIN_A_PIN_HANDLE])
		dump->only_handle = nla_get_u32(attrs[LONGPIN_A_PIN_HANDLE]);
	if (attrs[LONGPIN_A_PIN_KINDS])
		dump->kinds = nla_get_u32(attrs[LONGPIN_A_PIN_KINDS]);
	return get_process_filter(attrs, &dump->reader, &dump->processes, extack);
}

static int start_pin_dump(struct netlink_callback *cb)
{
	struct netlink_ext_ack *extack = longpin_dump_extack(cb);
	struct nlattr *attrs[MAXATTR + 1];
	int err;

	err = genlmsg_parse(cb->nlh, &longpin_family, attrs, MAXATTR, pin_policy, extack);
	if (!err)
		err = check_attributes(attrs, DUMP_PINS, extack);
	if (!err)
		err = start_dump(cb);
	if (err)
		return err;
	err = get_filters(dump_of(cb), attrs, extack);
	if (err)
		end_dump(cb);
	return err;
}

static void *start_record(struct dump *dump, u8 cmd)
{
	const struct netlink_callback *cb = dump->cb;

	return genlmsg_put(dump->skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			   &longpin_family, NLM_F_MULTI, cmd);
}

/* The record goes into the message as a whole, or not at all. */
static int finish_record(struct dump *dump, void *header, int err)
{
	if (err)
		genlmsg_cancel(dump->skb, header);
	else
		genlmsg_end(dump->skb, header);
	return err;
}

static int dump_context(struct dump *dump, struct longpin_context *context)
{
	void *header;

	if (!longpin_reader_sees(&dump->reader, &context->opener))
		return 0;
	header = start_record(dump, LONGPIN_CMD_CONTEXT_GET);
	if (!header)
		return -EMSGSIZE;
	return finish_record(dump, header, longpin_put_context(dump->skb, &dump->reader, context));
}

static bool matches(const struct dump *dump, const struct pinned_range *range)
{
	if (range->made > dump->started)
		return false;
	if (dump->only_handle && dump->only_handle != range->handle)
		return false;
	if (dump->kinds && !(dump->kinds & READ_ONCE(range->kinds)))
		return false;
	return longpin_reader_wants(&dump->reader, &dump->processes, &range->maker);
}

static int dump_pin(struct pinned_range *range, void *data)
{
	struct dump *dump = data;
	void *header;

	if (!dump->left)
		return -EAGAIN;
	dump->left--;
	if (!matches(dump, range))
		return 0;
	header = start_record(dump, LONGPIN_CMD_PIN_GET);
	if (!header)
		return -EMSGSIZE;
	return finish_record(dump, header, longpin_put_pin(dump->skb, &dump->reader, range));
}

static int dump_pins(struct dump *dump, struct longpin_context *context)
{
	dump->left = DUMP_BATCH;
	return longpin_table_walk(&context->pins, &dump->handle, dump_pin, dump);
}

/*
 * Go on with a dump: a message full. Returns 0 at the end of the dump, and else more, as netlink
 * wants to have it.
 */
static int go_on(struct sk_buff *skb, struct netlink_callback *cb,
		 int (*one)(struct dump *dump, struct longpin_context *context))
{
	struct dump *dump = dump_of(cb);
	struct longpin_context *context;
	int id = dump->context;
	int err;

	dump->skb = skb;
	for (err = 0; (context = longpin_context_next(&id, dump->last)); err = 0) {
		if (id != dump->context) {
			dump->context = id;
			dump->handle = 0;
		}
		err = context->opened <= dump->started ? one(dump, context) : 0;
		longpin_context_put(context);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		if (err == -EAGAIN) /* there is more in this context */
			continue;
		if (err)
			break;
		dump->context = ++id;
		dump->handle = 0;
	}

	if (err == -EMSGSIZE && !skb->len) /* not even one record has room */
		return err;
	return err && err != -EMSGSIZE ? err : skb->len;
}

static int dump_contexts(struct sk_buff *skb, struct netlink_callback *cb)
{
	return go_on(skb, cb, dump_context);
}

static int dump_all_pins(struct sk_buff *skb, struct netlink_callback *cb)
{
	return go_on(skb, cb, dump_pins);
}

static const struct genl_ops ops[] = {
	{
		LONGPIN_GENL_OP(LONGPIN_CMD_CONTEXT_GET, context_policy, MAXATTR),
		.doit = get_context,
		.start = start_context_dump,
		.dumpit = dump_contexts,
		.done = end_dump,
	},
	{
		LONGPIN_GENL_OP(LONGPIN_CMD_PIN_GET, pin_policy, MAXATTR),
		.doit = get_pin,
		.start = start_pin_dump,
		.dumpit = dump_all_pins,
		.done = end_dump,
	},
	{
		LONGPIN_GENL_OP(LONGPIN_CMD_STATS_GET, no_policy, MAXATTR),
		.doit = get_statistics,
	},
	{
		LONGPIN_GENL_OP(LONGPIN_CMD_SUBSCRIBE, subscribe_policy, MAXATTR),
		.doit = subscribe,
	},
	{
		LONGPIN_GENL_OP(LONGPIN_CMD_UNSUBSCRIBE, no_policy, MAXATTR),
		.doit = unsubscribe,
	},
};

struct genl_family longpin_family __ro_after_init = {
	.name = LONGPIN_FAMILY_NAME,
	.version = LONGPIN_FAMILY_VERSION,
	LONGPIN_GENL_FAMILY(pin_policy, MAXATTR),
	.netnsok = true,
	.parallel_ops = true,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.module = THIS_MODULE,
};

/**
 * longpin_netlink_init - register the family
 *
 * Return: 0, or an errno.
 */
int __init longpin_netlink_init(void)
{
	int err = longpin_events_init();

	if (err)
		return err;
	err = genl_register_family(&longpin_family);
	if (err)
		longpin_events_exit();
	return err;
}

/**
 * longpin_netlink_exit - unregister the family
 */
void longpin_netlink_exit(void)
{
	longpin_events_finish();
	genl_unregister_family(&longpin_family);
	longpin_events_exit();
}
