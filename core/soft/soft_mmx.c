/*
 * MMX. Its registers are the significands of the x87 registers, by number and not relative to TOP; every instruction
 * sets TOP to 0 and marks all registers valid (EMMS marks them empty), and a register that is written gets an exponent
 * of ones (Intel SDM volume 1, 9.2 and 9.5). The FXSAVE image has ST(0) first, so that going over to MMX rotates it.
 *
 * The host executes the instruction itself, as in soft_simd.c.
 */
#include "soft_simd.h"

#define ST_SIZE 16u
#define FSW_TOP_SHIFT 11
#define FSW_TOP 0x3800u
#define TAGS_VALID 0xffu
#define EXPONENT_OF_ONES 0xffffu

static unsigned top(const struct soft_cpu *cpu)
{
    return (xsave_get16(cpu, XSAVE_FSW) & FSW_TOP) >> FSW_TOP_SHIFT;
}

/* Where the image has physical register `n`. */
static unsigned place_of(const struct soft_cpu *cpu, unsigned n)
{
    return XSAVE_ST + ST_SIZE * ((n - top(cpu)) & 7);
}

uint64_t simd_peek_mmx(const struct soft_cpu *cpu, unsigned n)
{
    return xsave_get64(cpu, place_of(cpu, n & 7));
}

void simd_zero_top(struct soft_cpu *cpu)
{
    if (top(cpu) == 0)
        return;
    uint8_t physical[8 * ST_SIZE];
    for (unsigned n = 0; n < 8; n++)
        memcpy(physical + (size_t)ST_SIZE * n, cpu->xsave + place_of(cpu, n), ST_SIZE);
    memcpy(cpu->xsave + XSAVE_ST, physical, sizeof physical);
    xsave_set16(cpu, XSAVE_FSW, xsave_get16(cpu, XSAVE_FSW) & (uint16_t)~FSW_TOP);
}

void simd_enter_mmx(struct soft_cpu *cpu)
{
    simd_zero_top(cpu);
    cpu->xsave[XSAVE_FTW] = TAGS_VALID;
}

/* Go over to MMX and write a register. */
static void write_mmx(struct soft_cpu *cpu, unsigned n, uint64_t value)
{
    simd_enter_mmx(cpu);
    xsave_set64(cpu, XSAVE_ST + ST_SIZE * (n & 7), value);
    xsave_set16(cpu, XSAVE_ST + ST_SIZE * (n & 7) + 8, EXPONENT_OF_ONES);
}

/* The operand rm names: a register or memory, zero-extended. */
static bool read_source(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t *value)
{
    *value = 0;
    if (insn->has_memory)
        return simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), value, simd_info(insn)->size[SIMD_LEGACY]);
    *value = simd_peek_mmx(cpu, insn->rm);
    return true;
}

static const uint8_t *stub_of(const struct soft_insn *insn)
{
    return simd_info(insn)->stub[SIMD_LEGACY] + (size_t)(insn->immediate & 0xff) * HOST_SIMD_STRIDE;
}

/* ---- instructions that calculate ---- */

/* reg = operation(reg, rm [, imm8]) */
enum soft_result simd_mmx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    struct host_simd_operands operands = {.mmx[0] = simd_peek_mmx(cpu, insn->reg)};
    if (!read_source(cpu, insn, &operands.mmx[1]))
        return soft_mem_result(cpu);
    host_mmx_call(&operands, stub_of(insn));
    write_mmx(cpu, insn->reg, operands.mmx[0]);
    return SOFT_NEXT;
}

/* Shifts by an immediate; the stub shifts by a register. */
enum soft_result simd_mmx_shift_imm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    struct host_simd_operands operands = {.mmx = {simd_peek_mmx(cpu, insn->rm), insn->immediate & 0xff}};
    host_mmx_call(&operands, simd_info(insn)->stub[SIMD_LEGACY]);
    write_mmx(cpu, insn->rm, operands.mmx[0]);
    return SOFT_NEXT;
}

/* PMOVMSKB */
enum soft_result simd_mmx_movmskb(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    struct host_simd_operands operands = {.mmx[1] = simd_peek_mmx(cpu, insn->rm)};
    host_mmx_call(&operands, simd_info(insn)->stub[SIMD_LEGACY]);
    simd_enter_mmx(cpu);
    cpu->gpr[insn->reg] = operands.rax;
    return SOFT_NEXT;
}

/* ---- moves ---- */

/* MOVQ mm, mm/m64 */
enum soft_result simd_mmx_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    uint64_t value;
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    if (!read_source(cpu, insn, &value))
        return soft_mem_result(cpu);
    write_mmx(cpu, insn->reg, value);
    return SOFT_NEXT;
}

/* MOVQ mm/m64, mm; MOVNTQ. Of going over to MMX, processors have set TOP when a store raises a fault; a load has not.
 */
enum soft_result simd_mmx_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    const uint64_t value = simd_peek_mmx(cpu, insn->reg);
    simd_zero_top(cpu);
    if (!insn->has_memory)
        write_mmx(cpu, insn->rm, value);
    else if (!soft_write64(cpu, insn->segment, soft_address(cpu, insn), value))
        return soft_mem_result(cpu);
    simd_enter_mmx(cpu);
    return SOFT_NEXT;
}

