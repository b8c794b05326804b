/* Bit tests, bit scans, BMI1 and BMI2, byte order, CRC32. */
#include "host_x86_64_int.h"
#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"

/* 0 to 3: BT, BTS, BTR, BTC; in the opcode, or in ModRM.reg of 0F BA. */
static unsigned bit_operation(const struct soft_insn *insn)
{
    return (insn->opcode == 0xba ? insn->modrm : insn->opcode) >> 3 & 3;
}

/* A bit offset in a register reaches beyond a memory operand: it is a signed index into a string of bits. */
static uint64_t bit_address(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    struct soft_insn moved = *insn;
    const uint64_t address = soft_address(cpu, insn);
    if (insn->opcode == 0xba)
        return address;
    const unsigned size = insn->operand_size;
    const int64_t offset = (int64_t)soft_sign_extend(cpu->gpr[insn->reg], size);
    const int64_t bytes = (offset >> (3 + soft_log2_size(size))) * (int64_t)size;
    if (insn->address_size == 8)
        return address + (uint64_t)bytes;
    /* Offsets wrap within the address size, before the segment base is added. */
    const uint64_t base = insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0;
    moved.segment = MH_DS;
    return (uint32_t)(soft_address(cpu, &moved) + (uint64_t)bytes) + base;
}

enum soft_result soft_op_bit_test(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size, operation = bit_operation(insn);
    const uint64_t index = insn->opcode == 0xba ? insn->immediate : cpu->gpr[insn->reg];
    const uint64_t bit = index & (8u * size - 1), address = insn->has_memory ? bit_address(cpu, insn) : 0;
    uint64_t value = 0;
    if (!insn->has_memory)
        value = soft_truncate(cpu->gpr[insn->rm], size);
    else if (operation == 0 ? !soft_read(cpu, insn->segment, address, &value, size)
                            : !soft_read_for_write(cpu, insn->segment, address, &value, size))
        return soft_mem_result(cpu);
    const uint32_t flags = host_bit_test(operation, size, &value, bit, soft_arithmetic(cpu));
    if (operation != 0 && insn->has_memory)
        soft_write(cpu, insn->segment, address, &value, size);
    else if (operation != 0)
        soft_put(cpu, insn->rm, size, value);
    soft_set_arithmetic(cpu, flags);
    return SOFT_NEXT;
}

/* The host gets the whole destination: with a source of 0, BSF and BSR leave it as it is, or half of it. */
static enum soft_result unary(struct soft_cpu *cpu, const struct soft_insn *insn, enum host_unary operation,
                              unsigned to)
{
    uint64_t from;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &from))
        return soft_mem_result(cpu);
    const uint32_t flags = host_unary(operation, insn->operand_size, &cpu->gpr[to], from, soft_arithmetic(cpu));
    soft_set_arithmetic(cpu, flags);
    return SOFT_NEXT;
}

enum soft_result soft_op_bsf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return unary(cpu, insn, HOST_BSF, insn->reg);
}

enum soft_result soft_op_bsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return unary(cpu, insn, HOST_BSR, insn->reg);
}

enum soft_result soft_op_tzcnt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return unary(cpu, insn, HOST_TZCNT, insn->reg);
}

enum soft_result soft_op_lzcnt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return unary(cpu, insn, HOST_LZCNT, insn->reg);
}

enum soft_result soft_op_popcnt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return unary(cpu, insn, HOST_POPCNT, insn->reg);
}

/* BLSR, BLSMSK, BLSI: ModRM.reg 1 to 3. */
enum soft_result soft_op_bls(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    static const enum host_unary operations[] = {HOST_BLSR, HOST_BLSR, HOST_BLSMSK, HOST_BLSI};
    return unary(cpu, insn, operations[insn->modrm >> 3 & 3], insn->vvvv);
}

enum soft_result soft_op_bswap(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t *value = &cpu->gpr[insn->rm];
    if (insn->operand_size == 8)
        *value = __builtin_bswap64(*value);
    else if (insn->operand_size == 4)
        *value = __builtin_bswap32((uint32_t)*value);
    else
        soft_put(cpu, insn->rm, 2, host_bswap16((uint16_t)*value));
    return SOFT_NEXT;
}

enum soft_result soft_op_crc32(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t data;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &data))
        return soft_mem_result(cpu);
    cpu->gpr[insn->reg] = host_crc32(insn->operand_size, (uint32_t)cpu->gpr[insn->reg], data);
    return SOFT_NEXT;
}

/* r/m is the second operand of ANDN, PDEP and PEXT, the first of BEXTR and BZHI; vvvv is the other one. */
static enum soft_result binary(struct soft_cpu *cpu, const struct soft_insn *insn, enum host_binary operation,
                               bool rm_first, bool has_flags)
{
    uint64_t rm, result;
    if (!soft_read_rm(cpu, insn, insn->operand_size, &rm))
        return soft_mem_result(cpu);
    const uint64_t other = cpu->gpr[insn->vvvv];
    const uint32_t flags = host_binary(operation, insn->operand_size, &result, rm_first ? rm : other,
                                       rm_first ? other : rm, has_flags ? soft_arithmetic(cpu) : 0);
    cpu->gpr[insn->reg] = result;
    if (has_flags)
        soft_set_arithmetic(cpu, flags);
    return SOFT_NEXT;
}

enum soft_result soft_op_andn(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return binary(cpu, insn, HOST_ANDN, false, true);
}

enum soft_result soft_op_bextr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return binary(cpu, insn, HOST_BEXTR, true, true);
}

enum soft_result soft_op_bzhi(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return binary(cpu, insn, HOST_BZHI, true, true);
}

enum soft_result soft_op_pdep(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return binary(cpu, insn, HOST_PDEP, false, false);
}

enum soft_result soft_op_pext(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return binary(cpu, insn, HOST_PEXT, false, false);
}
