// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who may see what over netlink.
 *
 * A socket can be handed on, or be the standard output of a set-uid program that its user made
 * write a request. So what counts is what both may see: the process that sends the request, and the
 * one that opened the socket.
 *
 * A reader who isn't privileged sees of other processes what /proc/PID/maps shows, or less: what is
 * asked is what ptrace_may_access() asks, which is not for modules, but for capabilities in user
 * namespaces and for security modules. Nor does a process that isn't dumpable see itself: the
 * answer could go to another one that has the socket, too.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/pid_namespace.h>
#include <linux/user_namespace.h>
#include <net/sock.h>

#include "kernel_compat.h"
#include "process.h"
#include "reader.h"

/**
 * longpin_reader_init - note who asks
 * @reader: filled; given back by longpin_reader_exit()
 * @request: what the current process has just sent
 */
void longpin_reader_init(struct longpin_reader *reader, struct sk_buff *request)
{
	const struct file *socket = NETLINK_CB(request).sk->sk_socket->file;
	const struct cred *opener = socket->f_cred, *cred = current_cred();
	bool same = longpin_has_one_identity(opener) && longpin_has_one_identity(cred) &&
		    uid_eq(opener->uid, cred->uid) && gid_eq(opener->gid, cred->gid);

	reader->pid_ns = get_pid_ns(task_active_pid_ns(current));
	reader->user_ns = get_user_ns(current_user_ns());
	reader->uid = same ? cred->uid : INVALID_UID;
	reader->gid = cred->gid;
	/*
	 * Not netlink_capable(): that doesn't ask about the opener if the message has an address.
	 * The first question leaves no audit record, since every reader is asked.
	 */
	reader->sees_all = longpin_capable(CAP_SYS_ADMIN) &&
			   file_ns_capable(socket, &init_user_ns, CAP_SYS_ADMIN);
}

/**
 * longpin_reader_exit - give back what longpin_reader_init() took
 * @reader: the reader
 */
void longpin_reader_exit(struct longpin_reader *reader)
{
	put_pid_ns(reader->pid_ns);
	put_user_ns(reader->user_ns);
}

/**
 * longpin_reader_sees - may the reader see what a process did?
 * @reader: the reader
 * @process: the process that opened a context, made a pin or asked for one
 *
 * As in /proc, processes outside of the reader's pid namespace are none of its business, even if
 * they are of the same user: so root in a container does not see what root outside does.
 *
 * Return: whether it may.
 */
bool longpin_reader_sees(const struct longpin_reader *reader, const struct longpin_process *process)
{
	if (reader->sees_all)
		return true;
	return uid_valid(reader->uid) && uid_eq(reader->uid, process->owner) &&
	       gid_eq(reader->gid, process->group) && longpin_process_dumpable(process) &&
	       longpin_reader_pid(reader, process);
}

/**
 * longpin_reader_sees_sums - may the reader see what all users do together?
 * @reader: the reader
 *
 * That is about the machine, and so not for every container.
 *
 * Return: whether it may.
 */
bool longpin_reader_sees_sums(const struct longpin_reader *reader)
{
	return reader->sees_all ||
	       (reader->pid_ns == &init_pid_ns && reader->user_ns == &init_user_ns);
}

/**
 * longpin_reader_wants - does what a process did pass the reader's filter?
 * @reader: the reader
 * @filter: what it wants to see
 * @process: the process
 *
 * Return: whether it does, and the reader may see it.
 */
bool longpin_reader_wants(const struct longpin_reader *reader,
			  const struct longpin_process_filter *filter,
			  const struct longpin_process *process)
{
	if (filter->by_uid && !uid_eq(filter->uid, process->uid))
		return false;
	if (filter->pid && filter->pid != longpin_reader_pid(reader, process))
		return false;
	return longpin_reader_sees(reader, process);
}

/**
 * longpin_reader_pid - the pid of a process in the reader's terms
 * @reader: the reader
 * @process: the process
 *
 * Return: the pid; 0 if the reader's namespace doesn't have the process.
 */
u32 longpin_reader_pid(const struct longpin_reader *reader, const struct longpin_process *process)
{
	return pid_nr_ns(process->pid, reader->pid_ns);
}

/**
 * longpin_reader_uid - the uid of a process in the reader's terms
 * @reader: the reader
 * @process: the process
 *
 * Return: the uid; the overflow uid if the reader's namespace doesn't have it.
 */
u32 longpin_reader_uid(const struct longpin_reader *reader, const struct longpin_process *process)
{
	return from_kuid_munged(reader->user_ns, process->uid);
}
