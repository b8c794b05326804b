#include "loop_code.h"

#include "ram/ram.h"

#include <string.h>

#define RSP 4u
#define BODY_MAX 8u

/* A loop that is being written: which registers hold addresses, and which one counts. */
struct loop {
    struct chance *chance;
    uint8_t *at;
    unsigned base[2], index, counter;
};

static unsigned below(struct loop *loop, unsigned limit)
{
    return (unsigned)chance_below(loop->chance, limit);
}

static void byte(struct loop *loop, unsigned value)
{
    *loop->at++ = (uint8_t)value;
}

static void word(struct loop *loop, uint32_t value)
{
    memcpy(loop->at, &value, sizeof value);
    loop->at += sizeof value;
}

static unsigned any_register(struct loop *loop)
{
    unsigned reg;
    do
        reg = below(loop, 16);
    while (reg == RSP || reg == loop->counter || reg == loop->index || reg == loop->base[0] || reg == loop->base[1]);
    return reg;
}

static void rex(struct loop *loop, bool wide, unsigned reg, unsigned index, unsigned rm)
{
    byte(loop, 0x40u | (wide ? 8u : 0) | (reg >> 3) << 2 | (index >> 3) << 1 | rm >> 3);
}

/* ModRM with two registers. */
static void registers(struct loop *loop, unsigned reg, unsigned rm)
{
    byte(loop, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* The displacements that are wanted most are small, so that several accesses are within a few bytes. */
static unsigned displacement(struct loop *loop)
{
    return chance_percent(loop->chance, 70) ? 8 * below(loop, 6) : below(loop, 256);
}

/* An instruction with an operand in memory: prefix or 0, bytes of the opcode. */
static void with_memory(struct loop *loop, unsigned prefix, bool wide, unsigned reg, unsigned opcode)
{
    const bool is_indexed = chance_percent(loop->chance, 20);
    const unsigned base = loop->base[below(loop, 2)], index = is_indexed ? loop->index : 0;
    if (prefix != 0)
        byte(loop, prefix);
    rex(loop, wide, reg, index, base);
    if (opcode > 0xff)
        byte(loop, opcode >> 8);
    byte(loop, opcode);
    byte(loop, 0x44 | (reg & 7) << 3);
    byte(loop, (is_indexed ? below(loop, 4) << 6 | (index & 7) << 3 : 4u << 3) | (base & 7));
    byte(loop, displacement(loop));
}

static void emit_access(struct loop *loop)
{
    static const uint16_t opcodes[] = {0x8b, 0x8b, 0x89, 0x89,   0x88,   0x8a,   0x03,   0x2b, 0x33, 0x3b,
                                       0x39, 0x01, 0x13, 0x0fb6, 0x0fb7, 0x0fbe, 0x0faf, 0x63, 0x85, 0x31};
    const bool is_word = chance_percent(loop->chance, 5);
    const unsigned opcode = opcodes[below(loop, sizeof opcodes / sizeof opcodes[0])];
    const unsigned reg = chance_percent(loop->chance, 4) ? loop->base[0] : any_register(loop);
    with_memory(loop, is_word ? 0x66 : 0, chance_percent(loop->chance, 50), reg, opcode);
}

static void emit_immediate_access(struct loop *loop)
{
    const unsigned digit = below(loop, 8);
    with_memory(loop, 0, chance_percent(loop->chance, 50), digit, 0x83);
    byte(loop, below(loop, 256));
}

static void emit_vector(struct loop *loop)
{
    static const struct {
        uint8_t prefix;
        uint16_t opcode;
    } forms[] = {{0, 0x0f10},    {0, 0x0f28},    {0, 0x0f11},    {0, 0x0f29},    {0xf2, 0x0f10},
                 {0xf2, 0x0f11}, {0xf3, 0x0f10}, {0x66, 0x0f6f}, {0x66, 0x0fef}, {0x66, 0x0f58},
                 {0xf2, 0x0f59}, {0x66, 0x0ffe}, {0x66, 0x0f7f}, {0xf3, 0x0f6f}, {0x66, 0x0f14}};
    const unsigned form = below(loop, sizeof forms / sizeof forms[0]);
    with_memory(loop, forms[form].prefix, false, below(loop, 16), forms[form].opcode);
}

static void emit_arithmetic(struct loop *loop)
{
    static const uint8_t opcodes[] = {0x01, 0x29, 0x31, 0x39, 0x89, 0x85, 0x11, 0x21};
    const unsigned reg = any_register(loop), other = below(loop, 16);
    rex(loop, chance_percent(loop->chance, 50), other, 0, reg);
    if (chance_percent(loop->chance, 15)) {
        byte(loop, 0xc1);
        registers(loop, 4 + below(loop, 4), reg);
        byte(loop, below(loop, 40));
        return;
    }
    byte(loop, opcodes[below(loop, sizeof opcodes)]);
    registers(loop, other, reg);
}

/* Move a base on, mostly by as much as makes sense. */
static void emit_move(struct loop *loop)
{
    static const int32_t strides[] = {1, 2, 4, 8, 8, 16, 16, 24, 48, 64, 96, 768, 1000, 1024, 2048, 4096, 0};
    const unsigned base = loop->base[below(loop, 2)];
    const int32_t stride = strides[below(loop, sizeof strides / sizeof strides[0])];
    rex(loop, true, 0, 0, base);
    byte(loop, 0x81);
    registers(loop, chance_percent(loop->chance, 30) ? 5 : 0, base); /* SUB, ADD */
    word(loop, (uint32_t)stride);
}

static void emit_one(struct loop *loop)
{
    switch (below(loop, 10)) {
    case 0:
    case 1:
    case 2:
        emit_access(loop);
        break;
    case 3:
        emit_immediate_access(loop);
        break;
    case 4:
    case 5:
        emit_vector(loop);
        break;
    case 6:
    case 7:
        emit_arithmetic(loop);
        break;
    default:
        emit_move(loop);
    }
}

static void emit_constant(struct loop *loop, unsigned reg, uint32_t value)
{
    rex(loop, false, 0, 0, reg);
    byte(loop, 0xb8 | (reg & 7));
    word(loop, value);
}

/* Where a base begins: near the end of a page, in the tables of the system area, or anywhere. */
static uint32_t address(struct loop *loop, uint64_t ram_size)
{
    if (chance_percent(loop->chance, 2))
        return (uint32_t)(MH_SYSTEM_AREA + chance_below(loop->chance, MH_SYSTEM_AREA_SIZE));
    const uint64_t any = chance_below(loop->chance, ram_size - 0x2000);
    return (uint32_t)(chance_percent(loop->chance, 30) ? any
                                                       : (any | 0xfff) - 16 * chance_below(loop->chance, 20) - 15);
}

static void choose_registers(struct loop *loop)
{
    loop->counter = loop->index = loop->base[0] = loop->base[1] = RSP;
    loop->counter = any_register(loop);
    loop->base[0] = any_register(loop);
    loop->base[1] = chance_percent(loop->chance, 30) ? loop->base[0] : any_register(loop);
    loop->index = any_register(loop);
}

/* Leave the loop when a comparison says so. The distance is filled in at its end. */
static uint8_t *emit_way_out(struct loop *loop)
{
    const unsigned reg = any_register(loop), other = any_register(loop);
    rex(loop, true, reg, 0, other);
    byte(loop, 0x39);
    registers(loop, reg, other);
    byte(loop, 0x0f);
    byte(loop, 0x80 | below(loop, 16));
    word(loop, 0);
    return loop->at;
}

static void emit_back(struct loop *loop, const uint8_t *head)
{
    rex(loop, true, 0, 0, loop->counter);
    byte(loop, 0x83);
    registers(loop, 5, loop->counter);
    byte(loop, 1);
    byte(loop, 0x0f);
    byte(loop, 0x85);
    word(loop, (uint32_t)(head - (loop->at + 4)));
}

unsigned loop_code_make(struct chance *chance, uint64_t ram_size, uint8_t *to)
{
    struct loop loop = {.chance = chance, .at = to};
    uint8_t *way_out = NULL;
    choose_registers(&loop);
    emit_constant(&loop, loop.base[0], address(&loop, ram_size));
    emit_constant(&loop, loop.base[1], address(&loop, ram_size));
    emit_constant(&loop, loop.index, below(&loop, 2000));
    emit_constant(&loop, loop.counter, 1 + below(&loop, 200));
    if (chance_percent(chance, 50))
        byte(&loop, 0x90);
    const uint8_t *const head = loop.at;
    for (unsigned i = 1 + below(&loop, BODY_MAX); i > 0; i--) {
        emit_one(&loop);
        if (way_out == NULL && chance_percent(chance, 5))
            way_out = emit_way_out(&loop);
    }
    emit_back(&loop, head);
    if (way_out != NULL) {
        const uint32_t distance = (uint32_t)(loop.at - way_out);
        memcpy(way_out - 4, &distance, sizeof distance);
    }
    return (unsigned)(loop.at - to);
}
