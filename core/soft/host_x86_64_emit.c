#include "host_x86_64_emit.h"

#include <string.h>

#define REX 0x40u
#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u
#define RM_SIB 4u
#define NO_INDEX 4u

void host_emit_bytes(struct host_emitter *emitter, uint64_t value, unsigned count)
{
    memcpy(emitter->at, &value, count);
    emitter->at += count;
}

static void emit_byte(struct host_emitter *emitter, unsigned value)
{
    *emitter->at++ = (uint8_t)value;
}

/* spl, bpl, sil and dil are reached with a REX prefix only. */
static bool is_new_byte(unsigned reg)
{
    return reg >= HOST_RSP && reg <= HOST_RDI;
}

static void emit_rex(struct host_emitter *emitter, uint32_t opcode, unsigned size, unsigned reg,
                     const struct host_operand *rm)
{
    unsigned rex = (size == 8 ? REX_W : 0) | (reg >= 8 ? REX_R : 0);
    if (rm->reg != HOST_NO_REGISTER && rm->reg >= 8)
        rex |= REX_B;
    if (rm->is_memory && rm->index != HOST_NO_REGISTER && rm->index >= 8)
        rex |= REX_X;
    const bool byte_rm = !rm->is_memory && (size == 1 || (opcode & HOST_BYTE_RM) != 0);
    if (rex != 0 || (size == 1 && is_new_byte(reg)) || (byte_rm && is_new_byte(rm->reg)))
        emit_byte(emitter, REX | rex);
}

static void emit_memory(struct host_emitter *emitter, unsigned reg, const struct host_operand *rm)
{
    const bool has_base = rm->reg != HOST_NO_REGISTER, has_index = rm->index != HOST_NO_REGISTER;
    const bool needs_sib = has_index || !has_base || (rm->reg & 7) == RM_SIB;
    const bool is_short = rm->displacement == (int8_t)rm->displacement;
    const bool is_none = rm->displacement == 0 && (rm->reg & 7) != HOST_RBP;
    const unsigned mod = !has_base || is_none ? 0 : is_short ? 1 : 2;
    const unsigned field = (reg & 7) << 3, base = has_base ? rm->reg & 7u : (unsigned)HOST_RBP;
    emit_byte(emitter, mod << 6 | field | (needs_sib ? RM_SIB : base));
    if (needs_sib)
        emit_byte(emitter, (unsigned)rm->scale << 6 | (has_index ? rm->index & 7u : NO_INDEX) << 3 | base);
    if (mod == 1)
        emit_byte(emitter, (uint8_t)rm->displacement);
    else if (mod == 2 || !has_base)
        host_emit_bytes(emitter, (uint32_t)rm->displacement, 4);
}

void host_emit(struct host_emitter *emitter, uint32_t opcode, unsigned size, unsigned reg, struct host_operand rm)
{
    emitter->touched |= 1u << reg | (rm.is_memory ? 0 : 1u << rm.reg);
    if (size == 2)
        emit_byte(emitter, 0x66);
    if (opcode >> 16 != 0)
        emit_byte(emitter, opcode >> 16);
    emit_rex(emitter, opcode, size, reg, &rm);
    if ((opcode & HOST_0F) != 0)
        emit_byte(emitter, 0x0f);
    emit_byte(emitter, opcode & 0xff);
    if (rm.is_memory)
        emit_memory(emitter, reg, &rm);
    else
        emit_byte(emitter, 0xc0 | (reg & 7) << 3 | (rm.reg & 7u));
}

void host_emit_immediate(struct host_emitter *emitter, uint32_t opcode, unsigned size, unsigned reg,
                         struct host_operand rm, int32_t immediate, unsigned bytes)
{
    host_emit(emitter, opcode, size, reg, rm);
    host_emit_bytes(emitter, (uint32_t)immediate, bytes);
}

void host_emit_alu_immediate(struct host_emitter *emitter, unsigned operation, unsigned size, struct host_operand to,
                             int32_t immediate)
{
    if (size == 1)
        host_emit_immediate(emitter, 0x80, size, operation, to, immediate, 1);
    else if (immediate == (int8_t)immediate)
        host_emit_immediate(emitter, 0x83, size, operation, to, immediate, 1);
    else
        host_emit_immediate(emitter, 0x81, size, operation, to, immediate, 4);
}

void host_emit_constant(struct host_emitter *emitter, unsigned reg, uint64_t value)
{
    if (value == (uint64_t)(int64_t)(int32_t)value && value >> 31 != 0) {
        host_emit_immediate(emitter, 0xc7, 8, 0, host_in(reg), (int32_t)value, 4);
        return;
    }
    const bool is_long = value >> 32 != 0;
    emitter->touched |= 1u << reg;
    const unsigned rex = (is_long ? REX_W : 0) | (reg >= 8 ? REX_B : 0);
    if (rex != 0)
        emit_byte(emitter, REX | rex);
    emit_byte(emitter, 0xb8 | (reg & 7));
    host_emit_bytes(emitter, value, is_long ? 8 : 4);
}

void host_emit_move(struct host_emitter *emitter, unsigned size, unsigned to, struct host_operand from)
{
    host_emit(emitter, size == 1 ? 0x8a : 0x8b, size, to, from);
}

void host_emit_store(struct host_emitter *emitter, unsigned size, struct host_operand to, unsigned from)
{
    host_emit(emitter, size == 1 ? 0x88 : 0x89, size, from, to);
}

void host_emit_align(struct host_emitter *emitter)
{
    /* NOPs of 1 byte to 9, in the forms that manuals recommend */
    static const uint8_t nops[][9] = {{0x90},
                                      {0x66, 0x90},
                                      {0x0f, 0x1f, 0x00},
                                      {0x0f, 0x1f, 0x40, 0x00},
                                      {0x0f, 0x1f, 0x44, 0x00, 0x00},
                                      {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
                                      {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
                                      {0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
                                      {0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00}};
    size_t left = (HOST_FETCH_LINE - (uintptr_t)emitter->at % HOST_FETCH_LINE) % HOST_FETCH_LINE;
    while (left > 0) {
        const size_t length = left < sizeof nops[0] ? left : sizeof nops[0];
        memcpy(emitter->at, nops[length - 1], length);
        emitter->at += length;
        left -= length;
    }
}

static uint8_t *emit_distance(struct host_emitter *emitter)
{
    emitter->at += 4;
    return emitter->at - 4;
}

uint8_t *host_emit_jump(struct host_emitter *emitter)
{
    emit_byte(emitter, 0xe9);
    return emit_distance(emitter);
}

uint8_t *host_emit_call(struct host_emitter *emitter)
{
    emit_byte(emitter, 0xe8);
    return emit_distance(emitter);
}

uint8_t *host_emit_branch(struct host_emitter *emitter, unsigned condition)
{
    emit_byte(emitter, 0x0f);
    emit_byte(emitter, 0x80 | condition);
    return emit_distance(emitter);
}

void host_link(uint8_t *distance, const uint8_t *target)
{
    const int32_t value = (int32_t)(target - (distance + 4));
    memcpy(distance, &value, sizeof value);
}
