// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contexts, and the registry in which netlink finds them by their ids. Like handles, ids go
 * round.
 *
 * A context leaves the registry after its last pin, so whatever is held can be found. Who finds
 * a context gets a reference, and takes no other lock while the registry's is held: open() and
 * close() must not wait for somebody else's.
 */
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "context.h"

static DEFINE_MUTEX(contexts_lock);  /* a leaf, for those below */
static DEFINE_IDR(contexts);	     /* struct longpin_context by id */
static unsigned long contexts_count; /* in it */
static int contexts_highest;	     /* id that was ever given out; protected by the same */

static void free_context(struct kref *ref)
{
	struct longpin_context *context = container_of(ref, struct longpin_context, ref);

	longpin_event_queue_destroy(&context->events);
	longpin_table_destroy(&context->pins);
	longpin_process_forget(&context->opener);
	kfree(context);
}

/**
 * longpin_context_open - make a context for the current process, and register it
 *
 * Return: the context, or an ERR_PTR: -ENOMEM.
 */
struct longpin_context *longpin_context_open(void)
{
	struct longpin_context *context = kzalloc(sizeof(*context), GFP_KERNEL_ACCOUNT);

	if (!context)
		return ERR_PTR(-ENOMEM);
	kref_init(&context->ref);
	longpin_table_init(&context->pins);
	longpin_event_queue_init(&context->events);
	longpin_process_note(&context->opener);
	context->opened = ktime_to_ns(ktime_get_boottime());

	mutex_lock(&contexts_lock);
	/*
	 * Not charged to the caller's memory cgroup: reclaim in one that is full would keep
	 * everybody waiting. The last number is left out, so that a walk can always step behind
	 * what it saw.
	 */
	context->id = idr_alloc_cyclic(&contexts, context, 1, INT_MAX, GFP_KERNEL);
	if (context->id > 0) {
		contexts_count++;
		WRITE_ONCE(contexts_highest, max(contexts_highest, context->id));
	}
	mutex_unlock(&contexts_lock);
	if (context->id > 0)
		return context;

	longpin_context_put(context);
	return ERR_PTR(-ENOMEM);
}

/**
 * longpin_context_close - end every pin of a context, and the context
 * @context: its file is gone
 */
void longpin_context_close(struct longpin_context *context)
{
	longpin_table_end_pins(&context->pins);

	mutex_lock(&contexts_lock);
	idr_remove(&contexts, context->id);
	contexts_count--;
	mutex_unlock(&contexts_lock);

	longpin_context_put(context);
}

/**
 * longpin_context_find - find a context
 * @id: any number, as it came from the user
 *
 * Return: the context with a reference for the caller, or NULL.
 */
struct longpin_context *longpin_context_find(u32 id)
{
	struct longpin_context *context;

	mutex_lock(&contexts_lock);
	context = idr_find(&contexts, id);
	if (context)
		kref_get(&context->ref);
	mutex_unlock(&contexts_lock);
	return context;
}

/**
 * longpin_context_next - find the first context from an id on
 * @id: where to start, not negative; set to the id of what was found
 * @last: the last one to look at
 *
 * Return: the context with a reference for the caller, or NULL.
 */
struct longpin_context *longpin_context_next(int *id, int last)
{
	struct longpin_context *context;

	mutex_lock(&contexts_lock);
	context = idr_get_next(&contexts, id);
	if (context && *id > last)
		context = NULL;
	if (context)
		kref_get(&context->ref);
	mutex_unlock(&contexts_lock);
	return context;
}

/**
 * longpin_context_get - take a reference
 * @context: the context
 */
void longpin_context_get(struct longpin_context *context)
{
	kref_get(&context->ref);
}

/**
 * longpin_context_put - drop a reference
 * @context: the context
 */
void longpin_context_put(struct longpin_context *context)
{
	kref_put(&context->ref, free_context);
}

/**
 * longpin_contexts_count - how many contexts there are
 *
 * Return: the number.
 */
unsigned long longpin_contexts_count(void)
{
	return READ_ONCE(contexts_count);
}

/**
 * longpin_contexts_highest - where a walk may end
 *
 * Return: an id that no context has passed so far.
 */
int longpin_contexts_highest(void)
{
	return READ_ONCE(contexts_highest);
}
