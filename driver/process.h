/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_PROCESS_H
#define LONGPIN_PROCESS_H

#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct pid;

/**
 * struct longpin_process - a process, as it was when it opened a context or made a pin
 * @pid: its pid in every namespace; a reference is held, so the number isn't another's as
 *	long as the process is there
 * @uid: its real uid, whose user is charged
 * @owner: the user who may see what it does: @uid, but nobody for a set-uid program, as in /proc
 * @comm: its name
 *
 * Kept when the process is gone.
 */
struct longpin_process {
	struct pid *pid;
	kuid_t uid;
	kuid_t owner;
	char comm[TASK_COMM_LEN];
};

void longpin_process_note(struct longpin_process *process);
void longpin_process_forget(struct longpin_process *process);
bool longpin_process_gone(const struct longpin_process *process);

#endif /* LONGPIN_PROCESS_H */
