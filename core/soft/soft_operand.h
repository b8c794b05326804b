/* Operands of integer instructions: registers of all sizes, and memory or a register as ModRM says. */
#ifndef MH_CORE_SOFT_SOFT_OPERAND_H
#define MH_CORE_SOFT_SOFT_OPERAND_H

#include "soft_mem.h"
#include "soft_walk.h"

static inline uint64_t soft_truncate(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

static inline uint64_t soft_sign_extend(uint64_t value, unsigned size)
{
    const unsigned unused = 64 - 8 * size;
    return (uint64_t)((int64_t)(value << unused) >> unused);
}

/* Byte registers 4 to 7 are ah, ch, dh and bh without REX. */
static inline bool soft_is_high_byte(const struct soft_insn *insn, unsigned number, unsigned size)
{
    return size == 1 && number >= 4 && !(insn->prefixes & (SOFT_PREFIX_REX | SOFT_PREFIX_VEX));
}

static inline uint64_t soft_get_register(const struct soft_cpu *cpu, const struct soft_insn *insn, unsigned number,
                                         unsigned size)
{
    if (soft_is_high_byte(insn, number, size))
        return cpu->gpr[number - 4] >> 8 & 0xff;
    return soft_truncate(cpu->gpr[number], size);
}

/* 32-bit results clear the upper half, smaller ones leave the rest as it was. */
static inline void soft_put(struct soft_cpu *cpu, unsigned number, unsigned size, uint64_t value)
{
    if (size >= 4)
        cpu->gpr[number] = soft_truncate(value, size);
    else
        cpu->gpr[number] = (cpu->gpr[number] & ~soft_truncate(~0ull, size)) | soft_truncate(value, size);
}

static inline void soft_set_register(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned number, unsigned size,
                                     uint64_t value)
{
    if (soft_is_high_byte(insn, number, size))
        cpu->gpr[number - 4] = (cpu->gpr[number - 4] & ~0xff00ull) | (value & 0xff) << 8;
    else
        soft_put(cpu, number, size, value);
}

/* Where the operand is on the host when a TLB has its page and nothing has to be looked at; else NULL. */
static inline uint8_t *soft_at_hand(const struct soft_tlb_entry *tlb, uint64_t address, unsigned size)
{
    const struct soft_tlb_entry *entry = &tlb[address >> 12 & (SOFT_TLB_SIZE - 1)];
    const uint64_t last_page = (address + (size - 1)) & ~0xfffull;
    return __builtin_expect(entry->tag == last_page, 1) ? soft_tlb_at(entry, address) : NULL;
}

/* Memory of 1, 2, 4 or 8 bytes, zero-extended. */
static inline bool soft_load(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned size, uint64_t *value)
{
    const uint8_t *at = soft_at_hand(cpu->tlb_read[cpu->user], address, size);
    *value = 0;
    if (at == NULL)
        return soft_read(cpu, segment, address, value, size);
    if (size == 1)
        memcpy(value, at, 1);
    else if (size == 2)
        memcpy(value, at, 2);
    else if (size == 4)
        memcpy(value, at, 4);
    else
        memcpy(value, at, 8);
    return true;
}

static inline bool soft_store(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned size, uint64_t value)
{
    uint8_t *at = soft_at_hand(cpu->tlb_write[cpu->user], address, size);
    if (at == NULL)
        return soft_write(cpu, segment, address, &value, size);
    if (size == 1)
        memcpy(at, &value, 1);
    else if (size == 2)
        memcpy(at, &value, 2);
    else if (size == 4)
        memcpy(at, &value, 4);
    else
        memcpy(at, &value, 8);
    return true;
}

/* The operand that ModRM.mod and ModRM.rm name. False as in soft_mem.h. */
static inline bool soft_read_rm(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t *value)
{
    if (insn->has_memory)
        return soft_load(cpu, insn->segment, soft_address(cpu, insn), size, value);
    *value = soft_get_register(cpu, insn, insn->rm, size);
    return true;
}

/* The same when it will be written next: soft_write_rm() cannot fail after it. */
static inline bool soft_modify_rm(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t *value)
{
    if (!insn->has_memory) {
        *value = soft_get_register(cpu, insn, insn->rm, size);
        return true;
    }
    const uint64_t address = soft_address(cpu, insn);
    if (soft_at_hand(cpu->tlb_write[cpu->user], address, size) != NULL)
        return soft_load(cpu, insn->segment, address, size, value);
    *value = 0;
    return soft_read_for_write(cpu, insn->segment, address, value, size);
}

static inline bool soft_write_rm(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t value)
{
    if (insn->has_memory)
        return soft_store(cpu, insn->segment, soft_address(cpu, insn), size, value);
    soft_set_register(cpu, insn, insn->rm, size, value);
    return true;
}

#endif
