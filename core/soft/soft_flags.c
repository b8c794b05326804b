#include "soft_flags.h"

#include "host_x86_64_int.h"

/* What RFLAGS has beside the six arithmetic flags and the bit that is always set; VM does not exist in long mode. */
#define OTHER_FLAGS 0x3d7700u

static unsigned top_bit(uint64_t value, unsigned bits)
{
    return (unsigned)(value >> (bits - 1)) & 1;
}

/* SF, ZF and PF, which depend on the result alone. */
static uint32_t result_flags(uint64_t result, unsigned bits)
{
    uint32_t flags = top_bit(result, bits) ? SOFT_SF : 0;
    if (result == 0)
        flags |= SOFT_ZF;
    if (__builtin_parity((unsigned)result & 0xff) == 0)
        flags |= SOFT_PF;
    return flags;
}

/* `carries` has the carry, or borrow, out of each bit. */
static uint32_t carry_flags(uint64_t carries, uint64_t overflow, unsigned bits)
{
    return top_bit(carries, bits) | (carries & 8 ? SOFT_AF : 0) | (top_bit(overflow, bits) ? SOFT_OF : 0);
}

static uint32_t add_flags(uint64_t left, uint64_t right, uint64_t result, unsigned bits)
{
    return carry_flags((left & right) | ((left | right) & ~result), (left ^ result) & (right ^ result), bits) |
           result_flags(result, bits);
}

static uint32_t sub_flags(uint64_t left, uint64_t right, uint64_t result, unsigned bits)
{
    return carry_flags((~left & right) | (~(left ^ right) & result), (left ^ right) & (left ^ result), bits) |
           result_flags(result, bits);
}

static uint32_t inc_flags(uint64_t result, unsigned carry, unsigned bits)
{
    const uint32_t auxiliary = (result & 0xf) == 0 ? SOFT_AF : 0;
    const uint32_t overflow = result == 1ull << (bits - 1) ? SOFT_OF : 0;
    return carry | auxiliary | overflow | result_flags(result, bits);
}

static uint32_t dec_flags(uint64_t result, unsigned carry, unsigned bits)
{
    const uint32_t auxiliary = (result & 0xf) == 0xf ? SOFT_AF : 0;
    const uint32_t overflow = result == (1ull << (bits - 1)) - 1 ? SOFT_OF : 0;
    return carry | auxiliary | overflow | result_flags(result, bits);
}

#define SHIFT_LEFT 4u
#define SHIFT_RIGHT 5u
#define SHIFT_ARITHMETIC_RIGHT 7u

static uint32_t shift_flags(unsigned operation, unsigned size, uint64_t value, uint64_t count)
{
    return host_shift(operation, size, &value, (uint8_t)count, 0);
}

uint32_t soft_arithmetic(const struct soft_cpu *cpu)
{
    const unsigned kind = cpu->flag_operation & ~3u, size = 1u << (cpu->flag_operation & 3), bits = 8 * size;
    const uint64_t left = cpu->flag_left, right = cpu->flag_right, result = cpu->flag_result;
    switch (kind) {
    case SOFT_FLAGS_KNOWN:
        return (uint32_t)result;
    case SOFT_FLAGS_ADD:
        return add_flags(left, right, result, bits);
    case SOFT_FLAGS_SUB:
        return sub_flags(left, right, result, bits);
    case SOFT_FLAGS_LOGIC:
        return result_flags(result, bits);
    case SOFT_FLAGS_INC:
        return inc_flags(result, (unsigned)right, bits);
    case SOFT_FLAGS_DEC:
        return dec_flags(result, (unsigned)right, bits);
    case SOFT_FLAGS_SHL:
        return shift_flags(SHIFT_LEFT, size, left, right);
    case SOFT_FLAGS_SHR:
        return shift_flags(SHIFT_RIGHT, size, left, right);
    case SOFT_FLAGS_SAR:
        return shift_flags(SHIFT_ARITHMETIC_RIGHT, size, left, right);
    case SOFT_FLAGS_MUL:
        return host_mul_flags(size, left, right, 0);
    case SOFT_FLAGS_IMUL:
        return host_imul_flags(size, left, right, 0);
    default:
        return host_imul2_flags(size, left, right, 0);
    }
}

unsigned soft_carry(const struct soft_cpu *cpu)
{
    const unsigned kind = cpu->flag_operation & ~3u, bits = 8u << (cpu->flag_operation & 3);
    const uint64_t left = cpu->flag_left, right = cpu->flag_right, result = cpu->flag_result;
    switch (kind) {
    case SOFT_FLAGS_ADD:
        return top_bit((left & right) | ((left | right) & ~result), bits);
    case SOFT_FLAGS_SUB:
        return top_bit((~left & right) | (~(left ^ right) & result), bits);
    case SOFT_FLAGS_LOGIC:
        return 0;
    case SOFT_FLAGS_INC:
    case SOFT_FLAGS_DEC:
        return (unsigned)right;
    case SOFT_FLAGS_SHL:
        return right <= bits ? top_bit(left << (right - 1), bits) : soft_arithmetic(cpu) & SOFT_CF;
    case SOFT_FLAGS_SHR:
        return (unsigned)(left >> (right - 1)) & 1;
    default:
        return soft_arithmetic(cpu) & SOFT_CF;
    }
}

static bool zero(const struct soft_cpu *cpu)
{
    const unsigned kind = cpu->flag_operation & ~3u;
    if (kind == SOFT_FLAGS_KNOWN || kind >= SOFT_FLAGS_MUL)
        return (soft_arithmetic(cpu) & SOFT_ZF) != 0;
    return cpu->flag_result == 0;
}

static bool less(uint32_t flags)
{
    return ((flags & SOFT_SF) != 0) != ((flags & SOFT_OF) != 0);
}

bool soft_condition(const struct soft_cpu *cpu, unsigned code)
{
    bool holds;
    switch (code >> 1 & 7) {
    case 0:
        holds = (soft_arithmetic(cpu) & SOFT_OF) != 0;
        break;
    case 1:
        holds = soft_carry(cpu) != 0;
        break;
    case 2:
        holds = zero(cpu);
        break;
    case 3:
        holds = soft_carry(cpu) != 0 || zero(cpu);
        break;
    case 4:
        holds = (soft_arithmetic(cpu) & SOFT_SF) != 0;
        break;
    case 5:
        holds = (soft_arithmetic(cpu) & SOFT_PF) != 0;
        break;
    case 6:
        holds = less(soft_arithmetic(cpu));
        break;
    default:
        holds = zero(cpu) || less(soft_arithmetic(cpu));
        break;
    }
    return holds != (code & 1);
}

uint64_t soft_rflags(const struct soft_cpu *cpu)
{
    return cpu->rflags | MH_RFLAGS_FIXED | soft_arithmetic(cpu);
}

void soft_set_arithmetic(struct soft_cpu *cpu, uint32_t value)
{
    cpu->flag_operation = SOFT_FLAGS_KNOWN;
    cpu->flag_result = value & SOFT_ARITHMETIC;
}

void soft_set_rflags(struct soft_cpu *cpu, uint64_t value)
{
    cpu->rflags = (value & OTHER_FLAGS) | MH_RFLAGS_FIXED;
    soft_set_arithmetic(cpu, (uint32_t)value);
    soft_update_attention(cpu);
}
