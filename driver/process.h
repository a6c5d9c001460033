/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PROCESS_H
#define LONGPIN_PROCESS_H

#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct cred;
struct mm_struct;
struct pid;

/**
 * struct longpin_process - a process, as it was when it opened a context or made a pin
 * @pid: its pid in every namespace; a reference is held, so the number isn't another's as
 *	long as the process is there
 * @uid: its real uid, whose user is charged
 * @owner: the user who may see what it does: @uid, but nobody for a set-uid or set-gid program, as
 *	in /proc
 * @group: and that user only with this group as its own
 * @mm: whether it is dumpable stands there, and counts too. A reference on the struct is held, not
 *	on the address space, which may be gone; so once the process is, what counts is what was so
 *	last
 * @comm: its name
 *
 * Kept when the process is gone.
 */
struct longpin_process {
	struct pid *pid;
	kuid_t uid;
	kuid_t owner;
	kgid_t group;
	struct mm_struct *mm;
	char comm[TASK_COMM_LEN];
};

void longpin_process_note(struct longpin_process *process);
void longpin_process_forget(struct longpin_process *process);
bool longpin_process_gone(const struct longpin_process *process);
bool longpin_process_dumpable(const struct longpin_process *process);
bool longpin_has_one_identity(const struct cred *cred);

#endif /* LONGPIN_PROCESS_H */
