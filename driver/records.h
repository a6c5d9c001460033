/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_RECORDS_H
#define LONGPIN_RECORDS_H

struct longpin_context;
struct longpin_pin;
struct longpin_process;
struct longpin_reader;
struct longpin_refusal;
struct pinned_range;
struct sk_buff;

int longpin_put_context(struct sk_buff *skb, const struct longpin_reader *reader,
			struct longpin_context *context);
int longpin_put_pin(struct sk_buff *skb, const struct longpin_reader *reader,
		    struct pinned_range *range);
int longpin_put_refused(struct sk_buff *skb, const struct longpin_reader *reader,
			const struct longpin_context *context,
			const struct longpin_process *process, const struct longpin_pin *request,
			int err, const struct longpin_refusal *why);
int longpin_put_statistics(struct sk_buff *skb);

#endif /* LONGPIN_RECORDS_H */
