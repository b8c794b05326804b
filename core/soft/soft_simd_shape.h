/*
 * The forms of SSE instructions that soft_translate.c makes operations of the fast loop from: those that calculate with
 * the encodings of SSE and SSE2, and whole or scalar moves.
 */
#ifndef MH_CORE_SOFT_SOFT_SIMD_SHAPE_H
#define MH_CORE_SOFT_SOFT_SIMD_SHAPE_H

#include "host_x86_64_simd.h"
#include "soft_cpu.h"

/* R: xmm register, M: memory, with its size in bytes; the destination first. ALIGNED: #GP when it is not. */
enum simd_shape {
    SIMD_SHAPE_OTHER,
    SIMD_SHAPE_RR,
    SIMD_SHAPE_RM4,
    SIMD_SHAPE_RM8,
    SIMD_SHAPE_RM16,
    SIMD_SHAPE_MOVE,
    SIMD_SHAPE_LOAD4,
    SIMD_SHAPE_LOAD8,
    SIMD_SHAPE_LOAD16,
    SIMD_SHAPE_LOAD16_ALIGNED,
    SIMD_SHAPE_STORE4,
    SIMD_SHAPE_STORE8,
    SIMD_SHAPE_STORE16,
    SIMD_SHAPE_STORE16_ALIGNED,
};

/* *stub is where the stub of RR and RM lies, counted from host_simd_0f_np. */
enum simd_shape soft_simd_shape(const struct soft_insn *insn, int32_t *stub);

/* May SSE instructions run now, with the guest's MXCSR in the host's register? If not, their handlers see to it. */
static inline bool soft_simd_is_ready(const struct soft_cpu *cpu)
{
    const unsigned em_or_ts = 0xc;
    return cpu->mxcsr_is_loaded && (cpu->cr0 & em_or_ts) == 0 && (cpu->cr4 & MH_CR4_OSFXSR) != 0;
}

static inline uint8_t *soft_simd_xmm(struct soft_cpu *cpu, unsigned n)
{
    const size_t first = 160; /* in the FXSAVE image */
    return cpu->xsave + first + (size_t)16 * n;
}

#endif
