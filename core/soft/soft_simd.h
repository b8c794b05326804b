/*
 * What the files about MMX, SSE and AVX share: the rows of the opcode table, the checks each instruction begins with,
 * and the way to its operands. See soft_simd.c for how an instruction is executed.
 */
#ifndef MH_CORE_SOFT_SOFT_SIMD_H
#define MH_CORE_SOFT_SOFT_SIMD_H

#include "host_x86_64_simd.h"
#include "soft_cpu.h"
#include "soft_mem.h"

#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)

#define EXCEPTION_UD 6
#define EXCEPTION_NM 7
#define EXCEPTION_GP 13
#define EXCEPTION_MF 16
#define EXCEPTION_XM 19

/* The XSAVE area (Intel SDM volume 1, 10.5.1 and 13.4). */
enum xsave_layout {
    XSAVE_FCW = 0,
    XSAVE_FSW = 2,
    XSAVE_FTW = 4,
    XSAVE_FOP = 6,
    XSAVE_FIP = 8,
    XSAVE_FDP = 16,
    XSAVE_MXCSR = 24,
    XSAVE_MXCSR_MASK = 28,
    XSAVE_ST = 32,
    XSAVE_XMM = 160,
    XSAVE_LEGACY_END = 416, /* of what FXSAVE writes */
    XSAVE_HEADER = 512,
    XSAVE_XCOMP_BV = 520,
    XSAVE_YMMH = 576,
};

#define FSW_ES 0x0080u
#define MXCSR_FLAGS 0x3fu
#define MXCSR_MASKS 0x1f80u
#define MXCSR_MASKS_SHIFT 7
#define MXCSR_FTZ 0x8000u
#define MXCSR_UE 0x10u
#define MXCSR_INITIAL 0x1f80u
#define MXCSR_ALLOWED 0xffffu /* MXCSR_MASK: the misaligned mode of AMD is not offered */

/* How an instruction is encoded, and so how wide it is. */
enum simd_kind {
    SIMD_LEGACY,
    SIMD_VEX128,
    SIMD_VEX256,
    SIMD_KINDS,
    SIMD_MMX = SIMD_KINDS, /* to simd_call() only */
};

/* Features a row can need: bits of cpu->simd_features and, as numbers, of struct simd_info. */
enum simd_feature {
    NONE, /* this encoding does not exist */
    FPU,
    MMX,
    SSE,
    SSE2,
    SSE3,
    SSSE3,
    SSE41,
    SSE42,
    AES,
    PCLMUL,
    AVX,
    AVX2,
    FMA,
    F16C,
    XSAVE,
    XSAVEOPT,
    XSAVEC,
    FXSR,
    AVX_AES,    /* both */
    AVX_PCLMUL, /* both */
    SIMD_FEATURES,
};

#define SIMD_FEATURES_KNOWN 1u /* in the place of NONE */

/* What is special about a row. */
#define SIMD_NDS 1u       /* VEX.vvvv is the first source; without it vvvv must be 1111b */
#define SIMD_FP 2u        /* depends on MXCSR and can raise #XM */
#define SIMD_UNALIGNED 4u /* 16 bytes of memory may stand anywhere, without VEX too */
#define SIMD_SCALAR 8u    /* VEX.L is ignored */
#define SIMD_ALIGNED 16u  /* memory must be aligned, with VEX too */
#define SIMD_W0 32u       /* VEX.W must be 0 */
#define SIMD_W1 64u       /* VEX.W must be 1 */
#define SIMD_HALF 128u    /* of halves of a register: the high one */
#define SIMD_NO_AC 256u   /* memory is not checked for #AC */

/* soft_insn.data of a vector instruction. */
struct simd_info {
    const uint8_t *stub[SIMD_KINDS]; /* with an immediate: of 256 stubs, the first */
    uint8_t feature[SIMD_KINDS];     /* enum simd_feature */
    uint8_t size[SIMD_KINDS];        /* bytes of a memory operand */
    uint16_t flags;                  /* SIMD_* */
};

static inline const struct simd_info *simd_info(const struct soft_insn *insn)
{
    return insn->data;
}

static inline enum simd_kind simd_kind(const struct soft_insn *insn)
{
    if ((insn->prefixes & SOFT_PREFIX_VEX) == 0)
        return SIMD_LEGACY;
    return insn->vex_256 && (simd_info(insn)->flags & SIMD_SCALAR) == 0 ? SIMD_VEX256 : SIMD_VEX128;
}

/* ---- registers ---- */

static inline uint8_t *simd_xmm(struct soft_cpu *cpu, unsigned n)
{
    return cpu->xsave + XSAVE_XMM + (size_t)16 * n;
}

/* Bits 128 to 255 of a ymm register. */
static inline uint8_t *simd_ymmh(struct soft_cpu *cpu, unsigned n)
{
    return cpu->xsave + XSAVE_YMMH + (size_t)16 * n;
}

