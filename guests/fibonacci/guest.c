/*
 * One half of a pair; ../primes is the other. Both know nothing of each other and run at the same time:
 *
 *     mini_hypervisor --memory 4 --page 2 --guest primes/guest.img fibonacci/guest.img
 *
 * Each virtual machine is a thread of the hypervisor, so their lines appear in turns, never mixed within a line, and in
 * another order each time. The slow way to compute Fibonacci numbers is the work between two lines.
 */
#include "console.h"

#define FIRST 8
#define LAST 19

/* On purpose without remembering anything: the number of calls grows as fast as the numbers themselves. */
static unsigned fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

int main(void)
{
    for (unsigned n = FIRST; n <= LAST; n++)
        printf("fibonacci(%2u) = %4u\n", n, fibonacci(n));
    puts("fibonacci: done");
    return 0;
}
