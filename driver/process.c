// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who did it: a process, remembered beyond its end.
 */
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "process.h"

/**
 * longpin_process_note - remember the current process
 * @process: filled; given back by longpin_process_forget()
 */
void longpin_process_note(struct longpin_process *process)
{
	const struct cred *cred = current_cred();

	process->pid = get_pid(task_tgid(current));
	process->uid = cred->uid;
	process->owner = longpin_has_one_identity(cred) ? cred->uid : INVALID_UID;
	process->group = cred->gid;
	process->mm = current->mm;
	if (process->mm)
		mmgrab(process->mm);
	get_task_comm(process->comm, current->group_leader);
}

/**
 * longpin_process_forget - give back what longpin_process_note() took
 * @process: the process
 */
void longpin_process_forget(struct longpin_process *process)
{
	put_pid(process->pid);
	if (process->mm)
		mmdrop(process->mm);
}

/**
 * longpin_process_gone - has the process ended?
 * @process: the process
 *
 * One whose threads have all exited has, even if nobody has waited for it yet; one that called
 * execve() has not. While a process exits it has not ended before it closed its files.
 *
 * Return: whether it has; once true, always true.
 */
bool longpin_process_gone(const struct longpin_process *process)
{
	struct task_struct *leader;
	bool gone;

	rcu_read_lock();
	leader = pid_task(process->pid, PIDTYPE_PID);
	gone = !leader || (READ_ONCE(leader->exit_state) && !atomic_read(&leader->signal->live));
	rcu_read_unlock();
	return gone;
}

/**
 * longpin_process_dumpable - may its user see into the process?
 * @process: the process
 *
 * As PR_SET_DUMPABLE says now, or said last. A process isn't dumpable either after it changed its
 * user, or executed a file that its user may not read.
 *
 * Return: whether it may.
 */
bool longpin_process_dumpable(const struct longpin_process *process)
{
	return process->mm && get_dumpable(process->mm) == SUID_DUMP_USER;
}

/**
 * longpin_has_one_identity - is all that a process does done as one user and one group?
 * @cred: its credentials
 *
 * Return: false for a set-uid or set-gid program.
 */
bool longpin_has_one_identity(const struct cred *cred)
{
	return uid_eq(cred->uid, cred->euid) && uid_eq(cred->uid, cred->suid) &&
	       uid_eq(cred->uid, cred->fsuid) && gid_eq(cred->gid, cred->egid) &&
	       gid_eq(cred->gid, cred->sgid) && gid_eq(cred->gid, cred->fsgid);
}