static inline void simd_read_ymm(struct soft_cpu *cpu, unsigned n, void *to)
{
    memcpy(to, simd_xmm(cpu, n), 16);
    memcpy((uint8_t *)to + 16, simd_ymmh(cpu, n), 16);
}

static inline void simd_write_ymm(struct soft_cpu *cpu, unsigned n, const void *from)
{
    memcpy(simd_xmm(cpu, n), from, 16);
    memcpy(simd_ymmh(cpu, n), (const uint8_t *)from + 16, 16);
}

/* Store a result of 16 bytes: VEX clears the upper half, the encodings of SSE leave it. */
static inline void simd_write_xmm(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned n, const void *from)
{
    memcpy(simd_xmm(cpu, n), from, 16);
    if (insn->prefixes & SOFT_PREFIX_VEX)
        memset(simd_ymmh(cpu, n), 0, 16);
}

static inline uint16_t xsave_get16(const struct soft_cpu *cpu, unsigned offset)
{
    uint16_t value;
    memcpy(&value, cpu->xsave + offset, sizeof value);
    return value;
}

static inline uint32_t xsave_get32(const struct soft_cpu *cpu, unsigned offset)
{
    uint32_t value;
    memcpy(&value, cpu->xsave + offset, sizeof value);
    return value;
}

static inline uint64_t xsave_get64(const struct soft_cpu *cpu, unsigned offset)
{
    uint64_t value;
    memcpy(&value, cpu->xsave + offset, sizeof value);
    return value;
}

static inline void xsave_set16(struct soft_cpu *cpu, unsigned offset, uint16_t value)
{
    memcpy(cpu->xsave + offset, &value, sizeof value);
}

static inline void xsave_set32(struct soft_cpu *cpu, unsigned offset, uint32_t value)
{
    memcpy(cpu->xsave + offset, &value, sizeof value);
}

static inline void xsave_set64(struct soft_cpu *cpu, unsigned offset, uint64_t value)
{
    memcpy(cpu->xsave + offset, &value, sizeof value);
}

/* ---- checks (soft_simd_state.c) ---- */

/* Raise what simd_allowed() found; sets cpu->fault. */
enum soft_result simd_refuse(struct soft_cpu *cpu, const struct soft_insn *insn);

/* Find out what CPUID offers, and then whether it offers `feature`. */
bool simd_has_feature(struct soft_cpu *cpu, enum simd_feature feature);

/*
 * May this instruction be executed (Intel SDM volume 2, 2.4 and 2.6, exception types; volume 3, 14.3)? False: return
 * simd_refuse().
 */
static inline bool simd_allowed(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind)
{
    const struct simd_info *info = simd_info(insn);
    if ((cpu->simd_features >> info->feature[kind] & 1) == 0 && !simd_has_feature(cpu, info->feature[kind]))
        return false;
    if (kind == SIMD_LEGACY)
        return (cpu->cr0 & (CR0_EM | CR0_TS)) == 0 && (cpu->cr4 & MH_CR4_OSFXSR) != 0;
    const uint64_t needed = MH_XCR0_SSE | MH_XCR0_AVX;
    return (cpu->cr0 & CR0_TS) == 0 && (cpu->cr4 & MH_CR4_OSXSAVE) != 0 && (cpu->xcr0 & needed) == needed &&
           (insn->vvvv == 0 || (info->flags & SIMD_NDS) != 0);
}

/* The same for the encodings of SSE only: the beginning of the short ways that frequent instructions have. */
static inline bool simd_is_plain_sse(const struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return (insn->prefixes & SOFT_PREFIX_VEX) == 0 &&
           (cpu->simd_features >> simd_info(insn)->feature[SIMD_LEGACY] & 1) != 0 &&
           (cpu->cr0 & (CR0_EM | CR0_TS)) == 0 && (cpu->cr4 & MH_CR4_OSFXSR) != 0;
}

/* The checks of MMX, and #MF for an x87 exception that is pending. False: return simd_refuse_mmx(). */
bool simd_mmx_allowed(struct soft_cpu *cpu, const struct soft_insn *insn);
enum soft_result simd_refuse_mmx(struct soft_cpu *cpu, const struct soft_insn *insn);

/* Deliver the x87 exception that is pending: #MF. */
enum soft_result simd_raise_pending(struct soft_cpu *cpu);

/* ---- MXCSR (soft_simd_state.c, soft_simd_exceptions.c) ---- */

/* Put the guest's MXCSR into the host's register. False: the guest unmasks exceptions. */
bool simd_load_mxcsr(struct soft_cpu *cpu);

static inline bool simd_mxcsr_ready(struct soft_cpu *cpu)
{
    return cpu->mxcsr_is_loaded || simd_load_mxcsr(cpu);
}

/* Bring the copy in cpu->xsave up to date, or replace MXCSR. */
void simd_sync_mxcsr(struct soft_cpu *cpu);
void simd_set_mxcsr(struct soft_cpu *cpu, uint32_t value);

/*
 * Execute a stub with all of its operands. False: an exception the guest does not mask; cpu->fault is set and MXCSR has
 * its flags; the results in *operands must not be used.
 */
