/* SPDX-License-Identifier: MIT */
/*
 * The same without the library: pins a buffer by the bare ioctl, unmaps it, reads it back
 * through the pin, and unpins it.
 *
 *     cc -std=c11 raw_ioctl.c
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/longpin.h>

int main(void) {
    static const char message[] = "still here";
    const size_t length = 1U << 20;
    char back[sizeof(message)] = "";

    char* memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    memcpy(memory, message, sizeof(message));

    int device = open("/dev/longpin", O_RDWR | O_CLOEXEC);
    if (device < 0) {
        perror("/dev/longpin");
        return 1;
    }

    struct longpin_pin pin = {
        .size = sizeof(pin),
        .addr = (uintptr_t)memory,
        .length = length,
    };
    if (ioctl(device, LONGPIN_PIN, &pin) != 0) {
        perror("LONGPIN_PIN");
        fprintf(stderr, "reason %u (see LONGPIN_REASON_*)\n", pin.out_reason);
        return 1;
    }
    printf("pin %u: %llu pages in %llu runs\n", pin.out_handle, (unsigned long long)pin.out_pages,
           (unsigned long long)pin.out_runs);

    munmap(memory, length);

    struct longpin_copy copy = {
        .size = sizeof(copy),
        .handle = pin.out_handle,
        .length = sizeof(back),
        .buffer = (uintptr_t)back,
    };
    if (ioctl(device, LONGPIN_COPY, &copy) != 0) {
        perror("LONGPIN_COPY");
        return 1;
    }
    printf("unmapped, and read through the pin: %s\n", back);

    struct longpin_unpin unpin = {.size = sizeof(unpin), .handle = pin.out_handle};
    if (ioctl(device, LONGPIN_UNPIN, &unpin) != 0) {
        perror("LONGPIN_UNPIN");
        return 1;
    }
    close(device); /* this alone would end the pin, too */
    return strcmp(back, message) == 0 ? 0 : 1;
}
