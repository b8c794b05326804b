#include "chance.h"

#include <string.h>

struct chance chance_of(uint64_t seed, uint64_t number)
{
    struct chance chance = {seed * 0xd1342543de82ef95u + number * 0x9e6c63d0676a9a99u};
    chance.state ^= chance_next(&chance);
    return chance;
}

uint64_t chance_next(struct chance *chance)
{
    /* splitmix64, as in tests/support/abuse.c */
    uint64_t z = chance->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t chance_below(struct chance *chance, uint64_t limit)
{
    return (chance_next(chance) >> 16) % limit;
}

bool chance_percent(struct chance *chance, unsigned percent)
{
    return chance_below(chance, 100) < percent;
}

uint64_t chance_integer(struct chance *chance)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        1ull << 32,
        INT64_MAX,
        1ull << 63,
        UINT64_MAX,
        0x5555555555555555,
        0xaaaaaaaaaaaaaaaa,
        0x80008000,
        0x80808080,
        0x7f7f7f7f,
        0x8000000080000000,
        0x0123456789abcdef,
    };
    uint64_t bits = chance_next(chance);
    switch (chance_below(chance, 8)) {
    case 0:
    case 1:
        return edges[bits % (sizeof edges / sizeof edges[0])];
    case 2:
        return bits % 64;
    case 3:
        return 0 - bits % 64;
    case 4:
        return bits >> (bits & 63);
    case 5:
        return (uint64_t)((int64_t)bits >> (bits & 63));
    default:
        return bits;
    }
}

static uint32_t some_float(struct chance *chance)
{
    static const uint32_t edges[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                     0x7fc00000, 0x7f800001, 0xffbfffff, 1,          0x807fffff, 0x00800000,
                                     0x7f7fffff, 0x4f000000, 0xcf000000, 0x5f000000, 0xdf000000, 0x3f000000,
                                     0x40200000, 0x3effffff, 0xffc00000, 0x00400000, 0x4effffff, 0x33800000};
    uint64_t bits = chance_next(chance);
    uint64_t kind = bits >> 60;
    if (kind < 6)
        return edges[(uint32_t)bits % (sizeof edges / sizeof edges[0])];
    if (kind < 12) /* near 1 */
        return (uint32_t)(bits & 0x807fffff) | (uint32_t)(0x70 + (bits >> 40 & 31)) << 23;
    return (uint32_t)bits;
}

static uint64_t some_double(struct chance *chance)
{
    static const uint64_t edges[] = {
        0,
        0x8000000000000000,
        0x3ff0000000000000,
        0xbff0000000000000,
        0x7ff0000000000000,
        0xfff0000000000000,
        0x7ff8000000000000,
        0xfff8000000000000,
        0x7ff0000000000001,
        0xfff7ffffffffffff,
        1,
        0x800fffffffffffff,
        0x0010000000000000,
        0x7fefffffffffffff,
        0x41e0000000000000,
        0xc1e0000000000000,
        0x43e0000000000000,
        0xc3e0000000000000,
        0x3fe0000000000000,
        0x4004000000000000,
        0x47efffffe0000000,
        0x36a0000000000000,
        0x380fffffffffffff,
        0x41dfffffffc00000,
        0x3fdfffffffffffff,
        0x3ca0000000000000,
    };
    uint64_t bits = chance_next(chance);
    uint64_t kind = chance_below(chance, 16);
    if (kind < 6)
        return edges[bits % (sizeof edges / sizeof edges[0])];
    if (kind < 12)
        return (bits & 0x800fffffffffffff) | (0x3f0 + (bits >> 52 & 31)) << 52;
    return bits;
}

void chance_vector(struct chance *chance, uint8_t to[32])
{
    uint64_t kind = chance_below(chance, 8);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t value;
        if (kind < 2)
            value = (uint64_t)some_float(chance) << 32 | some_float(chance);
        else if (kind < 4)
            value = some_double(chance);
        else if (kind < 6)
            value = chance_integer(chance);
        else if (kind == 6)
            value = chance_next(chance);
        else
            value = (uint64_t)(uint32_t)chance_integer(chance) << 32 | (uint32_t)chance_integer(chance);
        memcpy(to + i * 8, &value, sizeof value);
    }
}

