// SPDX-License-Identifier: MIT
// Speaks to the module by the C that the kernel's ynl made of the specification: subscribes and
// unsubscribes, and prints the pins and how many the statistics know.
#include "longpin-user.h"

#include <stdio.h>
#include <ynl.h>

static int complain(const char *what, const struct ynl_sock *socket)
{
	fprintf(stderr, "ynl-dump: %s: %s\n", what, socket->err.msg);
	return 1;
}

int main(void)
{
	struct longpin_subscribe_req *everything = longpin_subscribe_req_alloc();
	struct longpin_pin_get_req_dump *all = longpin_pin_get_req_dump_alloc();
	struct longpin_stats_get_rsp *sums;
	struct longpin_pin_get_list *pins;
	struct ynl_error failure;
	struct ynl_sock *socket = ynl_sock_create(&ynl_longpin_family, &failure);

	if (!socket) {
		fprintf(stderr, "ynl-dump: %s\n", failure.msg);
		return 1;
	}
	if (longpin_subscribe(socket, everything))
		return complain("subscribe", socket);
	if (longpin_unsubscribe(socket))
		return complain("unsubscribe", socket);
	longpin_pin_get_req_dump_set_kinds(all, LONGPIN_KIND_ANON | LONGPIN_KIND_SHMEM);
	pins = longpin_pin_get_dump(socket, all);
	if (!pins)
		return complain("pin-get", socket);
	ynl_dump_foreach(pins, pin) {
		printf("%s %llu bytes, %s", (const char *)pin->comm,
		       (unsigned long long)pin->length, longpin_pin_state_str(pin->state));
		if (pin->_present.file)
			printf(", %s", (const char *)pin->file.path);
		printf("\n");
	}
	sums = longpin_stats_get(socket);
	if (!sums)
		return complain("stats-get", socket);
	printf("%llu pins\n", (unsigned long long)sums->pins);
	longpin_stats_get_rsp_free(sums);
	longpin_pin_get_list_free(pins);
	longpin_pin_get_req_dump_free(all);
	longpin_subscribe_req_free(everything);
	ynl_sock_destroy(socket);
	return 0;
}
