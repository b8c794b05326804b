/*
 * What processors are compared with: KERNEL says which. Each is compiled once, and linked to a guest of ours, a guest
 * of QEMU's and a Linux program. The result is printed, so that wrong ones are noticed.
 */
#include "kernel.h"

#define SIEVE_SIZE (256u << 10)
#define NUMBERS (32u << 10)
#define ORDER 96u

static uint8_t bytes[SIEVE_SIZE], copy[SIEVE_SIZE];
static uint32_t numbers[NUMBERS];
static double left[ORDER][ORDER], right[ORDER][ORDER], product[ORDER][ORDER];

static uint32_t next_number(uint32_t number)
{
    return number * 1664525u + 1013904223u;
}

/* How many primes there are. */
static uint64_t sieve(void)
{
    uint64_t primes = 0;
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 2; i < SIEVE_SIZE; i++)
            bytes[i] = 1;
        for (unsigned i = 2; i * i < SIEVE_SIZE; i++)
            for (unsigned j = i * i; bytes[i] != 0 && j < SIEVE_SIZE; j += i)
                bytes[j] = 0;
        for (unsigned i = 2; i < SIEVE_SIZE; i++)
            primes += bytes[i];
    }
    return primes;
}

static void sort(uint32_t *first, uint32_t *last)
{
    while (first < last) {
        const uint32_t pivot = first[(last - first) / 2];
        uint32_t *low = first, *high = last;
        while (low <= high) {
            while (*low < pivot)
                low++;
            while (*high > pivot)
                high--;
            if (low <= high) {
                const uint32_t swapped = *low;
                *low++ = *high;
                *high-- = swapped;
            }
        }
        sort(first, high);
        first = low;
    }
}

static uint64_t quicksort(void)
{
    uint64_t sum = 0;
    for (uint32_t round = 0, number = 1; round < 30; round++) {
        for (unsigned i = 0; i < NUMBERS; i++)
            numbers[i] = number = next_number(number);
        sort(numbers, numbers + NUMBERS - 1);
        sum += numbers[NUMBERS / 2];
    }
    return sum;
}

static __attribute__((noinline)) uint64_t fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t recursion(void)
{
    return fibonacci(35);
}

static uint64_t bitwise_crc(void)
{
    uint32_t crc = ~0u;
    for (unsigned i = 0; i < 4u << 20; i++) {
        crc ^= i & 0xff;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
    }
    return crc;
}

static uint64_t multiply_divide(void)
{
    uint64_t value = 0x123456789abcdef, sum = 0;
    for (uint64_t i = 1; i < 8000000; i++) {
        value = value * 6364136223846793005u + i;
        sum += value / (i | 1u << 20) + value % (i + 7);
    }
    return sum;
}

static uint64_t rep_movsb(void)
{
    for (unsigned i = 0; i < SIEVE_SIZE; i++)
        bytes[i] = (uint8_t)i;
    for (unsigned round = 0; round < 8000; round++) {
        const void *from = bytes;
        void *to = copy;
        uint64_t count = SIEVE_SIZE;
        __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
    }
    return copy[SIEVE_SIZE / 3];
}

static uint64_t doubles(void)
{
    double sum = 0;
    for (unsigned i = 0; i < ORDER; i++)
        for (unsigned j = 0; j < ORDER; j++) {
            left[i][j] = (double)(i + 1) / (j + 1);
            right[i][j] = (double)(j + 1) / (i + 2);
        }
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < ORDER; i++)
            for (unsigned j = 0; j < ORDER; j++) {
                double dot = 0;
                for (unsigned k = 0; k < ORDER; k++)
                    dot += left[i][k] * right[k][j];
                product[i][j] = dot;
            }
        left[round % ORDER][0] += 1 / product[0][0];
        sum += product[ORDER - 1][round % ORDER];
    }
    return (uint64_t)sum;
}

/* No processor of a program compiled today, but those of old ones. */
static uint64_t x87(void)
{
    long double x = 1, sum = 0;
    for (unsigned i = 1; i < 2000000; i++) {
        x = x * 1.0001L + 1.0L / i;
        if (x > 1000)
            x -= 999;
        sum += x;
    }
    return (uint64_t)(int64_t)sum;
}

uint64_t kernel(void)
{
    return KERNEL();
}