void chance_extended(struct chance *chance, uint8_t to[10])
{
    static const uint16_t exponents[] = {0,      1,      0x7fff, 0x7ffe, 0x3fff, 0x3ffe, 0x403e, 0x401e, 0x400e,
                                         0x3f80, 0x3c00, 0x407e, 0x43fe, 0x3fbf, 0x403d, 0x3fff, 0x4000, 0x3c01};
    static const uint64_t fractions[] = {
        0x8000000000000000, 0, 0xc000000000000000, 0xa000000000000000, 0xffffffffffffffff, 0x8000000000000001,
        0x4000000000000000, 1, 0xfffffffffffffc00, 0xffffff0000000000, 0x8000008000000000, 0xc90fdaa22168c235};
    uint64_t bits = chance_next(chance);
    uint64_t fraction = chance_next(chance);
    uint16_t exponent = (uint16_t)(bits >> 32 & 0x7fff);
    uint64_t kind = bits & 15;
    if (kind < 7)
        exponent = exponents[(bits >> 8 & 0xff) % (sizeof exponents / sizeof exponents[0])];
    else if (kind < 13)
        exponent = (uint16_t)(0x3fe0 + (bits >> 8 & 0x7f));
    kind = bits >> 4 & 15;
    if (kind < 6)
        fraction = fractions[fraction % (sizeof fractions / sizeof fractions[0])];
    else if (kind < 8)
        fraction = (fraction >> (fraction & 63)) << (fraction >> 6 & 63);
    if (exponent != 0 && (bits >> 20 & 15) != 0)
        fraction |= 1ull << 63; /* few are of the kinds that no processor makes any more */
    exponent |= (uint16_t)(bits >> 48 & 0x8000);
    memcpy(to, &fraction, sizeof fraction);
    memcpy(to + 8, &exponent, sizeof exponent);
}

static void put16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static void some_x87(struct chance *chance, uint8_t *to)
{
    uint64_t bits = chance_next(chance);
    unsigned fcw = 0x40u | (unsigned)(bits & 0xf00);
    unsigned fsw = (unsigned)(bits >> 16 & 0x7f00);
    unsigned kind = (unsigned)(bits >> 32 & 15);
    fcw |= kind < 12 ? 0x3f : (unsigned)(bits >> 40 & 0x3f);
    if ((bits >> 36 & 3) == 0)
        fsw |= (unsigned)(bits >> 46 & 0x7f);
    if ((fcw & 0x3f) != 0x3f && (bits >> 38 & 3) != 0)
        fsw &= ~(~fcw & 0x3f); /* a pending exception hides all else */
    if ((fsw & ~fcw & 0x3f) != 0)
        fsw |= 0x8080;
    put16(to, fcw);
    put16(to + 2, fsw);
    uint64_t tags = bits >> 53;
    to[4] = (tags & 7) == 0 ? (uint8_t)(tags >> 3) : (tags & 7) == 1 ? 0 : 0xff;
    put16(to + 6, (unsigned)(chance_next(chance) & 0x7ff));
    uint64_t pointers[2] = {AREA_CODE + (bits & 0xfff), AREA_DATA + (bits >> 12 & 0x1fff)};
    memcpy(to + 8, pointers, sizeof pointers);
    for (unsigned i = 0; i < 8; i++)
        chance_extended(chance, to + 32 + 16 * i);
}

void chance_xsave(struct chance *chance, uint8_t to[MH_XSAVE_SIZE])
{
    memset(to, 0, MH_XSAVE_SIZE);
    some_x87(chance, to);
    uint64_t bits = chance_next(chance);
    uint32_t mxcsr = (uint32_t)(bits & 0xe07f);
    mxcsr |= (bits >> 16 & 3) != 0 ? 0x1f80 : (uint32_t)(bits >> 20 & 0x1f80);
    if ((bits >> 18 & 3) != 0)
        mxcsr &= ~0x8040u; /* FTZ and DAZ hide how denormals are handled */
    if ((bits >> 32 & 1) != 0)
        mxcsr &= ~0x3fu;
    memcpy(to + 24, &mxcsr, sizeof mxcsr);
    for (unsigned i = 0; i < 16; i++) {
        uint8_t vector[32];
        chance_vector(chance, vector);
        memcpy(to + 160 + 16 * i, vector, 16);
        memcpy(to + 576 + 16 * i, vector + 16, 16);
    }
    to[512] = 7;
}

uint64_t chance_rflags(struct chance *chance)
{
    uint64_t bits = chance_next(chance);
    uint64_t rflags = MH_RFLAGS_FIXED | MH_RFLAGS_IF | (bits & RFLAGS_ARITHMETIC);
    if ((bits >> 32 & 3) == 0)
        rflags |= MH_RFLAGS_DF;
    if ((bits >> 34 & 31) == 0)
        rflags |= RFLAGS_AC;
    if ((bits >> 39 & 31) == 0)
        rflags |= RFLAGS_NT;
    if ((bits >> 44 & 7) == 0)
        rflags |= RFLAGS_ID;
    return rflags;
}
