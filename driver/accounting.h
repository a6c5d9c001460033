/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_ACCOUNTING_H
#define LONGPIN_ACCOUNTING_H

#include <linux/types.h>

struct longpin_info;
struct longpin_refusal;
struct longpin_user;
struct mm_struct;

/**
 * struct longpin_charge - who pays for the pages of a pin
 * @user: the user who pays; a reference is held until longpin_charge_forget(); NULL when nothing
 *	was ever charged
 * @mm: whose pinned_vm (VmPin) counts them; a reference on the struct is held,
 *	not on the address space, which may be gone when the charge is undone
 * @pages: how many
 *
 * Release uses these and never current: the pin may end in another process.
 */
struct longpin_charge {
	struct longpin_user *user;
	struct mm_struct *mm;
	unsigned long pages;
};

int longpin_charge(struct longpin_charge *charge, unsigned long pages, struct longpin_refusal *why);
int longpin_charge_more(struct longpin_charge *charge, unsigned long pages,
			struct longpin_refusal *why);
void longpin_uncharge_to(struct longpin_charge *charge, unsigned long pages);
int longpin_charge_huge(struct longpin_charge *charge, unsigned long pfn, unsigned long pages,
			unsigned int order, struct longpin_refusal *why);
void longpin_uncharge_huge(struct longpin_charge *charge, unsigned long pfn, unsigned long pages,
			   unsigned int order);
void longpin_charge_forget(struct longpin_charge *charge);
void longpin_accounting_info(struct longpin_info *info);

#endif /* LONGPIN_ACCOUNTING_H */
