/*
 * Writing instructions of the host, as the translator wants them: registers are numbers as they are encoded, and the
 * last operand is a register or memory.
 */
#ifndef MH_CORE_SOFT_HOST_X86_64_EMIT_H
#define MH_CORE_SOFT_HOST_X86_64_EMIT_H

#include <stdbool.h>
#include <stdint.h>

enum host_register {
    HOST_RAX,
    HOST_RCX,
    HOST_RDX,
    HOST_RBX,
    HOST_RSP,
    HOST_RBP,
    HOST_RSI,
    HOST_RDI,
    HOST_R8,
    HOST_R9,
    HOST_R10,
    HOST_R11,
    HOST_R12,
    HOST_R13,
    HOST_R14,
    HOST_R15,
    HOST_NO_REGISTER = 0xff,
};

/* A register, or memory at base + (index << scale) + displacement. */
struct host_operand {
    bool is_memory;
    uint8_t reg; /* or the base */
    uint8_t index, scale;
    int32_t displacement;
};

struct host_emitter {
    uint8_t *at;
    uint32_t touched; /* registers, a bit for each, that were operands since this was cleared; not those of addresses */
};

/* What an opcode is more than its last byte. */
#define HOST_0F 0x100u
#define HOST_BYTE_RM 0x200u /* the last operand is a byte, the register is not */
#define HOST_66 0x660000u
#define HOST_F3 0xf30000u
#define HOST_F2 0xf20000u

static inline struct host_operand host_in(unsigned reg)
{
    return (struct host_operand){.reg = (uint8_t)reg};
}

static inline struct host_operand host_at(unsigned base, int32_t displacement)
{
    return (struct host_operand){
        .is_memory = true, .reg = (uint8_t)base, .index = HOST_NO_REGISTER, .displacement = displacement};
}

static inline struct host_operand host_at_index(unsigned base, unsigned index, unsigned scale, int32_t displacement)
{
    return (struct host_operand){.is_memory = true,
                                 .reg = (uint8_t)base,
                                 .index = (uint8_t)index,
                                 .scale = (uint8_t)scale,
                                 .displacement = displacement};
}

void host_emit_bytes(struct host_emitter *emitter, uint64_t value, unsigned count);

/* An instruction with a ModRM byte; operands of 1, 2, 4 or 8 bytes. `reg` may be a part of the opcode. */
void host_emit(struct host_emitter *emitter, uint32_t opcode, unsigned size, unsigned reg, struct host_operand rm);
/* The same with an immediate behind it, of as many bytes as are given. */
void host_emit_immediate(struct host_emitter *emitter, uint32_t opcode, unsigned size, unsigned reg,
                         struct host_operand rm, int32_t immediate, unsigned bytes);

/* Group 1 (ADD, OR, ADC, SBB, AND, SUB, XOR, CMP are 0 to 7) with an immediate. */
void host_emit_alu_immediate(struct host_emitter *emitter, unsigned operation, unsigned size, struct host_operand to,
                             int32_t immediate);
/* Load a register with a constant, in the shortest form that changes no flags. */
void host_emit_constant(struct host_emitter *emitter, unsigned reg, uint64_t value);
/* to = from, 8 bytes, or 4 with zeros above. */
void host_emit_move(struct host_emitter *emitter, unsigned size, unsigned to, struct host_operand from);
void host_emit_store(struct host_emitter *emitter, unsigned size, struct host_operand to, unsigned from);

/*
 * Where code begins that branches lead to often, as far as that is worth it. Processors fetch and remember decoded code
 * by such pieces, and short code that lies in two of them takes up to a third more time.
 */
#define HOST_FETCH_LINE 64u
/* Continue at the next multiple of HOST_FETCH_LINE; what is skipped does nothing when it is executed. */
void host_emit_align(struct host_emitter *emitter);

/* JMP, CALL and Jcc to somewhere else. What is returned is where the distance of 32 bits is, for host_link(). */
uint8_t *host_emit_jump(struct host_emitter *emitter);
uint8_t *host_emit_call(struct host_emitter *emitter);
uint8_t *host_emit_branch(struct host_emitter *emitter, unsigned condition);
void host_link(uint8_t *distance, const uint8_t *target);

enum host_condition {
    HOST_CC_B = 2,
    HOST_CC_AE = 3,
    HOST_CC_E = 4,
    HOST_CC_NE = 5,
    HOST_CC_BE = 6,
    HOST_CC_A = 7,
    HOST_CC_GE = 13,
    HOST_CC_LE = 14,
};

#endif
