/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The generic netlink family "longpin": who pinned which memory.
 *
 * netlink/longpin.yaml, beside this folder, is the reference: what each command and attribute
 * means, its unit, and who may see it. The numbers here are those of that file; a test
 * compares the two with each other and with the running module.
 *
 * Versioning: numbers never change their meaning. Commands and attributes are added at the end,
 * and a reader passes over what it doesn't know.
 */
#ifndef _UAPI_LINUX_LONGPIN_NETLINK_H
#define _UAPI_LINUX_LONGPIN_NETLINK_H

#define LONGPIN_FAMILY_NAME	"longpin"
#define LONGPIN_FAMILY_VERSION	1

/* Commands */
#define LONGPIN_CMD_CONTEXT_GET		1
#define LONGPIN_CMD_PIN_GET		2
#define LONGPIN_CMD_STATS_GET		3
#define LONGPIN_CMD_SUBSCRIBE		4
#define LONGPIN_CMD_PINNED_NTF		5
#define LONGPIN_CMD_UNPINNED_NTF	6
#define LONGPIN_CMD_REFUSED_NTF		7
#define LONGPIN_CMD_REVOKED_NTF		8
#define LONGPIN_CMD_REPINNED_NTF	9
#define LONGPIN_CMD_UNSUBSCRIBE		10
#define LONGPIN_CMD_MAX			10

/* Attribute set "context": an open file of /dev/longpin */
#define LONGPIN_A_CONTEXT_ID		1
#define LONGPIN_A_CONTEXT_PID		2
#define LONGPIN_A_CONTEXT_COMM		3
#define LONGPIN_A_CONTEXT_UID		4
#define LONGPIN_A_CONTEXT_AGE		5
#define LONGPIN_A_CONTEXT_PINS		6
#define LONGPIN_A_CONTEXT_PAGES		7
#define LONGPIN_A_CONTEXT_ORPHANED	8
#define LONGPIN_A_CONTEXT_PAD		9
#define LONGPIN_A_CONTEXT_MAX		9

/* Attribute set "pin": a pin, or what happened to it */
#define LONGPIN_A_PIN_CONTEXT		1
#define LONGPIN_A_PIN_HANDLE		2
#define LONGPIN_A_PIN_PID		3
#define LONGPIN_A_PIN_COMM		4
#define LONGPIN_A_PIN_UID		5
#define LONGPIN_A_PIN_ADDR		6
#define LONGPIN_A_PIN_LENGTH		7
#define LONGPIN_A_PIN_PAGES		8
#define LONGPIN_A_PIN_RUNS		9
#define LONGPIN_A_PIN_BOOKKEEPING	10
#define LONGPIN_A_PIN_KINDS		11
#define LONGPIN_A_PIN_FLAGS		12
#define LONGPIN_A_PIN_COOKIE		13
#define LONGPIN_A_PIN_AGE		14
#define LONGPIN_A_PIN_ORPHANED		15
#define LONGPIN_A_PIN_FILE		16
#define LONGPIN_A_PIN_TIME		17
#define LONGPIN_A_PIN_CAUSE		18
#define LONGPIN_A_PIN_REFUSAL		19
#define LONGPIN_A_PIN_PAD		20
#define LONGPIN_A_PIN_STATE		21
#define LONGPIN_A_PIN_REVOKED_PAGES	22
#define LONGPIN_A_PIN_GRACE		23
#define LONGPIN_A_PIN_CHANGED_OFFSET	24
#define LONGPIN_A_PIN_CHANGED_LENGTH	25
#define LONGPIN_A_PIN_SEQUENCE		26
#define LONGPIN_A_PIN_MAX		26

/* Attribute set "file", in LONGPIN_A_PIN_FILE */
#define LONGPIN_A_FILE_PATH		1
#define LONGPIN_A_FILE_MAJOR		2
#define LONGPIN_A_FILE_MINOR		3
#define LONGPIN_A_FILE_INODE		4
#define LONGPIN_A_FILE_OFFSET		5
#define LONGPIN_A_FILE_PAD		6
#define LONGPIN_A_FILE_MAX		6

/* Attribute set "stats" */
#define LONGPIN_A_STATS_CONTEXTS	1
#define LONGPIN_A_STATS_PINS		2
#define LONGPIN_A_STATS_PAGES		3
#define LONGPIN_A_STATS_RUNS		4
#define LONGPIN_A_STATS_BOOKKEEPING	5
#define LONGPIN_A_STATS_PEAK_PAGES	6
#define LONGPIN_A_STATS_PINS_MADE	7
#define LONGPIN_A_STATS_PAGES_TAKEN	8
#define LONGPIN_A_STATS_PINNING_TIME	9
#define LONGPIN_A_STATS_DRY_RUNS	10
#define LONGPIN_A_STATS_REFUSED		11
#define LONGPIN_A_STATS_PAD		12
#define LONGPIN_A_STATS_REVOCATIONS	13
#define LONGPIN_A_STATS_PAGES_REVOKED	14
#define LONGPIN_A_STATS_REPINS		15
#define LONGPIN_A_STATS_MAX		15

/* Attribute set "refused-count", in LONGPIN_A_STATS_REFUSED */
#define LONGPIN_A_REFUSED_COUNT_REASON	1
#define LONGPIN_A_REFUSED_COUNT_COUNT	2
#define LONGPIN_A_REFUSED_COUNT_PAD	3
#define LONGPIN_A_REFUSED_COUNT_MAX	3

/* Attribute set "refusal", in LONGPIN_A_PIN_REFUSAL */
#define LONGPIN_A_REFUSAL_ERROR		1
#define LONGPIN_A_REFUSAL_REASON	2
#define LONGPIN_A_REFUSAL_BAD_ADDR	3
#define LONGPIN_A_REFUSAL_LIMIT		4
#define LONGPIN_A_REFUSAL_USED		5
#define LONGPIN_A_REFUSAL_ASKED		6
#define LONGPIN_A_REFUSAL_PAD		7
#define LONGPIN_A_REFUSAL_MAX		7

/* Values of LONGPIN_A_PIN_STATE */
#define LONGPIN_STATE_HELD		1
#define LONGPIN_STATE_PARTLY_REVOKED	2
#define LONGPIN_STATE_REVOKED		3

#endif /* _UAPI_LINUX_LONGPIN_NETLINK_H */
