/*
 * String instructions. A handler does one repetition and says SOFT_REPEAT when there are more, so that a fault, a
 * step or a kick finds the registers of the repetitions done. soft_string_bulk() does many at once where this makes
 * no difference.
 */
#include "soft_string.h"

#include "soft_flags.h"
#include "soft_handlers.h"
#include "soft_operand.h"

#define REPEATED (SOFT_PREFIX_REP | SOFT_PREFIX_REPNE)

static uint64_t count_left(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_truncate(cpu->gpr[MH_RCX], insn->address_size);
}

static bool is_repeated(const struct soft_insn *insn)
{
    return (insn->prefixes & REPEATED) != 0;
}

/* The linear address in rsi; a segment override applies to it. */
static uint64_t source_address(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t address = soft_truncate(cpu->gpr[MH_RSI], insn->address_size);
    return address + (insn->segment >= MH_FS ? cpu->seg[insn->segment].base : 0);
}

static uint64_t destination_address(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return soft_truncate(cpu->gpr[MH_RDI], insn->address_size);
}

static void advance(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned number, uint64_t repetitions)
{
    const uint64_t bytes = repetitions * insn->operand_size;
    const uint64_t step = cpu->rflags & MH_RFLAGS_DF ? 0 - bytes : bytes;
    soft_put(cpu, number, insn->address_size, cpu->gpr[number] + step);
}

/* One repetition is done. `goes_on` is what the comparison of REPE and REPNE says. */
static enum soft_result repetition_done(struct soft_cpu *cpu, const struct soft_insn *insn, bool goes_on)
{
    if (!is_repeated(insn))
        return SOFT_NEXT;
    const uint64_t left = count_left(cpu, insn) - 1;
    soft_put(cpu, MH_RCX, insn->address_size, left);
    return left != 0 && goes_on ? SOFT_REPEAT : SOFT_NEXT;
}

/*
 * Repeated instructions with 32-bit addresses clear the upper halves of the count, and of the addresses when they are
 * MOVS or STOS, before anything else: also when the count is 0, or the first repetition faults.
 */
static void cut_registers(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const bool moves = insn->run == soft_op_movs;
    if (!is_repeated(insn) || insn->address_size != 4)
        return;
    cpu->gpr[MH_RCX] = (uint32_t)cpu->gpr[MH_RCX];
    if (moves || insn->run == soft_op_stos)
        cpu->gpr[MH_RDI] = (uint32_t)cpu->gpr[MH_RDI];
    if (moves)
        cpu->gpr[MH_RSI] = (uint32_t)cpu->gpr[MH_RSI];
}

static enum soft_result access_failed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (soft_mem_result(cpu) == SOFT_FAULT)
        cut_registers(cpu, insn);
    return soft_mem_result(cpu);
}

/* With a count of 0 nothing is done. */
static bool nothing_to_do(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!is_repeated(insn) || count_left(cpu, insn) != 0)
        return false;
    cut_registers(cpu, insn);
    return true;
}

enum soft_result soft_op_movs(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    uint64_t value;
    if (nothing_to_do(cpu, insn))
        return SOFT_NEXT;
    if (!soft_load(cpu, insn->segment, source_address(cpu, insn), size, &value) ||
        !soft_store(cpu, MH_ES, destination_address(cpu, insn), size, value))
        return access_failed(cpu, insn);
    advance(cpu, insn, MH_RSI, 1);
    advance(cpu, insn, MH_RDI, 1);
    return repetition_done(cpu, insn, true);
}

enum soft_result soft_op_stos(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (nothing_to_do(cpu, insn))
        return SOFT_NEXT;
    if (!soft_store(cpu, MH_ES, destination_address(cpu, insn), insn->operand_size, cpu->gpr[MH_RAX]))
        return access_failed(cpu, insn);
    advance(cpu, insn, MH_RDI, 1);
    return repetition_done(cpu, insn, true);
}

enum soft_result soft_op_lods(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (nothing_to_do(cpu, insn))
        return SOFT_NEXT;
    if (!soft_load(cpu, insn->segment, source_address(cpu, insn), insn->operand_size, &value))
        return access_failed(cpu, insn);
    soft_put(cpu, MH_RAX, insn->operand_size, value);
    advance(cpu, insn, MH_RSI, 1);
    return repetition_done(cpu, insn, true);
}

/* Has this instruction done repetitions already? */
static bool is_going_on(const struct soft_cpu *cpu)
{
    return cpu->repeat_at == cpu->instructions && cpu->repeat_rip == cpu->rip;
}

/* A repetition of CMPS or SCAS begins. */
static void comparison_begins(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (is_repeated(insn) && !is_going_on(cpu))
        cpu->repeat_flags = soft_arithmetic(cpu);
}

