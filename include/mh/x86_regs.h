/*
 * The registers of one x86-64 processor as the layers pass them to each other, and the bits of the control registers.
 * Names and numbers: Intel SDM volume 3 chapters 2 and 13, AMD APM volume 2 chapter 3.
 */
#ifndef MH_X86_REGS_H
#define MH_X86_REGS_H

#include <stdint.h>

#define MH_CR0_PE (1u << 0)
#define MH_CR0_MP (1u << 1)
#define MH_CR0_ET (1u << 4)
#define MH_CR0_NE (1u << 5)
#define MH_CR0_WP (1u << 16)
#define MH_CR0_AM (1u << 18)
#define MH_CR0_PG (1u << 31)

#define MH_CR4_DE (1u << 3)
#define MH_CR4_PAE (1u << 5)
#define MH_CR4_OSFXSR (1u << 9)
#define MH_CR4_OSXMMEXCPT (1u << 10)
#define MH_CR4_LA57 (1u << 12)
#define MH_CR4_OSXSAVE (1u << 18)
#define MH_CR4_SMEP (1u << 20)
#define MH_CR4_SMAP (1u << 21)

#define MH_EFER_SCE (1u << 0)
#define MH_EFER_LME (1u << 8)
#define MH_EFER_LMA (1u << 10)
#define MH_EFER_NXE (1u << 11)

#define MH_RFLAGS_FIXED (1u << 1) /* always set */
#define MH_RFLAGS_TF (1u << 8)
#define MH_RFLAGS_IF (1u << 9)
#define MH_RFLAGS_DF (1u << 10)
#define MH_RFLAGS_RF (1u << 16)
#define MH_RFLAGS_AC (1u << 18)

/* Bits of XCR0: which register sets XSAVE handles. */
#define MH_XCR0_X87 (1u << 0)
#define MH_XCR0_SSE (1u << 1)
#define MH_XCR0_AVX (1u << 2)
#define MH_XCR0_AVX512 (7u << 5) /* opmask, upper halves of zmm0-15, zmm16-31 */

/* Order of the general registers in instruction encodings, and so in mh_x86_regs.gpr. */
enum mh_gpr {
    MH_RAX,
    MH_RCX,
    MH_RDX,
    MH_RBX,
    MH_RSP,
    MH_RBP,
    MH_RSI,
    MH_RDI,
    MH_R8,
    MH_R9,
    MH_R10,
    MH_R11,
    MH_R12,
    MH_R13,
    MH_R14,
    MH_R15,
    MH_GPR_COUNT,
};

enum mh_seg {
    MH_ES,
    MH_CS,
    MH_SS,
    MH_DS,
    MH_FS,
    MH_GS,
    MH_LDTR,
    MH_TR,
    MH_SEG_COUNT,
};

/* A segment register with its hidden part. `attributes` is laid out as in bytes 5 and 6 of a descriptor, limit bits 0.
 */
struct mh_x86_segment {
    uint64_t base;
    uint32_t limit; /* in bytes, granularity applied */
    uint16_t selector;
    uint16_t attributes;
};

struct mh_x86_table {
    uint64_t base;
    uint16_t limit;
};

/* Read cheaply at every stop. */
struct mh_x86_general {
    uint64_t gpr[MH_GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
};

struct mh_x86_system {
    struct mh_x86_segment seg[MH_SEG_COUNT]; /* fs_base and gs_base are seg[MH_FS].base and seg[MH_GS].base */
    struct mh_x86_table gdt;
    struct mh_x86_table idt;
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t efer;
};

struct mh_x86_fpu {
    uint64_t xcr0;     /* which of the members below exist on this machine; read only */
    uint8_t st[8][16]; /* st(0) to st(7): 10 bytes each, then 6 unused */
    uint16_t fctrl, fstat;
    uint16_t ftag; /* the full two-bits-a-register tag word, as FSAVE stores it */
    uint16_t fop;
    uint64_t fip, fdp; /* 64-bit instruction and data pointers, as FXSAVE64 stores them */
    uint32_t mxcsr;
    uint8_t xmm[32][16];  /* 16 to 31 with AVX-512 only */
    uint8_t ymmh[32][16]; /* bits 128 to 255 */
    uint8_t zmmh[32][32]; /* bits 256 to 511 */
    uint64_t k[8];
};

/* The model-specific registers a long-mode kernel touches (Intel SDM volume 4, AMD APM volume 2 appendix A). */
struct mh_x86_msrs {
    uint64_t star, lstar, cstar, sfmask;
    uint64_t kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc; /* the time stamp counter's value at the moment the state was taken */
    uint64_t tsc_aux;
    uint64_t pat;
    uint64_t apic_base;
    uint64_t misc_enable;
    /* Memory types, without effect on the guest: fixed ranges, then pairs of base and mask, by number. */
    uint64_t mtrr_default_type;
    uint64_t mtrr_fixed[11];
    uint64_t mtrr_variable[16];
};

/* Which parts of mh_x86_regs a call reads or writes; a mask. */
#define MH_REGS_GENERAL 1u
#define MH_REGS_SYSTEM 2u
#define MH_REGS_FPU 4u
#define MH_REGS_MSRS 8u
#define MH_REGS_ALL 15u

struct mh_x86_regs {
    struct mh_x86_general general;
    struct mh_x86_system system;
    struct mh_x86_fpu fpu;
    struct mh_x86_msrs msrs;
};

#endif
