/*
 * SSE in generated code: the guest's instruction itself, on the guest's registers, which have the same numbers on the
 * host. They are loaded before the first one, together, and stored where code is left that has loaded them. What an
 * operation of the interpreter computes is read from its stub (host_x86_64_simd.S).
 */
#include "host_x86_64_jit.h"

#include "host_x86_64_simd.h"

#define ALU_CMP 7u
#define STUB_MODRM 0xc1

void jit_load_sse(struct jit_writer *writer)
{
    if (writer->has_sse)
        return;
    host_emit_alu_immediate(&writer->code, ALU_CMP, 4, jit_field(offsetof(struct soft_cpu, code_has_sse)), 0);
    jit_leave_if(writer, HOST_CC_E);
    host_link(host_emit_call(&writer->code), writer->arena->memory.write + writer->arena->load_sse);
    writer->has_sse = true;
}

/* The instruction that a stub consists of, without its operands. False: it is of another form. */
static bool read_stub(const uint8_t *stub, uint32_t *opcode, int *immediate)
{
    *opcode = HOST_0F;
    if (*stub == 0x66 || *stub == 0xf2 || *stub == 0xf3)
        *opcode |= (uint32_t)*stub++ << 16;
    if (stub[0] != 0x0f || stub[2] != STUB_MODRM)
        return false;
    *opcode |= stub[1];
    *immediate = stub[3] == 0xc3 && stub[4] != 0xc3 ? -1 : stub[3];
    return true;
}

/* The opcode of an operation that has no stub. */
static uint32_t hot_opcode(unsigned code)
{
#define SIMD_ADD 0x58u
#define SIMD_MUL 0x59u
#define SIMD_SUB 0x5cu
#define SIMD_DIV 0x5eu
    static const uint32_t opcodes[] = {HOST_F2 | SIMD_ADD,
                                       HOST_F2 | SIMD_MUL,
                                       HOST_F2 | SIMD_SUB,
                                       HOST_F2 | SIMD_DIV,
                                       HOST_66 | SIMD_ADD,
                                       HOST_66 | SIMD_MUL,
                                       HOST_66 | SIMD_SUB,
                                       HOST_F3 | SIMD_ADD,
                                       HOST_F3 | SIMD_MUL,
                                       HOST_F3 | SIMD_SUB,
                                       SIMD_ADD,
                                       SIMD_MUL,
                                       SIMD_SUB};
    return HOST_0F | opcodes[(code - OP_addsd_RR) / 2];
}

/* Calculations: xmm = xmm operation xmm, or memory of `size` bytes. */
bool jit_sse(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand from = host_in(op->base);
    uint32_t opcode;
    int immediate = -1;
    if (op->code >= OP_addsd_RR)
        opcode = hot_opcode(op->code);
    else if (!read_stub(host_simd_0f_np + op->immediate, &opcode, &immediate))
        return false;
    jit_load_sse(writer);
    if (row->size == 16)
        jit_leave_unless_aligned(writer, op);
    if (row->size != 0 && !jit_look_up(writer, op, row->size, false, &from))
        return false;
    host_emit(&writer->code, opcode, 4, op->reg, from);
    if (immediate >= 0)
        host_emit_bytes(&writer->code, (uint64_t)immediate, 1);
    return true;
}

bool jit_sse_move(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    jit_load_sse(writer);
    host_emit(&writer->code, row->detail, 4, op->reg, host_in(op->base));
    return true;
}

static bool is_aligned(const struct soft_op *op)
{
    return op->code == OP_SSE_LOAD16_ALIGNED || op->code == OP_SSE_STORE16_ALIGNED;
}

bool jit_sse_load(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    jit_load_sse(writer);
    if (is_aligned(op))
        jit_leave_unless_aligned(writer, op);
    if (!jit_look_up(writer, op, row->size, false, &at))
        return false;
    host_emit(&writer->code, row->detail, 4, op->reg, at);
    return true;
}

bool jit_sse_store(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    struct host_operand at;
    jit_load_sse(writer);
    if (is_aligned(op))
        jit_leave_unless_aligned(writer, op);
    if (!jit_look_up(writer, op, row->size, true, &at))
        return false;
    host_emit(&writer->code, row->detail, 4, op->reg, at);
    return true;
}
