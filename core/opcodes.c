#include "opcodes.h"

static bool one_byte_has_modrm(uint8_t op)
{
    if (op < 0x40)
        return (op & 7) < 4;
    return op == 0x63 || op == 0x69 || op == 0x6b || in_range(op, 0x80, 0x8f) || op == 0xc0 || op == 0xc1 ||
           op == 0xc6 || op == 0xc7 || in_range(op, 0xd0, 0xd3) || in_range(op, 0xd8, 0xdf) || op == 0xf6 ||
           op == 0xf7 || op == 0xfe || op == 0xff;
}

static bool two_byte_has_modrm(uint8_t op)
{
    return !(in_range(op, 0x05, 0x0b) || op == 0x0e || in_range(op, 0x30, 0x37) || op == 0x77 ||
             in_range(op, 0x80, 0x8f) || in_range(op, 0xa0, 0xa2) || in_range(op, 0xa8, 0xaa) ||
             in_range(op, 0xc8, 0xcf));
}

bool opcode_has_modrm(const struct decoded *d)
{
    return d->map == 3 || (d->map == 2 ? two_byte_has_modrm(d->opcode) : one_byte_has_modrm(d->opcode));
}

unsigned opcode_immediate_size(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    unsigned full = d->operand16 && !d->wide ? 2 : 4;
    if (d->map == 3)
        return d->has_immediate_byte ? 1 : 0;
    if (d->map == 2)
        return in_range(op, 0x70, 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
                       in_range(op, 0xc4, 0xc6)
                   ? 1
                   : 0;
    if (op == 0x69 || op == 0x81 || op == 0xc7 || (op == 0xf7 && reg < 2))
        return full;
    return op == 0x6b || op == 0x80 || op == 0x83 || op == 0xc0 || op == 0xc1 || op == 0xc6 || (op == 0xf6 && reg < 2)
               ? 1
               : 0;
}

static bool x87_only_stores(uint8_t op, uint8_t reg)
{
    switch (op) {
    case 0xd9:
        return reg == 2 || reg == 3 || reg >= 6;
    case 0xdb:
        return reg >= 1 && reg != 5 && reg != 4 && reg != 6;
    case 0xdd:
    case 0xdf:
        return reg == 1 || reg == 2 || reg == 3 || reg >= 6;
    default:
        return false;
    }
}

static bool one_byte_reads(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op == 0x88 || op == 0x89 || op == 0x8c || op == 0x8d || op == 0x8f || op == 0xc6 || op == 0xc7)
        return false;
    return !x87_only_stores(op, reg);
}

static bool two_byte_reads(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op == 0x7e)
        return d->rep;
    if (op == 0x00) /* SLDT and STR store */
        return reg >= 2;
    if (op == 0x01) /* LGDT, LIDT, LMSW */
        return reg == 2 || reg == 3 || reg == 6;
    if (op == 0xae) /* FXRSTOR, LDMXCSR, XRSTOR */
        return reg == 1 || reg == 2 || reg == 5;
    if (op == 0xd6 || op == 0xe7 || op == 0x7f || op == 0xc3)
        return false;
    return !(in_range(op, 0x18, 0x1f) || op == 0x11 || op == 0x13 || op == 0x17 || op == 0x29 || op == 0x2b ||
             op == 0x0d || in_range(op, 0x90, 0x9f));
}

uint32_t opcode_general_size(const struct decoded *d)
{
    return d->wide ? 8 : d->operand16 ? 2 : 4;
}

static uint32_t x87_size(uint8_t op, uint8_t reg)
{
    switch (op) {
    case 0xd9:
        return reg == 4 ? 28 : reg == 5 ? 2 : 4;
    case 0xdb:
        return reg == 5 ? 10 : 4;
    case 0xdc:
        return 8;
    case 0xdd:
        return reg == 4 ? 108 : 8;
    case 0xde:
        return 2;
    case 0xdf:
        return reg == 4 ? 10 : reg == 5 ? 8 : 2;
    default:
        return 4;
    }
}

static uint32_t one_byte_size(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op == 0x63)
        return 4;
    if (op == 0x8e)
        return 2;
    if (op == 0xff && (reg == 2 || reg == 4 || reg == 6))
        return 8;
    if (in_range(op, 0xd8, 0xdf))
        return x87_size(op, reg);
    return (op & 1) == 0 ? 1 : opcode_general_size(d);
}

