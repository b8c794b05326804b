#include "abuse.h"

#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t drawn_seed(void)
{
    uint32_t seed = 0;
    assert_int_equal(getrandom(&seed, sizeof seed, 0), sizeof seed);
    return seed;
}

void abuse_begin(struct abuse *abuse)
{
    const char *seed = getenv("MH_SEED");
    const char *factor = getenv("MH_ABUSE_FACTOR");
    abuse->seed = seed != NULL ? strtoull(seed, NULL, 10) : drawn_seed();
    abuse->factor = factor != NULL ? (unsigned)strtoul(factor, NULL, 10) : 1;
    assert_true(abuse->factor >= 1);
    abuse->state = abuse->seed;
    printf("abuse: to repeat: MH_SEED=%" PRIu64 " MH_ABUSE_FACTOR=%u %s\n", abuse->seed, abuse->factor,
           program_invocation_name);
    fflush(stdout);
}

uint64_t abuse_next(struct abuse *abuse)
{
    /* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators): good with any seed, even 0 */
    uint64_t z = abuse->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t abuse_below(struct abuse *abuse, uint64_t limit)
{
    return abuse_next(abuse) % limit;
}

void abuse_done(unsigned long count, const char *what)
{
    printf("abuse: done %lu %s\n", count, what);
}
