/* Multiplication and division. Products are computed here, their flags and quotients by the host when asked for. */
#include "host_x86_64_int.h"
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"

#define VECTOR_DIVIDE_ERROR 0u

typedef unsigned __int128 u128;
typedef __int128 s128;

/* rdx:rax, or ax for bytes. */
static void put_double(struct soft_cpu *cpu, unsigned size, uint64_t low, uint64_t high)
{
    if (size == 1) {
        soft_put(cpu, MH_RAX, 2, (low & 0xff) | (high & 0xff) << 8);
        return;
    }
    soft_put(cpu, MH_RAX, size, low);
    soft_put(cpu, MH_RDX, size, high);
}

static enum soft_result multiply(struct soft_cpu *cpu, const struct soft_insn *insn, bool is_signed)
{
    const unsigned size = insn->operand_size;
    uint64_t right;
    if (!soft_read_rm(cpu, insn, size, &right))
        return soft_mem_result(cpu);
    const uint64_t left = soft_truncate(cpu->gpr[MH_RAX], size);
    u128 product = (u128)left * right;
    if (is_signed)
        product = (u128)((s128)(int64_t)soft_sign_extend(left, size) * (int64_t)soft_sign_extend(right, size));
    put_double(cpu, size, (uint64_t)product, (uint64_t)(product >> 8 * size));
    soft_set_arithmetic(cpu, is_signed ? host_imul_flags(size, left, right, soft_arithmetic(cpu))
                                       : host_mul_flags(size, left, right, soft_arithmetic(cpu)));
    return SOFT_NEXT;
}

enum soft_result soft_op_mul(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return multiply(cpu, insn, false);
}

enum soft_result soft_op_imul(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return multiply(cpu, insn, true);
}

static void multiply_to_register(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t left, uint64_t right)
{
    const unsigned size = insn->operand_size;
    const uint32_t flags = host_imul2_flags(size, left, right, soft_arithmetic(cpu));
    soft_put(cpu, insn->reg, size, left * right);
    soft_set_arithmetic(cpu, flags);
}

enum soft_result soft_op_imul_reg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t right;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &right))
        return soft_mem_result(cpu);
    multiply_to_register(cpu, insn, soft_truncate(cpu->gpr[insn->reg], insn->operand_size), right);
    return SOFT_NEXT;
}

enum soft_result soft_op_imul_imm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t left;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &left))
        return soft_mem_result(cpu);
    multiply_to_register(cpu, insn, left, soft_truncate(insn->immediate, insn->operand_size));
    return SOFT_NEXT;
}

/* The high half is written last: it wins when both destinations are the same register. */
enum soft_result soft_op_mulx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    uint64_t right;
    if (!soft_read_rm(cpu, insn, size, &right))
        return soft_mem_result(cpu);
    const u128 product = (u128)soft_truncate(cpu->gpr[MH_RDX], size) * right;
    soft_put(cpu, insn->vvvv, size, (uint64_t)product);
    soft_put(cpu, insn->reg, size, (uint64_t)(product >> 8 * size));
    return SOFT_NEXT;
}

/* Does the quotient of high:low fit, so that the host can divide without a fault? */
static bool unsigned_fits(uint64_t high, uint64_t divisor)
{
    return high < divisor;
}

static bool signed_fits(unsigned size, uint64_t low, uint64_t high, uint64_t divisor)
{
    const unsigned bits = 8 * size;
    const s128 by = (int64_t)soft_sign_extend(divisor, size);
    const s128 dividend = (s128)((u128)(s128)(int64_t)soft_sign_extend(high, size) << bits | low);
    /* -2^127 / -1 does not even fit the host's type. */
    if (by == 0 || (by == -1 && low == 0 && size == 8 && high == 1ull << 63))
        return false;
    const s128 quotient = dividend / by;
    const s128 limit = (s128)1 << (bits - 1);
    return quotient >= -limit && quotient < limit;
}

static enum soft_result divide(struct soft_cpu *cpu, const struct soft_insn *insn, bool is_signed)
{
    const unsigned size = insn->operand_size;
    uint64_t divisor;
    if (!soft_read_rm(cpu, insn, size, &divisor))
        return soft_mem_result(cpu);
    uint64_t low = soft_truncate(cpu->gpr[MH_RAX], size);
    uint64_t high = size == 1 ? cpu->gpr[MH_RAX] >> 8 & 0xff : soft_truncate(cpu->gpr[MH_RDX], size);
    if (is_signed ? !signed_fits(size, low, high, divisor) : !unsigned_fits(high, divisor))
        return soft_raise(cpu, VECTOR_DIVIDE_ERROR);
    const uint32_t flags = soft_arithmetic(cpu);
    soft_set_arithmetic(cpu, is_signed ? host_idiv(size, &low, &high, divisor, flags)
                                       : host_div(size, &low, &high, divisor, flags));
    put_double(cpu, size, low, high);
    return SOFT_NEXT;
}

enum soft_result soft_op_div(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return divide(cpu, insn, false);
}

enum soft_result soft_op_idiv(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return divide(cpu, insn, true);
}