static bool is_scalar_sse(uint8_t op)
{
    return op == 0x10 || op == 0x2c || op == 0x2d || in_range(op, 0x51, 0x53) || in_range(op, 0x58, 0x5f) || op == 0xc2;
}

static uint32_t system_size(uint8_t op, uint8_t reg)
{
    if (op == 0x01)
        return reg == 6 ? 2 : 10;
    if (op == 0xae)
        return reg == 2 ? 4 : 512;
    return 2;
}

static uint32_t two_byte_size(const struct decoded *d)
{
    uint8_t op = d->opcode, reg = d->modrm >> 3 & 7;
    if (op <= 0x03 || op == 0xae)
        return system_size(op, reg);
    if (op == 0xb0 || op == 0xb6 || op == 0xbe || op == 0xc0)
        return 1;
    if (op == 0xb7 || op == 0xbf || op == 0xc4)
        return 2;
    if (op == 0xc7)
        return d->wide ? 16 : 8;
    if (in_range(op, 0x40, 0x4f) || in_range(op, 0xa3, 0xaf) || in_range(op, 0xb1, 0xbd) || op == 0xc1)
        return opcode_general_size(d);
    if (op == 0x6e || (op == 0x2a && (d->rep || d->repne)))
        return d->wide ? 8 : 4;
    if (op == 0x2e || op == 0x2f)
        return d->operand16 ? 8 : 4;
    if (op == 0x7e || ((op == 0x12 || op == 0x16) && !d->rep))
        return 8;
    if (is_scalar_sse(op) && (d->rep || d->repne))
        return d->rep ? 4 : 8;
    return d->is_vector ? d->vector_length : 16;
}

/* 0f 38 and 0f 3a: what stores, and what gathers from many places, which no single address tells. */
static bool three_byte_reads(const struct decoded *d)
{
    uint8_t op = d->opcode;
    if (d->has_immediate_byte)
        return !(in_range(op, 0x14, 0x17) || op == 0x19 || op == 0x1b || op == 0x1d || op == 0x39 || op == 0x3b);
    if (d->is_evex && d->rep && op < 0x40) /* narrowing moves */
        return false;
    if (!d->is_vector && op == 0xf1)
        return d->repne; /* CRC32 reads, MOVBE stores */
    return !(op == 0x2e || op == 0x2f || op == 0x8a || op == 0x8b || op == 0x8e || in_range(op, 0x90, 0x93) ||
             in_range(op, 0xa0, 0xa3) || op == 0xc6 || op == 0xc7 || op == 0xf9);
}

/* PMOVSX and PMOVZX read as many elements as they write, of a half, a quarter or an eighth of the size. */
static uint32_t widening_size(uint8_t op, uint32_t written)
{
    static const uint8_t parts[] = {2, 4, 8, 2, 4, 2};
    return written / parts[op & 7];
}

static uint32_t three_byte_size(const struct decoded *d)
{
    uint8_t op = d->opcode;
    uint32_t whole = d->is_vector ? d->vector_length : 16;
    if (d->has_immediate_byte)
        return op == 0x20 ? 1 : op == 0x0a || op == 0x21 ? 4 : op == 0x22 ? (d->wide ? 8 : 4) : op == 0x0b ? 8 : whole;
    if ((in_range(op, 0x20, 0x25) || in_range(op, 0x30, 0x35)) && !d->rep)
        return widening_size(op, whole);
    if (op == 0x78 || (op == 0xf0 && d->repne))
        return 1;
    if (op == 0x79)
        return 2;
    if (op == 0x18 || op == 0x58)
        return 4;
    if (op == 0x19 || op == 0x59)
        return 8;
    if (op == 0x1a || op == 0x5a)
        return 16;
    return op >= 0xf0 ? opcode_general_size(d) : whole;
}

bool opcode_reads(const struct decoded *d)
{
    return d->map == 1 ? one_byte_reads(d) : d->map == 2 ? two_byte_reads(d) : three_byte_reads(d);
}

uint32_t opcode_operand_size(const struct decoded *d)
{
    if (d->is_broadcast)
        return d->wide ? 8 : 4;
    return d->map == 1 ? one_byte_size(d) : d->map == 2 ? two_byte_size(d) : three_byte_size(d);
}
