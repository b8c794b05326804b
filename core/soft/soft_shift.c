/*
 * Shifts and rotations. The host executes them all: what a count above 1 does to OF, and what a count above the
 * operand's size does to anything, is undefined.
 */
#include "host_x86_64_int.h"
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"

/* C0, C1: by an immediate; D0, D1: by 1; D2, D3: by CL. */
static uint8_t shift_count(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (insn->opcode < 0xd0)
        return (uint8_t)insn->immediate;
    return insn->opcode < 0xd2 ? 1 : (uint8_t)cpu->gpr[MH_RCX];
}

enum soft_result soft_op_shift(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    const uint8_t count = shift_count(cpu, insn);
    uint64_t value;
    if (!soft_modify_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    const unsigned operation = insn->modrm >> 3 & 7;
    const bool rotates_by_immediate = operation < 2 && insn->opcode < 0xd2 && !insn->has_memory;
    const uint32_t flags = rotates_by_immediate
                               ? host_rotate_immediate(operation == 1, size, &value, count, soft_arithmetic(cpu))
                               : host_shift(operation, size, &value, count, soft_arithmetic(cpu));
    soft_write_rm(cpu, insn, size, value);
    soft_set_arithmetic(cpu, flags);
    return SOFT_NEXT;
}

static enum soft_result double_shift(struct soft_cpu *cpu, const struct soft_insn *insn, bool right)
{
    const unsigned size = insn->operand_size;
    const uint8_t count = (uint8_t)(insn->opcode & 1 ? cpu->gpr[MH_RCX] : insn->immediate);
    uint64_t value;
    if (!soft_modify_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    const uint32_t flags = host_double_shift(right, size, &value, cpu->gpr[insn->reg], count, soft_arithmetic(cpu));
    soft_write_rm(cpu, insn, size, value);
    soft_set_arithmetic(cpu, flags);
    return SOFT_NEXT;
}

enum soft_result soft_op_shld(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return double_shift(cpu, insn, false);
}

enum soft_result soft_op_shrd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return double_shift(cpu, insn, true);
}

/* The instructions of BMI2 change no flags. */
enum soft_result soft_op_rorx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size, bits = 8 * size;
    uint64_t value;
    if (insn->vvvv != 0)
        return soft_op_ud(cpu, insn);
    if (!soft_read_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    const unsigned count = (unsigned)insn->immediate & (bits - 1);
    if (count != 0)
        value = value >> count | value << (bits - count);
    soft_put(cpu, insn->reg, size, value);
    return SOFT_NEXT;
}

enum soft_result soft_op_sarx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    uint64_t value;
    if (!soft_read_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    const unsigned count = (unsigned)cpu->gpr[insn->vvvv] & (8 * size - 1);
    soft_put(cpu, insn->reg, size, (uint64_t)((int64_t)soft_sign_extend(value, size) >> count));
    return SOFT_NEXT;
}

enum soft_result soft_op_shlx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, insn->reg, insn->operand_size, value << (cpu->gpr[insn->vvvv] & (8u * insn->operand_size - 1)));
    return SOFT_NEXT;
}

enum soft_result soft_op_shrx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, insn->reg, insn->operand_size, value >> (cpu->gpr[insn->vvvv] & (8u * insn->operand_size - 1)));
    return SOFT_NEXT;
}
