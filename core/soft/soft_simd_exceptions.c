/*
 * SSE and AVX with exceptions that the guest unmasks. Each instruction runs with all of them masked and no flags set,
 * and the flags it leaves say which exceptions the guest's processor would have raised (Intel SDM volume 1, 11.5.3 and
 * appendix E.4):
 *
 * - An unmasked invalid operation, denormal or division by zero is found before anything is calculated, in all
 *   elements: the flags of the results (overflow, underflow, precision) stay as they were.
 * - Masked, underflow is reported for results that are tiny and inexact, unmasked for all tiny ones. A second run with
 *   FTZ finds these, because FTZ flushes every tiny result and reports underflow.
 *
 * Not to be seen that way: whether a result that overflowed or underflowed would have been inexact with an exponent of
 * any size. So PE can be set where the silicon leaves it clear, in MXCSR as the handler of such an exception finds it.
 */
#include "soft_simd.h"

static void call_host(enum simd_kind kind, struct host_simd_operands *operands, const uint8_t *stub)
{
    if (kind == SIMD_VEX256)
        host_simd_call_256(operands, stub);
    else if (kind == SIMD_MMX)
        host_mmx_call(operands, stub);
    else
        host_simd_call(operands, stub);
}

/* Execute with this MXCSR and return the flags it gets. */
static uint32_t call_for_flags(enum simd_kind kind, struct host_simd_operands *operands, const uint8_t *stub,
                               uint32_t mxcsr)
{
    const uint32_t host = host_simd_mxcsr();
    host_simd_set_mxcsr(mxcsr);
    call_host(kind, operands, stub);
    const uint32_t flags = host_simd_mxcsr() & MXCSR_FLAGS;
    host_simd_set_mxcsr(host);
    return flags;
}

#define MXCSR_BEFORE 0x07u /* invalid operation, denormal, division by zero */

/* Add `flags` to MXCSR. False with the exception set when one of them is unmasked. */
static bool accept_flags(struct soft_cpu *cpu, uint32_t guest, uint32_t flags)
{
    const uint32_t unmasked = flags & ~(guest >> MXCSR_MASKS_SHIFT);
    if ((unmasked & MXCSR_BEFORE) != 0)
        flags &= MXCSR_BEFORE;
    xsave_set32(cpu, XSAVE_MXCSR, guest | flags);
    if (unmasked == 0)
        return true;
    soft_raise(cpu, (cpu->cr4 & MH_CR4_OSXMMEXCPT) != 0 ? EXCEPTION_XM : EXCEPTION_UD);
    return false;
}

/* Is one of the results tiny? VCVTPS2PH ignores FTZ, so its exact tiny results are looked for. */
static bool has_tiny_half(const struct host_simd_operands *operands, enum simd_kind kind)
{
    for (unsigned i = 0; i < (kind == SIMD_VEX256 ? 16u : 8u); i += 2) {
        uint16_t half;
        memcpy(&half, operands->vector[1] + i, sizeof half);
        if ((half & 0x7c00) == 0 && (half & 0x03ff) != 0)
            return true;
    }
    return false;
}

/* The flags that the instruction would raise, and its results in *operands. */
static uint32_t raised_flags(const struct soft_insn *insn, uint32_t guest, enum simd_kind kind,
                             struct host_simd_operands *operands, const uint8_t *stub)
{
    const uint32_t masked = (guest & ~MXCSR_FLAGS) | MXCSR_MASKS;
    if ((guest & MXCSR_UE << MXCSR_MASKS_SHIFT) != 0)
        return call_for_flags(kind, operands, stub, masked);
    /* FTZ has no effect while underflow is unmasked. */
    struct host_simd_operands again = *operands;
    uint32_t flags = call_for_flags(kind, operands, stub, masked & ~MXCSR_FTZ);
    flags |= call_for_flags(kind, &again, stub, masked | MXCSR_FTZ) & MXCSR_UE;
    if (insn->run == simd_cvtps2ph && has_tiny_half(operands, kind))
        flags |= MXCSR_UE;
    return flags;
}

/* One calculation: false when it raises an exception. */
static bool calculate(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
                      struct host_simd_operands *operands, const uint8_t *stub)
{
    const uint32_t guest = xsave_get32(cpu, XSAVE_MXCSR);
    return accept_flags(cpu, guest, raised_flags(insn, guest, kind, operands, stub));
}

/* ---- DPPS, DPPD: a multiplication and additions, each of which raises its exceptions before the next begins ---- */

#define OPCODE_DPPS 0x40
#define OPCODE_DPPD 0x41
#define OPCODE_ADD 0x58u
#define OPCODE_MUL 0x59u
#define LANE 16u

static const uint8_t *dot_stub(const struct soft_insn *insn, enum simd_kind kind, unsigned opcode)
{
    const uint8_t *table = insn->opcode == OPCODE_DPPD ? host_simd_0f_66
                           : kind == SIMD_VEX256       ? host_simd_vex256_0f_np
                                                       : host_simd_0f_np;
    return table + (size_t)opcode * HOST_SIMD_STRIDE;
}

/* The products that bits 4 to 7 of the immediate leave out are 0. */
static void select_products(const struct soft_insn *insn, struct host_simd_operands *operands, unsigned size)
{
    for (unsigned at = 0; at < 2 * LANE; at += size)
        if ((insn->immediate >> (4 + at % LANE / size) & 1) == 0)
            for (unsigned vector = 0; vector < 2; vector++)
                memset(operands->vector[vector] + at, 0, size);
}

/* Neighbours become first and second operand: `count` sums in each lane. */
static void pair_elements(struct host_simd_operands *operands, unsigned size, unsigned count)
{
    uint8_t from[2 * LANE];
    memcpy(from, operands->vector[0], sizeof from);
    memset(operands->vector, 0, 2 * sizeof operands->vector[0]);
    for (unsigned lane = 0; lane < sizeof from; lane += LANE)
        for (unsigned i = 0; i < 2 * count; i++)
            memcpy(operands->vector[i & 1] + lane + i / 2 * size, from + lane + i * size, size);
}

static bool dot_raises_nothing(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
                               const struct host_simd_operands *operands)
{
    const unsigned size = insn->opcode == OPCODE_DPPD ? 8 : 4;
    struct host_simd_operands step = *operands;
    select_products(insn, &step, size);
    if (!calculate(cpu, insn, kind, &step, dot_stub(insn, kind, OPCODE_MUL)))
        return false;
    for (unsigned sums = LANE / size / 2; sums > 0; sums /= 2) {
        pair_elements(&step, size, sums);
        if (!calculate(cpu, insn, kind, &step, dot_stub(insn, kind, OPCODE_ADD)))
            return false;
    }
    return true;
}

static bool is_dot_product(const struct soft_insn *insn)
{
    return insn->map == SOFT_MAP_0F3A && (insn->opcode == OPCODE_DPPS || insn->opcode == OPCODE_DPPD);
}

bool simd_call(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
               struct host_simd_operands *operands, const uint8_t *stub)
{
    if ((simd_info(insn)->flags & SIMD_FP) != 0 && !simd_mxcsr_ready(cpu)) {
        if (is_dot_product(insn) && !dot_raises_nothing(cpu, insn, kind, operands))
            return false;
        return calculate(cpu, insn, kind, operands, stub);
    }
    call_host(kind, operands, stub);
    return true;
}
