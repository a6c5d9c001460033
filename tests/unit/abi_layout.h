/* SPDX-License-Identifier: MIT */
/*
 * The layout that the kernel's interface has had since it was published: it may only
 * grow at the tail. Each member's size and offset are numbers here, and each begins
 * where the one before it ends, so that there is no padding.
 */
#ifdef __cplusplus
#define MUST static_assert
#else
#define MUST _Static_assert
#endif

#define SIZE(type, size) MUST(sizeof(struct type) == (size), "size of " #type)
#define MEMBER(type, member, size, offset)                                                         \
    MUST(sizeof(((struct type*)0)->member) == (size), "size of " #type "." #member);               \
    MUST(__builtin_offsetof(struct type, member) == (offset), "offset of " #type "." #member)

/* clang-format off */

MEMBER(longpin_info, size, 4, 0);
MEMBER(longpin_info, flags, 4, 4);
MEMBER(longpin_info, out_pin_flags, 4, 8);
MEMBER(longpin_info, out_page_size, 4, 12);
MEMBER(longpin_info, out_memlock_limit, 8, 16);
MEMBER(longpin_info, out_memlock_used, 8, 24);
MEMBER(longpin_info, out_max_pages_limit, 8, 32);
MEMBER(longpin_info, out_max_pages_used, 8, 40);
MEMBER(longpin_info, out_max_pins_limit, 8, 48);
MEMBER(longpin_info, out_max_pins_used, 8, 56);
MEMBER(longpin_info, out_version, 32, 64);
MEMBER(longpin_info, out_max_user_pages_limit, 8, 96);
MEMBER(longpin_info, out_max_user_pages_used, 8, 104);
MEMBER(longpin_info, out_max_grace_ms, 4, 112);
MEMBER(longpin_info, __reserved, 4, 116);
SIZE(longpin_info, 120);

MEMBER(longpin_pin, size, 4, 0);
MEMBER(longpin_pin, flags, 4, 4);
MEMBER(longpin_pin, addr, 8, 8);
MEMBER(longpin_pin, length, 8, 16);
MEMBER(longpin_pin, cookie, 8, 24);
MEMBER(longpin_pin, out_handle, 4, 32);
MEMBER(longpin_pin, out_kinds, 4, 36);
MEMBER(longpin_pin, out_pages, 8, 40);
MEMBER(longpin_pin, out_runs, 8, 48);
MEMBER(longpin_pin, out_bookkeeping, 8, 56);
MEMBER(longpin_pin, out_reason, 4, 64);
MEMBER(longpin_pin, __reserved, 4, 68);
MEMBER(longpin_pin, out_bad_addr, 8, 72);
MEMBER(longpin_pin, out_limit, 8, 80);
MEMBER(longpin_pin, out_used, 8, 88);
MEMBER(longpin_pin, out_asked, 8, 96);
MEMBER(longpin_pin, eventfd, 4, 104);
MEMBER(longpin_pin, grace_ms, 4, 108);
SIZE(longpin_pin, 112);

MEMBER(longpin_unpin, size, 4, 0);
MEMBER(longpin_unpin, flags, 4, 4);
MEMBER(longpin_unpin, handle, 4, 8);
MEMBER(longpin_unpin, __reserved, 4, 12);
SIZE(longpin_unpin, 16);

MEMBER(longpin_query, size, 4, 0);
MEMBER(longpin_query, flags, 4, 4);
MEMBER(longpin_query, handle, 4, 8);
MEMBER(longpin_query, out_pin_flags, 4, 12);
MEMBER(longpin_query, out_addr, 8, 16);
MEMBER(longpin_query, out_length, 8, 24);
MEMBER(longpin_query, out_cookie, 8, 32);
MEMBER(longpin_query, out_pages, 8, 40);
MEMBER(longpin_query, out_runs, 8, 48);
MEMBER(longpin_query, out_bookkeeping, 8, 56);
MEMBER(longpin_query, out_kinds, 4, 64);
MEMBER(longpin_query, __reserved, 4, 68);
MEMBER(longpin_query, out_revoked_pages, 8, 72);
MEMBER(longpin_query, out_grace_ms, 4, 80);
MEMBER(longpin_query, __reserved2, 4, 84);
SIZE(longpin_query, 88);

MEMBER(longpin_copy, size, 4, 0);
MEMBER(longpin_copy, flags, 4, 4);
MEMBER(longpin_copy, handle, 4, 8);
MEMBER(longpin_copy, __reserved, 4, 12);
MEMBER(longpin_copy, offset, 8, 16);
MEMBER(longpin_copy, length, 8, 24);
MEMBER(longpin_copy, buffer, 8, 32);
MEMBER(longpin_copy, out_copied, 8, 40);
SIZE(longpin_copy, 48);

MEMBER(longpin_extent, offset, 8, 0);
MEMBER(longpin_extent, length, 8, 8);
MEMBER(longpin_extent, phys, 8, 16);
SIZE(longpin_extent, 24);

MEMBER(longpin_extents, size, 4, 0);
MEMBER(longpin_extents, flags, 4, 4);
MEMBER(longpin_extents, handle, 4, 8);
MEMBER(longpin_extents, count, 4, 12);
MEMBER(longpin_extents, offset, 8, 16);
MEMBER(longpin_extents, buffer, 8, 24);
MEMBER(longpin_extents, out_count, 4, 32);
MEMBER(longpin_extents, __reserved, 4, 36);
MEMBER(longpin_extents, out_next, 8, 40);
SIZE(longpin_extents, 48);

MEMBER(longpin_repin, size, 4, 0);
MEMBER(longpin_repin, flags, 4, 4);
MEMBER(longpin_repin, handle, 4, 8);
MEMBER(longpin_repin, out_reason, 4, 12);
MEMBER(longpin_repin, offset, 8, 16);
MEMBER(longpin_repin, length, 8, 24);
MEMBER(longpin_repin, out_repinned, 8, 32);
MEMBER(longpin_repin, out_pages, 8, 40);
MEMBER(longpin_repin, out_bad_addr, 8, 48);
MEMBER(longpin_repin, out_limit, 8, 56);
MEMBER(longpin_repin, out_used, 8, 64);
MEMBER(longpin_repin, out_asked, 8, 72);
SIZE(longpin_repin, 80);

MEMBER(longpin_let_go, size, 4, 0);
MEMBER(longpin_let_go, flags, 4, 4);
MEMBER(longpin_let_go, handle, 4, 8);
MEMBER(longpin_let_go, __reserved, 4, 12);
MEMBER(longpin_let_go, offset, 8, 16);
MEMBER(longpin_let_go, length, 8, 24);
MEMBER(longpin_let_go, out_pages, 8, 32);
SIZE(longpin_let_go, 40);

MEMBER(longpin_event, size, 4, 0);
MEMBER(longpin_event, type, 4, 4);
MEMBER(longpin_event, handle, 4, 8);
MEMBER(longpin_event, cause, 4, 12);
MEMBER(longpin_event, cookie, 8, 16);
MEMBER(longpin_event, offset, 8, 24);
MEMBER(longpin_event, length, 8, 32);
MEMBER(longpin_event, lost, 8, 40);
MEMBER(longpin_event, time, 8, 48);
SIZE(longpin_event, 56);

MEMBER(longpin_status, generation, 8, 0);
SIZE(longpin_status, 8);

MUST(LONGPIN_INFO == 0xBE00, "LONGPIN_INFO");
MUST(LONGPIN_PIN == 0xBE01, "LONGPIN_PIN");
MUST(LONGPIN_UNPIN == 0xBE02, "LONGPIN_UNPIN");
MUST(LONGPIN_QUERY == 0xBE03, "LONGPIN_QUERY");
MUST(LONGPIN_COPY == 0xBE04, "LONGPIN_COPY");
MUST(LONGPIN_EXTENTS == 0xBE05, "LONGPIN_EXTENTS");
MUST(LONGPIN_REPIN == 0xBE06, "LONGPIN_REPIN");
MUST(LONGPIN_LET_GO == 0xBE07, "LONGPIN_LET_GO");
/* clang-format on */
