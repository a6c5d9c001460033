// SPDX-License-Identifier: MIT
/*
 * Every ioctl from C11. Built as a 32-bit program too, and run on the 64-bit kernel: exits with
 * 0, or says which line went wrong.
 */
#include <linux/longpin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static uint64_t address_of(const void* pointer) {
    return (uintptr_t)pointer;
}

int main(void) {
    static char memory[10000];
    static char copy[sizeof(memory)];
    memset(memory, 'a', sizeof(memory));
    const int fd = open("/dev/longpin", O_RDWR | O_CLOEXEC);
    MUST(fd >= 0);

    struct longpin_info info = {.size = sizeof(info)};
    MUST(ioctl(fd, LONGPIN_INFO, &info) == 0);
    MUST(info.out_page_size == 4096 && info.out_max_pins_used == 0);

    struct longpin_pin pin = {.size = sizeof(pin),
                              .flags = LONGPIN_PIN_WRITE,
                              .addr = address_of(memory),
                              .length = sizeof(memory),
                              .cookie = 0x1122334455667788};
    MUST(ioctl(fd, LONGPIN_PIN, &pin) == 0);
    MUST(pin.out_handle != 0 && pin.out_pages >= 3 && pin.out_pages <= 4);

    struct longpin_query query = {.size = sizeof(query), .handle = pin.out_handle};
    MUST(ioctl(fd, LONGPIN_QUERY, &query) == 0);
    MUST(query.out_addr == address_of(memory) && query.out_length == sizeof(memory));
    MUST(query.out_cookie == 0x1122334455667788);

    struct longpin_copy read = {.size = sizeof(read),
                                .handle = pin.out_handle,
                                .length = sizeof(copy),
                                .buffer = address_of(copy)};
    MUST(ioctl(fd, LONGPIN_COPY, &read) == 0);
    MUST(memcmp(memory, copy, sizeof(copy)) == 0);
    struct longpin_copy write = {.size = sizeof(write),
                                 .flags = LONGPIN_COPY_WRITE,
                                 .handle = pin.out_handle,
                                 .offset = 5000,
                                 .length = 3,
                                 .buffer = address_of("xyz")};
    MUST(ioctl(fd, LONGPIN_COPY, &write) == 0);
    MUST(memcmp(memory + 4999, "axyza", 5) == 0);

    struct longpin_extent extent[4];
    struct longpin_extents extents = {.size = sizeof(extents),
                                      .handle = pin.out_handle,
                                      .count = 4,
                                      .buffer = address_of(extent)};
    MUST(ioctl(fd, LONGPIN_EXTENTS, &extents) == 0);
    MUST(extents.out_count == query.out_runs && extents.out_next == sizeof(memory));

    struct longpin_unpin unpin = {.size = sizeof(unpin), .handle = pin.out_handle};
    MUST(ioctl(fd, LONGPIN_UNPIN, &unpin) == 0);
    MUST(ioctl(fd, LONGPIN_UNPIN, &unpin) == -1 && errno == ENOENT);

    /* Beyond the 4 GiB of a 32-bit program nothing can be mapped. */
    if (sizeof(void*) == 4) {
        pin.addr += 1ULL << 32;
        MUST(ioctl(fd, LONGPIN_PIN, &pin) == -1 && errno == EFAULT);
        MUST(pin.out_reason == LONGPIN_REASON_HOLE && pin.out_bad_addr == pin.addr);
    }
    return 0;
}
