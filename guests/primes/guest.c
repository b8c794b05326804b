/*
 * One half of a pair; ../fibonacci is the other. Both know nothing of each other and run at the same time:
 *
 *     mini_hypervisor --memory 4 --page 2 --guest primes/guest.img fibonacci/guest.img
 *
 * Each virtual machine is a thread of the hypervisor, so their lines appear in turns, never mixed within a line, and in
 * another order each time. Counting primes by trial division is the work between two lines.
 */
#include "console.h"

#define STEP 500
#define LAST 6000

static bool is_prime(unsigned number)
{
    if (number < 2)
        return false;
    for (unsigned divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0)
            return false;
    return true;
}

static unsigned count_primes(unsigned first, unsigned end)
{
    unsigned count = 0;

    for (unsigned number = first; number < end; number++)
        count += is_prime(number);
    return count;
}

int main(void)
{
    unsigned count = 0;

    for (unsigned end = STEP; end <= LAST; end += STEP) {
        count += count_primes(end - STEP, end);
        printf("primes below %4u: %3u\n", end, count);
    }
    puts("primes: done");
    return 0;
}