/* MOVD mm, r/m32; MOVQ mm, r/m64 */
enum soft_result simd_mmx_movd_load(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    uint64_t value = 0;
    if (!insn->has_memory)
        value = insn->rex_w ? cpu->gpr[insn->rm] : (uint32_t)cpu->gpr[insn->rm];
    else if (!simd_read_memory(cpu, insn->segment, soft_address(cpu, insn), &value, insn->rex_w ? 8 : 4))
        return soft_mem_result(cpu);
    write_mmx(cpu, insn->reg, value);
    return SOFT_NEXT;
}

/* MOVD r/m32, mm; MOVQ r/m64, mm */
enum soft_result simd_mmx_movd_store(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    const uint64_t value = simd_peek_mmx(cpu, insn->reg);
    simd_zero_top(cpu);
    if (!insn->has_memory)
        cpu->gpr[insn->rm] = insn->rex_w ? value : (uint32_t)value;
    else if (!simd_write_memory(cpu, insn->segment, soft_address(cpu, insn), &value, insn->rex_w ? 8 : 4))
        return soft_mem_result(cpu);
    simd_enter_mmx(cpu);
    return SOFT_NEXT;
}

enum soft_result simd_mmx_pinsrw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    uint16_t word = 0;
    if (!insn->has_memory)
        word = (uint16_t)cpu->gpr[insn->rm];
    else if (!soft_read16(cpu, insn->segment, soft_address(cpu, insn), &word))
        return soft_mem_result(cpu);
    const unsigned shift = (insn->immediate & 3) * 16;
    const uint64_t kept = simd_peek_mmx(cpu, insn->reg) & ~(0xffffull << shift);
    write_mmx(cpu, insn->reg, kept | (uint64_t)word << shift);
    return SOFT_NEXT;
}

enum soft_result simd_mmx_pextrw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    cpu->gpr[insn->reg] = simd_peek_mmx(cpu, insn->rm) >> (insn->immediate & 3) * 16 & 0xffff;
    simd_enter_mmx(cpu);
    return SOFT_NEXT;
}

enum soft_result simd_emms(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_mmx_allowed(cpu, insn))
        return simd_refuse_mmx(cpu, insn);
    simd_enter_mmx(cpu);
    cpu->xsave[XSAVE_FTW] = 0;
    return SOFT_NEXT;
}

/* ---- between MMX and SSE ---- */

/* Those need what both units need. */
static bool both_allowed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return simd_mmx_allowed(cpu, insn) && simd_allowed(cpu, insn, SIMD_LEGACY);
}

static enum soft_result refuse_both(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return simd_allowed(cpu, insn, SIMD_LEGACY) ? simd_refuse_mmx(cpu, insn) : simd_refuse(cpu, insn);
}

/* CVTPS2PI, CVTTPS2PI, CVTPD2PI, CVTTPD2PI. Processors have gone over to MMX when these raise #XM. */
enum soft_result simd_mmx_from_xmm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!both_allowed(cpu, insn))
        return refuse_both(cpu, insn);
    struct host_simd_operands operands = {.rax = 0};
    enum soft_result result;
    const uint8_t *source = simd_source(cpu, insn, SIMD_LEGACY, operands.vector[1], &result);
    if (source == NULL)
        return result;
    if (source != operands.vector[1])
        memcpy(operands.vector[1], source, 16);
    simd_enter_mmx(cpu);
    if (!simd_call(cpu, insn, SIMD_MMX, &operands, stub_of(insn)))
        return SOFT_FAULT;
    write_mmx(cpu, insn->reg, operands.mmx[0]);
    return SOFT_NEXT;
}

/* CVTPI2PS, CVTPI2PD; they have nothing to do with MMX when their source is memory. */
enum soft_result simd_mmx_to_xmm(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const bool is_sse_only = insn->has_memory;
    if (is_sse_only ? !simd_allowed(cpu, insn, SIMD_LEGACY) : !both_allowed(cpu, insn))
        return refuse_both(cpu, insn);
    struct host_simd_operands operands = {.rax = 0};
    memcpy(operands.vector[0], simd_xmm(cpu, insn->reg), 16);
    if (!read_source(cpu, insn, &operands.mmx[1]))
        return soft_mem_result(cpu);
    if (!is_sse_only)
        simd_enter_mmx(cpu);
    if (!simd_call(cpu, insn, SIMD_MMX, &operands, stub_of(insn)))
        return SOFT_FAULT;
    memcpy(simd_xmm(cpu, insn->reg), operands.vector[0], 16);
    return SOFT_NEXT;
}

enum soft_result simd_movq2dq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!both_allowed(cpu, insn))
        return refuse_both(cpu, insn);
    const uint64_t to[2] = {simd_peek_mmx(cpu, insn->rm), 0};
    memcpy(simd_xmm(cpu, insn->reg), to, sizeof to);
    simd_enter_mmx(cpu);
    return SOFT_NEXT;
}

enum soft_result simd_movdq2q(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!both_allowed(cpu, insn))
        return refuse_both(cpu, insn);
    uint64_t value;
    memcpy(&value, simd_xmm(cpu, insn->rm), sizeof value);
    write_mmx(cpu, insn->reg, value);
    return SOFT_NEXT;
}
