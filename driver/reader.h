/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LONGPIN_READER_H
#define LONGPIN_READER_H

#include <linux/types.h>
#include <linux/uidgid.h>

struct longpin_process;
struct pid_namespace;
struct sk_buff;
struct user_namespace;

/**
 * struct longpin_reader - who asks over netlink, and in whose terms to answer
 * @pid_ns: pids are those of this namespace; a reference is held
 * @user_ns: uids are those of this namespace; a reference is held
 * @uid: the reader sees what this user's processes do, if they are in its pid namespace, and have
 * @gid: this group
 * @sees_all: ... or everything
 */
struct longpin_reader {
	struct pid_namespace *pid_ns;
	struct user_namespace *user_ns;
	kuid_t uid;
	kgid_t gid;
	bool sees_all;
};

/**
 * struct longpin_process_filter - what a reader wants to see of what it may see
 * @pid: only what the process of this pid does, in the reader's terms; 0 for any
 * @by_uid: only what @uid's processes do
 * @uid: the user
 */
struct longpin_process_filter {
	u32 pid;
	bool by_uid;
	kuid_t uid;
};

void longpin_reader_init(struct longpin_reader *reader, struct sk_buff *request);
void longpin_reader_exit(struct longpin_reader *reader);

bool longpin_reader_sees(const struct longpin_reader *reader,
			 const struct longpin_process *process);
bool longpin_reader_wants(const struct longpin_reader *reader,
			  const struct longpin_process_filter *filter,
			  const struct longpin_process *process);
bool longpin_reader_sees_sums(const struct longpin_reader *reader);
u32 longpin_reader_pid(const struct longpin_reader *reader, const struct longpin_process *process);
u32 longpin_reader_uid(const struct longpin_reader *reader, const struct longpin_process *process);

#endif /* LONGPIN_READER_H */
