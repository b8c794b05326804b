/* A kernel of kernels.c, and how its result is printed: 16 hexadecimal digits and a newline. */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <stdint.h>

uint64_t kernel(void);

#define RESULT_LENGTH 17

static inline void print_result(char text[RESULT_LENGTH], uint64_t result)
{
    for (unsigned i = 0; i < 16; i++)
        text[i] = "0123456789abcdef"[result >> (60 - 4 * i) & 15];
    text[16] = '\n';
}

#endif
