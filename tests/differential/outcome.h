/*
 * What the differential tests compare: the state an instruction, or a short program, starts in, and what it comes to.
 * Both sides run at the same linear addresses in ring 3, end with an exception (INT3 behind the code at the latest),
 * and describe themselves in the same terms.
 */
#ifndef MH_TEST_OUTCOME_H
#define MH_TEST_OUTCOME_H

#include "mh/cpu_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Linear addresses. All lie below 4 GB, so that 67-prefixed addresses and absolute displacements reach them. */
#define AREA_CODE 0x20000000ull /* two pages: read, write, execute; then nothing */
#define AREA_CODE_SIZE 0x2000u
#define AREA_DATA 0x30000000ull /* a page to read, two to read and write; none to execute; then nothing */
#define AREA_DATA_SIZE 0x3000u
#define AREA_DATA_WRITABLE 0x1000u /* offset of the writable part */
#define AREA_NOTHING 0x31000000ull /* never mapped */

/* The selectors of Linux, which the software processor gets too. */
#define AREA_CS 0x33u
#define AREA_SS 0x2bu

#define RFLAGS_ARITHMETIC 0x8d5u
#define RFLAGS_NT 0x4000u
#define RFLAGS_AC 0x40000u
#define RFLAGS_ID 0x200000u

/* Registers before the first instruction. Selectors of DS, ES, FS and GS are 0, as in a process of Linux. */
struct start {
    uint64_t gpr[MH_GPR_COUNT];
    uint64_t rip, rflags, fs_base, gs_base;
    alignas(64) uint8_t xsave[MH_XSAVE_SIZE];
};

enum outcome_kind {
    OUTCOME_EXCEPTION,
    OUTCOME_HUNG,  /* it ran longer than it may */
    OUTCOME_OTHER, /* software only: `text` says what happened */
};

struct outcome {
    enum outcome_kind kind;
    uint64_t gpr[MH_GPR_COUNT];
    uint64_t rip, rflags, fs_base, gs_base; /* rip and rflags as the exception pushed them */
    uint16_t cs, ss, ds, es, fs, gs;
    uint8_t vector;
    uint32_t error_code; /* 0 when the exception has none */
    uint64_t cr2;        /* of a page fault, else 0 */
    char text[320];
    alignas(64) uint8_t xsave[MH_XSAVE_SIZE]; /* components in their initial state are written out */
};

/* Replace components of *xsave that its header says are in their initial state by that state; the header is cleared. */
void outcome_write_out_initial(uint8_t xsave[MH_XSAVE_SIZE]);

/* Do these XSAVE areas differ? Then *text says where; see differences.c for what is never compared. */
bool outcome_xsave_difference(const uint8_t a[MH_XSAVE_SIZE], const uint8_t b[MH_XSAVE_SIZE], char *text, size_t size);

/* Differences that are not counted: see known.c for which instructions they are known of, and why. */
#define TOLERATE_CR2 1u    /* another byte of the operand, on a page fault */
#define TOLERATE_STORES 2u /* memory was written before an exception */
#define TOLERATE_X87 4u    /* x87 registers, with an exception */
#define TOLERATE_MXCSR 8u  /* flags of MXCSR, with an exception other than #XM */
#define TOLERATE_PE 16u    /* MXCSR.PE, with #XM */
#define TOLERATE_HANG 32u  /* the host does not end */

/* Compare all but memory; see differences.c for what is never compared. */
bool outcome_equal(const struct outcome *native, const struct outcome *soft, unsigned tolerated);

/* Print all that differs, and what both started with. */
void outcome_print_difference(const struct start *start, const struct outcome *native, const struct outcome *soft);

#endif