/* When one of them faults, flags are what they were before the first (Intel SDM volume 2, REP). */
static enum soft_result comparison_failed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (soft_mem_result(cpu) == SOFT_FAULT && is_repeated(insn))
        soft_set_arithmetic(cpu, cpu->repeat_flags);
    return access_failed(cpu, insn);
}

/* REPE continues while both are equal, REPNE while they are not. */
static enum soft_result comparison_done(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t left,
                                        uint64_t right)
{
    const unsigned size = insn->operand_size;
    soft_flags_from(cpu, SOFT_FLAGS_SUB, size, left, right, soft_truncate(left - right, size));
    cpu->repeat_at = cpu->instructions + 1;
    cpu->repeat_rip = cpu->rip;
    return repetition_done(cpu, insn, (left == right) == !(insn->prefixes & SOFT_PREFIX_REPNE));
}

enum soft_result soft_op_cmps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const unsigned size = insn->operand_size;
    uint64_t left, right;
    if (nothing_to_do(cpu, insn))
        return SOFT_NEXT;
    comparison_begins(cpu, insn);
    /* processors read the second operand first, as the address of a page fault shows */
    if (!soft_load(cpu, MH_ES, destination_address(cpu, insn), size, &right) ||
        !soft_load(cpu, insn->segment, source_address(cpu, insn), size, &left))
        return comparison_failed(cpu, insn);
    advance(cpu, insn, MH_RSI, 1);
    advance(cpu, insn, MH_RDI, 1);
    return comparison_done(cpu, insn, left, right);
}

enum soft_result soft_op_scas(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t right;
    if (nothing_to_do(cpu, insn))
        return SOFT_NEXT;
    comparison_begins(cpu, insn);
    if (!soft_load(cpu, MH_ES, destination_address(cpu, insn), insn->operand_size, &right))
        return comparison_failed(cpu, insn);
    advance(cpu, insn, MH_RDI, 1);
    return comparison_done(cpu, insn, soft_truncate(cpu->gpr[MH_RAX], insn->operand_size), right);
}

/* ---- many at once ---- */

/* How many whole operands lie between `address` and the end of its page. */
static uint64_t left_in_page(uint64_t address, unsigned size)
{
    return (0x1000 - (address & 0xfff)) / size;
}

static uint8_t *translation_at_hand(struct soft_tlb_entry tlb[2][SOFT_TLB_SIZE], unsigned user, uint64_t address)
{
    const struct soft_tlb_entry *entry = &tlb[user][address >> 12 & (SOFT_TLB_SIZE - 1)];
    return entry->tag == (address & ~0xfffull) ? soft_tlb_at(entry, address) : NULL;
}

static void fill(uint8_t *to, uint64_t value, unsigned size, uint64_t repetitions)
{
    if (size == 1) {
        memset(to, (int)(value & 0xff), repetitions);
        return;
    }
    for (uint64_t i = 0; i < repetitions; i++)
        memcpy(to + i * size, &value, size);
}

/* Repetitions that write what later ones read make a pattern, which memmove() does not. */
static void copy(uint8_t *to, const uint8_t *from, unsigned size, uint64_t repetitions)
{
    const uint64_t bytes = repetitions * size, distance = (uint64_t)(to - from);
    if (distance >= bytes) {
        memmove(to, from, bytes);
        return;
    }
    for (uint64_t i = 0; i < bytes; i += size) {
        uint64_t value = 0;
        memcpy(&value, from + i, size);
        memcpy(to + i, &value, size);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t soft_string_bulk(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t limit)
{
    const unsigned size = insn->operand_size;
    const bool moves = insn->run == soft_op_movs;
    if (!is_repeated(insn) || cpu->rflags & MH_RFLAGS_DF || (!moves && insn->run != soft_op_stos))
        return 0;
    const uint64_t count = count_left(cpu, insn), from = source_address(cpu, insn), to = destination_address(cpu, insn);
    uint64_t repetitions = least(least(limit, count - 1), left_in_page(to, size)), bytes = repetitions * size;
    if (count < 2 || repetitions == 0)
        return 0;
    uint8_t *const host_to = soft_mem_at_once(cpu, to, &bytes), *host_from = NULL;
    repetitions = bytes / size;
    if (moves) {
        repetitions = least(repetitions, left_in_page(from, size));
        host_from = translation_at_hand(cpu->tlb_read, cpu->user, from);
    }
    if (repetitions == 0 || host_to == NULL || (moves && host_from == NULL))
        return 0;
    if (moves) {
        copy(host_to, host_from, size, repetitions);
        advance(cpu, insn, MH_RSI, repetitions);
    } else {
        fill(host_to, cpu->gpr[MH_RAX], size, repetitions);
    }
    advance(cpu, insn, MH_RDI, repetitions);
    soft_put(cpu, MH_RCX, insn->address_size, count - repetitions);
    return repetitions;
}
