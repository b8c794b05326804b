/* Addition, subtraction, logic and comparison, and the instructions built from them. */
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"
#include "x86/exceptions.h"

/* In the order of their encoding: bits 3 to 5 of the opcode, ModRM.reg of 80 to 83. */
enum alu_operation { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

/* Returns the result and sets the flags. */
static uint64_t alu(struct soft_cpu *cpu, unsigned operation, unsigned size, uint64_t left, uint64_t right)
{
    uint64_t result;
    enum soft_flags_kind kind = SOFT_FLAGS_LOGIC;
    switch (operation) {
    case ALU_ADD:
    case ALU_ADC:
        kind = SOFT_FLAGS_ADD;
        result = left + right + (operation == ALU_ADC ? soft_carry(cpu) : 0);
        break;
    case ALU_OR:
        result = left | right;
        break;
    case ALU_AND:
        result = left & right;
        break;
    case ALU_XOR:
        result = left ^ right;
        break;
    default:
        kind = SOFT_FLAGS_SUB;
        result = left - right - (operation == ALU_SBB ? soft_carry(cpu) : 0);
        break;
    }
    result = soft_truncate(result, size);
    soft_flags_from(cpu, kind, size, left, right, result);
    return result;
}

/* r/m is the destination. */
static enum soft_result alu_to_rm(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned operation,
                                  uint64_t right)
{
    const unsigned size = insn->operand_size;
    uint64_t left;
    if (operation == ALU_CMP) {
        if (!soft_read_rm(cpu, insn, size, &left))
            return soft_mem_result(cpu);
        alu(cpu, operation, size, left, right);
        return SOFT_NEXT;
    }
    if (!soft_modify_rm(cpu, insn, size, &left))
        return soft_mem_result(cpu);
    soft_write_rm(cpu, insn, size, alu(cpu, operation, size, left, right));
    return SOFT_NEXT;
}

static enum soft_result alu_to_register(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned operation,
                                        unsigned number, uint64_t right)
{
    const unsigned size = insn->operand_size;
    const uint64_t result = alu(cpu, operation, size, soft_get_register(cpu, insn, number, size), right);
    if (operation != ALU_CMP)
        soft_set_register(cpu, insn, number, size, result);
    return SOFT_NEXT;
}

enum soft_result soft_op_alu(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    if (insn->opcode >= 0x80)
        return alu_to_rm(cpu, insn, insn->modrm >> 3 & 7, soft_truncate(insn->immediate, size));
    const unsigned operation = insn->opcode >> 3;
    switch (insn->opcode & 7) {
    case 0:
    case 1:
        return alu_to_rm(cpu, insn, operation, soft_get_register(cpu, insn, insn->reg, size));
    case 2:
    case 3: {
        uint64_t right;
        if (!soft_read_rm(cpu, insn, size, &right))
            return soft_mem_result(cpu);
        return alu_to_register(cpu, insn, operation, insn->reg, right);
    }
    default:
        return alu_to_register(cpu, insn, operation, MH_RAX, soft_truncate(insn->immediate, size));
    }
}

/* 84, 85: with a register; A8, A9: rax with an immediate; F6, F7: r/m with an immediate. */
enum soft_result soft_op_test(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    uint64_t left = soft_truncate(cpu->gpr[MH_RAX], size), right = soft_truncate(insn->immediate, size);
    if (insn->opcode < 0xa8)
        right = soft_get_register(cpu, insn, insn->reg, size);
    if ((insn->opcode & 0xfe) != 0xa8 && !soft_read_rm(cpu, insn, size, &left))
        return soft_mem_result(cpu);
    alu(cpu, ALU_AND, size, left, right);
    return SOFT_NEXT;
}

static enum soft_result step_rm(struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_flags_kind kind,
                                uint64_t step)
{
    const unsigned size = insn->operand_size;
    uint64_t value;
    if (!soft_modify_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    value = soft_truncate(value + step, size);
    soft_flags_from(cpu, kind, size, 0, soft_carry(cpu), value);
    soft_write_rm(cpu, insn, size, value);
    return SOFT_NEXT;
}

enum soft_result soft_op_inc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return step_rm(cpu, insn, SOFT_FLAGS_INC, 1);
}

enum soft_result soft_op_dec(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return step_rm(cpu, insn, SOFT_FLAGS_DEC, ~0ull);
}

enum soft_result soft_op_not(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_modify_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_write_rm(cpu, insn, insn->operand_size, ~value);
    return SOFT_NEXT;
}

enum soft_result soft_op_neg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_modify_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_write_rm(cpu, insn, insn->operand_size, alu(cpu, ALU_SUB, insn->operand_size, 0, value));
    return SOFT_NEXT;
}

