/* Instructions that move, extend or exchange values, or move flags, and those that do nothing. */
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"

enum soft_result soft_op_mov_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    if (!soft_write_rm(cpu, insn, size, soft_get_register(cpu, insn, insn->reg, size)))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_op_mov_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_set_register(cpu, insn, insn->reg, insn->operand_size, value);
    return SOFT_NEXT;
}

enum soft_result soft_op_mov_imm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!soft_write_rm(cpu, insn, insn->operand_size, insn->immediate))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_op_mov_reg_imm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    soft_set_register(cpu, insn, insn->rm, insn->operand_size, insn->immediate);
    return SOFT_NEXT;
}

/* A0 to A3 name an address without ModRM. */
static uint64_t moffs_address(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return insn->immediate + (insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0);
}

enum soft_result soft_op_mov_from_moffs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_load(cpu, insn->segment, moffs_address(cpu, insn), insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, MH_RAX, insn->operand_size, value);
    return SOFT_NEXT;
}

enum soft_result soft_op_mov_to_moffs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!soft_store(cpu, insn->segment, moffs_address(cpu, insn), insn->operand_size, cpu->gpr[MH_RAX]))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_op_movzx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->opcode & 1 ? 2 : 1, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, insn->reg, insn->operand_size, value);
    return SOFT_NEXT;
}

enum soft_result soft_op_movsx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->opcode & 1 ? 2 : 1;
    uint64_t value;
    if (!soft_read_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, insn->reg, insn->operand_size, soft_sign_extend(value, size));
    return SOFT_NEXT;
}

/* Without REX.W it is a plain move. */
enum soft_result soft_op_movsxd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size == 2 ? 2 : 4;
    uint64_t value;
    if (!soft_read_rm(cpu, insn, size, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, insn->reg, insn->operand_size, soft_sign_extend(value, size));
    return SOFT_NEXT;
}

static uint64_t swap_bytes(uint64_t value, unsigned size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

enum soft_result soft_op_movbe_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, insn->reg, insn->operand_size, swap_bytes(value, insn->operand_size));
    return SOFT_NEXT;
}

enum soft_result soft_op_movbe_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!soft_write_rm(cpu, insn, insn->operand_size, swap_bytes(cpu->gpr[insn->reg], insn->operand_size)))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_op_movnti(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_op_mov_store(cpu, insn);
}

/* No segment base is added. */
enum soft_result soft_op_lea(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    struct soft_insn flat = *insn;
    flat.segment = MH_DS;
    soft_put(cpu, insn->reg, insn->operand_size, soft_address(cpu, &flat));
    return SOFT_NEXT;
}

enum soft_result soft_op_xchg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    const uint64_t mine = soft_get_register(cpu, insn, insn->reg, size);
    uint64_t other;
    if (!soft_modify_rm(cpu, insn, size, &other))
        return soft_mem_result(cpu);
    soft_write_rm(cpu, insn, size, mine);
    soft_set_register(cpu, insn, insn->reg, size, other);
    return SOFT_NEXT;
}

/* 90 is NOP unless REX.B makes it name r8; with F3 it is PAUSE in any case. */
enum soft_result soft_op_xchg_rax(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (insn->rm == MH_RAX || (insn->opcode == 0x90 && insn->prefixes & SOFT_PREFIX_REP))
        return SOFT_NEXT;
    const uint64_t rax = cpu->gpr[MH_RAX];
    soft_put(cpu, MH_RAX, insn->operand_size, cpu->gpr[insn->rm]);
    soft_put(cpu, insn->rm, insn->operand_size, rax);
    return SOFT_NEXT;
}

/* Memory is read, and the upper half of a 32-bit destination cleared, whether the condition holds or not. */
enum soft_result soft_op_cmov(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &value))
        return soft_mem_result(cpu);
    if (!soft_condition(cpu, insn->opcode))
        value = cpu->gpr[insn->reg];
    soft_put(cpu, insn->reg, insn->operand_size, value);
    return SOFT_NEXT;
}

enum soft_result soft_op_setcc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!soft_write_rm(cpu, insn, 1, soft_condition(cpu, insn->opcode)))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result soft_op_xlat(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t address = cpu->gpr[MH_RBX] + (cpu->gpr[MH_RAX] & 0xff), value;
    if (insn->address_size == 4)
        address = (uint32_t)address;
    if (insn->segment >= MH_FS)
        address += cpu->seg[insn->segment].base;
    if (!soft_load(cpu, insn->segment, address, 1, &value))
        return soft_mem_result(cpu);
    soft_put(cpu, MH_RAX, 1, value);
    return SOFT_NEXT;
}

/* CBW, CWDE, CDQE */
enum soft_result soft_op_cbw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    soft_put(cpu, MH_RAX, size, soft_sign_extend(cpu->gpr[MH_RAX], size / 2));
    return SOFT_NEXT;
}

/* CWD, CDQ, CQO */
enum soft_result soft_op_cwd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    const bool negative = cpu->gpr[MH_RAX] >> (8 * size - 1) & 1;
    soft_put(cpu, MH_RDX, size, negative ? ~0ull : 0);
    return SOFT_NEXT;
}

#define AH_FLAGS (SOFT_SF | SOFT_ZF | SOFT_AF | SOFT_PF | SOFT_CF)

enum soft_result soft_op_lahf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    const uint64_t flags = (soft_arithmetic(cpu) & AH_FLAGS) | MH_RFLAGS_FIXED;
    cpu->gpr[MH_RAX] = (cpu->gpr[MH_RAX] & ~0xff00ull) | flags << 8;
    return SOFT_NEXT;
}

enum soft_result soft_op_sahf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    const uint32_t flags = (uint32_t)(cpu->gpr[MH_RAX] >> 8) & AH_FLAGS;
    soft_set_arithmetic(cpu, (soft_arithmetic(cpu) & SOFT_OF) | flags);
    return SOFT_NEXT;
}

enum soft_result soft_op_clc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    soft_set_arithmetic(cpu, soft_arithmetic(cpu) & ~SOFT_CF);
    return SOFT_NEXT;
}

enum soft_result soft_op_stc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    soft_set_arithmetic(cpu, soft_arithmetic(cpu) | SOFT_CF);
    return SOFT_NEXT;
}

enum soft_result soft_op_cmc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    soft_set_arithmetic(cpu, soft_arithmetic(cpu) ^ SOFT_CF);
    return SOFT_NEXT;
}

enum soft_result soft_op_cld(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    cpu->rflags &= ~(uint64_t)MH_RFLAGS_DF;
    return SOFT_NEXT;
}

enum soft_result soft_op_std(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    cpu->rflags |= MH_RFLAGS_DF;
    return SOFT_NEXT;
}

/* NOP, hints, prefetches and fences: accesses are in order and nothing is cached. */
enum soft_result soft_op_nop(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)cpu;
    (void)insn;
    return SOFT_NEXT;
}

/* CLFLUSH, CLFLUSHOPT and CLWB fault as a read does. The register form of CLFLUSH is SFENCE. */
enum soft_result soft_op_clflush(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (insn->has_memory && !soft_probe(cpu, insn->segment, soft_address(cpu, insn), 1, false))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}
