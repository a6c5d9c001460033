// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contexts, and the registry in which netlink finds them by their ids. Like handles, ids go
 * round.
 *
 * A context leaves the registry before its pins end, under the lock that whoever found it
 * there holds for as long as it looks. So no references are counted.
 *
 * Lock order: contexts_lock, then the lock of a table of pins.
 */
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/ktime.h>

#include "context.h"

static DEFINE_MUTEX(contexts_lock);
static DEFINE_IDR(contexts);	     /* struct longpin_context by id; protected by contexts_lock */
static unsigned long contexts_count; /* in it */

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
	longpin_table_init(&context->pins);
	longpin_process_note(&context->opener);
	context->opened = ktime_to_ns(ktime_get_boottime());

	mutex_lock(&contexts_lock);
	/* The last number is left out, so that a walk can always step behind what it saw. */
	context->id = idr_alloc_cyclic(&contexts, context, 1, INT_MAX, GFP_KERNEL_ACCOUNT);
	if (context->id > 0)
		contexts_count++;
	mutex_unlock(&contexts_lock);
	if (context->id > 0)
		return context;

	longpin_process_forget(&context->opener);
	longpin_table_destroy(&context->pins);
	kfree(context);
	return ERR_PTR(-ENOMEM);
}

/**
 * longpin_context_close - end every pin of a context, and the context
 * @context: no longer used by anyone but netlink
 */
void longpin_context_close(struct longpin_context *context)
{
	mutex_lock(&contexts_lock);
	idr_remove(&contexts, context->id);
	contexts_count--;
	mutex_unlock(&contexts_lock);

	longpin_table_destroy(&context->pins);
	longpin_process_forget(&context->opener);
	kfree(context);
}

/**
 * longpin_contexts_lock - keep contexts from coming and going
 *
 * May sleep. Held for a short time only: open() and close() wait.
 */
void longpin_contexts_lock(void)
{
	mutex_lock(&contexts_lock);
}

/**
 * longpin_contexts_unlock - undo longpin_contexts_lock()
 */
void longpin_contexts_unlock(void)
{
	mutex_unlock(&contexts_lock);
}

/**
 * longpin_contexts_find - find a context
 * @id: any number, as it came from the user
 *
 * Return: the context, or NULL. It stays for as long as the caller holds the lock.
 */
struct longpin_context *longpin_contexts_find(u32 id)
{
	lockdep_assert_held(&contexts_lock);
	return idr_find(&contexts, id);
}

/**
 * longpin_contexts_next - find the first context from an id on
 * @id: where to start, not negative; set to the id of what was found
 *
 * Return: the context, or NULL. It stays for as long as the caller holds the lock.
 */
struct longpin_context *longpin_contexts_next(int *id)
{
	lockdep_assert_held(&contexts_lock);
	return idr_get_next(&contexts, id);
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
