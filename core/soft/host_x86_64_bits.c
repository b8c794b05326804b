/*
 * Bit tests and scans of registers in generated code: the guest's instruction itself. The manual leaves flags of theirs
 * undefined, so where flags are read afterwards, the host's are the guest's before, as in host_x86_64_int.c.
 */
#include "host_x86_64_jit.h"

#include "soft_handlers.h"

#define BIT_TEST_IMMEDIATE (HOST_0F | 0xbau)

static bool is_bit_test(const struct soft_op *op)
{
    return op->insn->run == soft_op_bit_test;
}

static uint32_t scan_opcode(const struct soft_op *op)
{
    static const struct {
        soft_handler *run;
        uint32_t opcode;
    } scans[] = {{soft_op_bsf, HOST_0F | 0xbc},
                 {soft_op_bsr, HOST_0F | 0xbd},
                 {soft_op_tzcnt, HOST_F3 | HOST_0F | 0xbc},
                 {soft_op_lzcnt, HOST_F3 | HOST_0F | 0xbd},
                 {soft_op_popcnt, HOST_F3 | HOST_0F | 0xb8}};
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++)
        if (op->insn->run == scans[i].run)
            return scans[i].opcode;
    return 0;
}

/* `to` is the register that is tested. The number of the bit may be in T1. */
static void emit_bit_test(struct jit_writer *writer, const struct soft_op *op, unsigned to)
{
    const struct soft_insn *const insn = op->insn;
    const unsigned size = insn->operand_size;
    unsigned bit = jit_host_register(writer, op->base);
    if (insn->opcode == 0xba) {
        host_emit_immediate(&writer->code, BIT_TEST_IMMEDIATE, size, insn->modrm >> 3 & 7u, host_in(to),
                            (int32_t)(insn->immediate & (8u * size - 1)), 1);
        return;
    }
    if (bit == HOST_NO_REGISTER) {
        bit = JIT_T1;
        host_emit_move(&writer->code, 8, bit, jit_place(writer, op->base));
    }
    host_emit(&writer->code, HOST_0F | insn->opcode, size, bit, host_in(to));
}

bool jit_bits(struct jit_writer *writer, const struct soft_op *op, const struct jit_row *row)
{
    const unsigned reg = jit_host_register(writer, op->reg), to = reg == HOST_NO_REGISTER ? (unsigned)JIT_T2 : reg;
    const uint32_t opcode = is_bit_test(op) ? 0 : scan_opcode(op);
    (void)row;
    jit_claim_t1(writer);
    if (jit_flags_live_after(writer, writer->op))
        jit_flags_need(writer);
    if (reg == HOST_NO_REGISTER)
        host_emit_move(&writer->code, 8, to, jit_place(writer, op->reg));
    if (is_bit_test(op))
        emit_bit_test(writer, op, to);
    else
        host_emit(&writer->code, opcode, op->insn->operand_size, to, jit_place(writer, op->base));
    writer->code.touched |= 1u << to;
    if (reg == HOST_NO_REGISTER)
        host_emit_store(&writer->code, 8, jit_place(writer, op->reg), to);
    jit_flags_set_once(writer);
    return true;
}