/* The source register is written first, so that the sum wins when both are the same register. */
enum soft_result soft_op_xadd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    const uint64_t right = soft_get_register(cpu, insn, insn->reg, size);
    uint64_t left;
    if (insn->has_memory) {
        const uint64_t address = soft_address(cpu, insn);
        left = 0;
        if (!soft_read_for_write(cpu, insn->segment, address, &left, size))
            return soft_mem_result(cpu);
        soft_store(cpu, insn->segment, address, size, alu(cpu, ALU_ADD, size, left, right));
        soft_set_register(cpu, insn, insn->reg, size, left);
        return SOFT_NEXT;
    }
    left = soft_get_register(cpu, insn, insn->rm, size);
    soft_set_register(cpu, insn, insn->reg, size, left);
    soft_set_register(cpu, insn, insn->rm, size, alu(cpu, ALU_ADD, size, left, right));
    return SOFT_NEXT;
}

/* Memory is written whatever the comparison says. */
enum soft_result soft_op_cmpxchg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    const uint64_t expected = soft_truncate(cpu->gpr[MH_RAX], size);
    const uint64_t replacement = soft_get_register(cpu, insn, insn->reg, size);
    uint64_t current;
    if (!soft_modify_rm(cpu, insn, size, &current))
        return soft_mem_result(cpu);
    alu(cpu, ALU_CMP, size, expected, current);
    if (current == expected) {
        soft_write_rm(cpu, insn, size, replacement);
        return SOFT_NEXT;
    }
    if (insn->has_memory)
        soft_write_rm(cpu, insn, size, current);
    soft_put(cpu, MH_RAX, size, current);
    return SOFT_NEXT;
}

/* CMPXCHG8B and, with REX.W, CMPXCHG16B, whose operand must be aligned. */
enum soft_result soft_op_cmpxchg_wide(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned half = insn->rex_w ? 8 : 4;
    const uint64_t address = soft_address(cpu, insn);
    if (half == 8 && address % 16 != 0)
        return soft_raise_error(cpu, EXCEPTION_GENERAL_PROTECTION, 0);
    uint8_t bytes[16];
    if (!soft_read_for_write(cpu, insn->segment, address, bytes, 2 * half))
        return soft_mem_result(cpu);
    uint64_t low = 0, high = 0;
    memcpy(&low, bytes, half);
    memcpy(&high, bytes + half, half);
    const bool equal = low == soft_truncate(cpu->gpr[MH_RAX], half) && high == soft_truncate(cpu->gpr[MH_RDX], half);
    if (equal) {
        memcpy(bytes, &cpu->gpr[MH_RBX], half);
        memcpy(bytes + half, &cpu->gpr[MH_RCX], half);
    } else {
        soft_put(cpu, MH_RAX, half, low);
        soft_put(cpu, MH_RDX, half, high);
    }
    soft_write(cpu, insn->segment, address, bytes, 2 * half);
    soft_set_arithmetic(cpu, (soft_arithmetic(cpu) & ~SOFT_ZF) | (equal ? SOFT_ZF : 0));
    return SOFT_NEXT;
}

/* Addition with one flag as carry in and out; 66 belongs to the opcode and does not make operands small. */
static enum soft_result add_with_flag(struct soft_cpu *cpu, const struct soft_insn *insn, uint32_t flag)
{
    const unsigned size = insn->rex_w ? 8 : 4;
    const uint32_t flags = soft_arithmetic(cpu);
    uint64_t right, sum;
    if (!soft_read_rm(cpu, insn, size, &right))
        return soft_mem_result(cpu);
    const uint64_t left = soft_truncate(cpu->gpr[insn->reg], size), in = flags & flag ? 1 : 0;
    const bool carried_first = __builtin_add_overflow(left, right, &sum);
    const bool carried = __builtin_add_overflow(sum, in, &sum) || carried_first || (size == 4 && sum >> 32 != 0);
    soft_put(cpu, insn->reg, size, sum);
    soft_set_arithmetic(cpu, (flags & ~flag) | (carried ? flag : 0));
    return SOFT_NEXT;
}

enum soft_result soft_op_adcx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return add_with_flag(cpu, insn, SOFT_CF);
}

enum soft_result soft_op_adox(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return add_with_flag(cpu, insn, SOFT_OF);
}