bool simd_call(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind,
               struct host_simd_operands *operands, const uint8_t *stub);

/* ---- operands (soft_simd.c) ---- */

/*
 * The operand that ModRM.rm names: xmm, ymm, or `size` bytes of memory followed by zeros up to the width of a register.
 * Returns a pointer to it, perhaps to `buffer` (32 bytes, aligned), or NULL with *result set.
 */
const uint8_t *simd_source(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind, uint8_t *buffer,
                           enum soft_result *result);

/* The address of a memory operand of `size` bytes. False: it is not aligned as it must be, #GP(0) is set. */
bool simd_memory_address(struct soft_cpu *cpu, const struct soft_insn *insn, enum simd_kind kind, unsigned size,
                         uint64_t *address);

/* The direct way to 16 bytes, as in soft_mem.h. */
static inline bool simd_read128(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to)
{
    const struct soft_tlb_entry *entry = &cpu->tlb_read[cpu->user][address >> 12 & (SOFT_TLB_SIZE - 1)];
    if (entry->tag == (address & ~0xfffull) && (address & 0xfff) <= 0x1000 - 16) {
        memcpy(to, soft_tlb_at(entry, address), 16);
        return true;
    }
    return soft_read(cpu, segment, address, to, 16);
}

static inline bool simd_write128(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from)
{
    const struct soft_tlb_entry *entry = &cpu->tlb_write[cpu->user][address >> 12 & (SOFT_TLB_SIZE - 1)];
    if (entry->tag == (address & ~0xfffull) && (address & 0xfff) <= 0x1000 - 16) {
        memcpy(soft_tlb_at(entry, address), from, 16);
        return true;
    }
    return soft_write(cpu, segment, address, from, 16);
}

/* The host's address of `size` bytes to read when they can be reached directly, or NULL. */
static inline const uint8_t *simd_at_hand(struct soft_cpu *cpu, uint64_t address, unsigned size)
{
    const struct soft_tlb_entry *entry = &cpu->tlb_read[cpu->user][address >> 12 & (SOFT_TLB_SIZE - 1)];
    return entry->tag == ((address + size - 1) & ~0xfffull) ? soft_tlb_at(entry, address) : NULL;
}

/* Read or write 2, 4, 8, 16 or any other number of bytes. */
bool simd_read_memory(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned size);
bool simd_write_memory(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from, unsigned size);

/* 4, 8 or 16 bytes without #AC: elements that a mask selects, and halves. */
bool simd_read_element(struct soft_cpu *cpu, unsigned segment, uint64_t address, void *to, unsigned size);
bool simd_write_element(struct soft_cpu *cpu, unsigned segment, uint64_t address, const void *from, unsigned size);
bool simd_probe_element(struct soft_cpu *cpu, unsigned segment, uint64_t address, unsigned size);

/* ---- MMX registers (soft_mmx.c) ---- */

/* Read a register, whatever TOP is. */
uint64_t simd_peek_mmx(const struct soft_cpu *cpu, unsigned n);
/* Make TOP 0, with the physical registers as they are. */
void simd_zero_top(struct soft_cpu *cpu);
/* Go over to MMX: TOP is 0 and all tags are valid (Intel SDM volume 1, 9.5). */
void simd_enter_mmx(struct soft_cpu *cpu);

/* ---- handlers that the table names ---- */

/* soft_simd.c */
soft_handler simd_vector, simd_fma, simd_blend, simd_blend_is4, simd_shift_imm, simd_shift_bytes, simd_compare;
soft_handler simd_string, simd_to_general, simd_from_general, simd_insertps, simd_cvtps2ph;
/* soft_simd_move.c */
soft_handler simd_load, simd_store, simd_load_scalar, simd_store_scalar, simd_load_half, simd_store_half;
soft_handler simd_movd_load, simd_movd_store, simd_movq_load, simd_movq_store, simd_vzero;
soft_handler simd_pinsr, simd_pextr, simd_pextrw, simd_broadcast, simd_insert128, simd_extract128;
/* soft_simd_memory.c */
soft_handler simd_maskmov_load, simd_maskmov_store, simd_gather, simd_maskmovdqu;
/* soft_mmx.c */
soft_handler simd_mmx, simd_mmx_shift_imm, simd_mmx_load, simd_mmx_store, simd_mmx_movd_load, simd_mmx_movd_store;
soft_handler simd_mmx_pinsrw, simd_mmx_pextrw, simd_mmx_movmskb, simd_mmx_from_xmm, simd_mmx_to_xmm;
soft_handler simd_movq2dq, simd_movdq2q, simd_maskmovq, simd_emms;
/* soft_x87.c */
soft_handler x87_register, x87_memory, x87_wait;
/* soft_xsave.c */
soft_handler simd_ldmxcsr, simd_stmxcsr, simd_fxsave, simd_fxrstor, simd_xsave, simd_xsaveopt, simd_xsavec, simd_xrstor;

#endif
