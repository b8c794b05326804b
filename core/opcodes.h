/*
 * What an opcode tells about its instruction's memory operand: whether there can be one, whether it is read, its size.
 * Source: Intel SDM volume 2, appendix A.
 */
#ifndef MH_CORE_OPCODES_H
#define MH_CORE_OPCODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An instruction taken apart as far as its memory operand. */
struct decoded {
    const uint8_t *code;
    size_t available, at;
    bool operand16, address32, repne, rep, wide; /* 66, 67, f2, f3, REX.W */
    uint8_t rex;
    uint64_t segment_base;
    unsigned map;            /* 1: one byte, 2: 0f, 3: 0f 38 and 0f 3a */
    bool has_immediate_byte; /* of map 3: 0f 3a */
    uint8_t opcode;
    bool is_vector; /* VEX or EVEX */
    uint32_t vector_length;
    bool is_evex, is_broadcast; /* EVEX: byte displacements count operands; one element is read for all */
    uint8_t modrm;
};

static inline bool in_range(uint8_t value, uint8_t first, uint8_t last)
{
    return value >= first && value <= last;
}

/* Is the opcode followed by a ModRM byte? The rest is for instructions that have one, and know it. */
bool opcode_has_modrm(const struct decoded *d);

/* Bytes of immediate behind the memory operand; they matter for addresses relative to the next instruction. */
unsigned opcode_immediate_size(const struct decoded *d);

/* Is the memory operand read? Not by what only stores, or computes with its address. */
bool opcode_reads(const struct decoded *d);

/* Bytes of the memory operand. */
uint32_t opcode_operand_size(const struct decoded *d);

/* Bytes of a general register as the prefixes have it: 2, 4 or 8. Needs no ModRM byte. */
uint32_t opcode_general_size(const struct decoded *d);

#endif
