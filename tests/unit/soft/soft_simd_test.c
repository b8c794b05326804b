/*
 * MMX, SSE and AVX: what raises exceptions, what registers and MXCSR look like afterwards, and XSAVE. That results are
 * those of the host is what tests/differential checks.
 */
#include "soft/soft_simd.h"
#include "soft_machine.h"
#include "unit.h"
#include "x86/boot_state.h"

#define CODE 0x10000u
#define DATA 0x3000u
#define UNMAPPED 0x200000u /* the end of RAM */
#define NO_FAULT (-1)
#define HLT "\xf4"

static int set_up(void **state)
{
    if (soft_machine_set_up(state) != 0)
        return -1;
    struct soft_machine *machine = *state;
    machine->soft->xcr0 = machine->cpuid.xcr0 & (MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX);
    machine->soft->gpr[MH_RSI] = DATA;
    return 0;
}

static bool has_avx(const struct soft_machine *machine)
{
    return (machine->cpuid.xcr0 & MH_XCR0_AVX) != 0;
}

/* Run code that ends with HLT. The vector of the exception it raised, or NO_FAULT. */
static int run(struct soft_machine *machine, const char *code, size_t length)
{
    soft_machine_load(machine, CODE, code, length);
    assert_int_equal(soft_machine_run(machine, CPU_RUN), CPU_EXIT_HALT);
    return boot_stub_at(machine->soft->rip);
}

#define RUN(machine, code) run(machine, code HLT, sizeof(code HLT) - 1)

static void set_xmm(struct soft_machine *machine, unsigned n, uint64_t low, uint64_t high)
{
    memcpy(simd_xmm(machine->soft, n), &low, sizeof low);
    memcpy(simd_xmm(machine->soft, n) + 8, &high, sizeof high);
}

static void set_ymmh(struct soft_machine *machine, unsigned n, uint64_t low, uint64_t high)
{
    memcpy(simd_ymmh(machine->soft, n), &low, sizeof low);
    memcpy(simd_ymmh(machine->soft, n) + 8, &high, sizeof high);
}

static uint64_t low_of(const uint8_t *half_register)
{
    uint64_t value;
    memcpy(&value, half_register, sizeof value);
    return value;
}

static uint32_t mxcsr(const struct soft_machine *machine)
{
    return xsave_get32(machine->soft, XSAVE_MXCSR);
}

/* ---- what is needed to execute ---- */

struct availability {
    const char *code;
    size_t length;
    uint32_t cr0_set, cr4_clear;
    uint64_t xcr0_clear;
    int vector;
    bool needs_avx;
};

#define AVAILABLE(code, cr0, cr4, xcr0, vector, avx)                                                                   \
    {                                                                                                                  \
        code HLT, sizeof(code HLT) - 1, cr0, cr4, xcr0, vector, avx                                                    \
    }

#define ADDPS "\x0f\x58\xc1"
#define VADDPS "\xc5\xf0\x58\xc2"
#define PADDB_MMX "\x0f\xfc\xc1"

/* Intel SDM volume 2, 2.4, 2.5 and volume 3, 14.1 and 23.25.3. */
static const struct availability availabilities[] = {
    AVAILABLE(ADDPS, 0, 0, 0, NO_FAULT, false),
    AVAILABLE(ADDPS, CR0_EM, 0, 0, EXCEPTION_UD, false),
    AVAILABLE(ADDPS, CR0_TS, 0, 0, EXCEPTION_NM, false),
    AVAILABLE(ADDPS, CR0_TS | CR0_EM, 0, 0, EXCEPTION_UD, false),
    AVAILABLE(ADDPS, CR0_TS, MH_CR4_OSFXSR, 0, EXCEPTION_UD, false),
    AVAILABLE("\xf0" ADDPS, 0, 0, 0, EXCEPTION_UD, false),
    AVAILABLE(VADDPS, 0, 0, 0, NO_FAULT, true),
    AVAILABLE(VADDPS, CR0_EM, MH_CR4_OSFXSR, 0, NO_FAULT, true),
    AVAILABLE(VADDPS, CR0_TS, 0, 0, EXCEPTION_NM, true),
    AVAILABLE(VADDPS, CR0_TS, MH_CR4_OSXSAVE, 0, EXCEPTION_UD, true),
    AVAILABLE(VADDPS, 0, 0, MH_XCR0_AVX, EXCEPTION_UD, true),
    AVAILABLE("\x66" VADDPS, 0, 0, 0, EXCEPTION_UD, true),
    AVAILABLE(PADDB_MMX, 0, MH_CR4_OSFXSR, 0, NO_FAULT, false),
    AVAILABLE(PADDB_MMX, CR0_EM | CR0_TS, 0, 0, EXCEPTION_UD, false),
    AVAILABLE(PADDB_MMX, CR0_TS, 0, 0, EXCEPTION_NM, false),
    AVAILABLE("\x0f\xae\x06", CR0_EM, 0, 0, EXCEPTION_NM, false),        /* fxsave (%rsi) */
    AVAILABLE("\x0f\xae\x26", 0, MH_CR4_OSXSAVE, 0, EXCEPTION_UD, true), /* xsave (%rsi) */
    AVAILABLE("\x0f\xae\x26", CR0_TS, 0, 0, EXCEPTION_NM, true),
};

static void an_instruction_needs_its_registers_enabled(void **state)
{
    struct soft_machine *machine = *state;
    const uint64_t cr0 = machine->soft->cr0, cr4 = machine->soft->cr4, xcr0 = machine->soft->xcr0;
    for (size_t i = 0; i < sizeof availabilities / sizeof availabilities[0]; i++) {
        const struct availability *row = &availabilities[i];
        if (row->needs_avx && !has_avx(machine))
            continue;
        machine->soft->cr0 = cr0 | row->cr0_set;
        machine->soft->cr4 = cr4 & ~(uint64_t)row->cr4_clear;
        machine->soft->xcr0 = xcr0 & ~row->xcr0_clear;
        const int vector = run(machine, row->code, row->length);
        if (vector != row->vector)
            fail_msg("row %zu: vector %d, not %d", i, vector, row->vector);
    }
}

static void encodings_that_do_not_exist_raise_ud(void **state)
{
    struct soft_machine *machine = *state;
    assert_int_equal(RUN(machine, "\xf3\x0f\x28\xc1"), EXCEPTION_UD);         /* movaps with F3 */
    assert_int_equal(RUN(machine, "\x66\x0f\x12\xc1"), EXCEPTION_UD);         /* movlpd from a register */
    assert_int_equal(RUN(machine, "\x0f\xe7\xc1"), EXCEPTION_UD);             /* movntq to a register */
    assert_int_equal(RUN(machine, "\x66\x0f\x71\x16\x01"), EXCEPTION_UD);     /* psrlw of memory */
    assert_int_equal(RUN(machine, "\xc5\xe8\x51\xc1"), EXCEPTION_UD);         /* vsqrtps with vvvv */
    assert_int_equal(RUN(machine, "\xc5\xfd\x6e\xc0"), EXCEPTION_UD);         /* vmovd with VEX.L */
    assert_int_equal(RUN(machine, "\xc5\xea\x10\x06"), EXCEPTION_UD);         /* vmovss from memory with vvvv */
    assert_int_equal(RUN(machine, "\xc4\xe2\xf9\x0c\xc1"), EXCEPTION_UD);     /* vpermilps with VEX.W */
    assert_int_equal(RUN(machine, "\xc4\xe3\x7d\x00\xc1\x00"), EXCEPTION_UD); /* vpermq without VEX.W */
}

/* ---- memory ---- */

static void sse_wants_aligned_memory_and_avx_does_not(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RSI] = DATA + 4;
    assert_int_equal(RUN(machine, "\x0f\x28\x06"), EXCEPTION_GP);         /* movaps */
    assert_int_equal(RUN(machine, "\x0f\x58\x06"), EXCEPTION_GP);         /* addps */
    assert_int_equal(RUN(machine, "\x0f\x10\x06"), NO_FAULT);             /* movups */
    assert_int_equal(RUN(machine, "\xf3\x0f\x58\x06"), NO_FAULT);         /* addss */
    assert_int_equal(RUN(machine, "\x66\x0f\x3a\x63\x06\x00"), NO_FAULT); /* pcmpistri */
    if (!has_avx(machine))
        return;
    assert_int_equal(RUN(machine, "\xc5\xfc\x58\x06"), NO_FAULT);     /* vaddps, 256 bits */
    assert_int_equal(RUN(machine, "\xc5\xf8\x28\x06"), EXCEPTION_GP); /* vmovaps */
    machine->soft->gpr[MH_RSI] = DATA + 16;
    assert_int_equal(RUN(machine, "\xc5\xfc\x28\x06"), EXCEPTION_GP); /* vmovaps, 256 bits */
    assert_int_equal(RUN(machine, "\xc5\xf8\x28\x06"), NO_FAULT);
}

static void a_fault_leaves_registers_alone(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RSI] = UNMAPPED - 8;
    set_xmm(machine, 0, 1, 2);
    assert_int_equal(RUN(machine, "\x0f\x10\x06"), 14);
    assert_int_equal(low_of(simd_xmm(machine->soft, 0)), 1);
    assert_int_equal(machine->soft->cr2, UNMAPPED);
    assert_int_equal(RUN(machine, "\xf2\x0f\x10\x06"), NO_FAULT); /* movsd ends before */
}

static void a_mask_of_avx_suppresses_faults(void **state)
{
    struct soft_machine *machine = *state;
    if (!has_avx(machine))
        skip();
    machine->soft->gpr[MH_RSI] = UNMAPPED - 8;
    set_xmm(machine, 0, 0x1122334455667788, 0x99aabbccddeeff00);
    set_xmm(machine, 1, 0x8000000080000000, 0);
    assert_int_equal(RUN(machine, "\xc4\xe2\x71\x2e\x06"), NO_FAULT); /* vmaskmovps %xmm0, %xmm1, (%rsi) */
    assert_int_equal(soft_machine_get64(machine, UNMAPPED - 8), 0x1122334455667788);
    set_xmm(machine, 1, 0x8000000080000000, 0x80000000);
    soft_machine_put64(machine, UNMAPPED - 8, 0);
    assert_int_equal(RUN(machine, "\xc4\xe2\x71\x2e\x06"), 14);
    assert_int_equal(soft_machine_get64(machine, UNMAPPED - 8), 0);
}

static void maskmovdqu_checks_all_bytes(void **state)
{
    struct soft_machine *machine = *state;
    set_xmm(machine, 0, 0x1122334455667788, 0x99aabbccddeeff00);
    set_xmm(machine, 1, 0x0000000000000080, 0);
    machine->soft->gpr[MH_RDI] = UNMAPPED - 16;
    assert_int_equal(RUN(machine, "\x66\x0f\xf7\xc1"), NO_FAULT);
    assert_int_equal(soft_machine_get64(machine, UNMAPPED - 16), 0x88);
    machine->soft->gpr[MH_RDI] = UNMAPPED - 8;
    assert_int_equal(RUN(machine, "\x66\x0f\xf7\xc1"), 14);
}

static void a_gather_keeps_what_it_has_loaded(void **state)
{
    struct soft_machine *machine = *state;
    if (!simd_has_feature(machine->soft, AVX2))
        skip();
    machine->soft->gpr[MH_RSI] = UNMAPPED - 8;
    soft_machine_put64(machine, UNMAPPED - 8, 0x1234);
    set_xmm(machine, 0, 7, 8);                  /* destination */
    set_xmm(machine, 1, 0, 0x0000000800000000); /* indices 0, 0, 0, 8: the last is not mapped */
    set_xmm(machine, 2, 0x80000000ffffffff, 0x8000000000000000);
    assert_int_equal(RUN(machine, "\xc4\xe2\x69\x90\x04\x0e"), 14); /* vpgatherdd %xmm2, (%rsi,%xmm1), %xmm0 */
    assert_int_equal(low_of(simd_xmm(machine->soft, 0)), 0x0000123400001234);
    assert_int_equal(low_of(simd_xmm(machine->soft, 2)), 0);
    assert_int_equal(low_of(simd_xmm(machine->soft, 2) + 8), 0xffffffff00000000);
}

/* ---- halves of ymm registers ---- */

static void sse_keeps_the_upper_half_and_vex_clears_it(void **state)
{
    struct soft_machine *machine = *state;
    if (!has_avx(machine))
        skip();
    set_ymmh(machine, 0, 5, 6);
    assert_int_equal(RUN(machine, "\x0f\x57\xc0"), NO_FAULT); /* xorps */
    assert_int_equal(low_of(simd_ymmh(machine->soft, 0)), 5);
    assert_int_equal(RUN(machine, "\xc5\xf8\x57\xc0"), NO_FAULT); /* vxorps */
    assert_int_equal(low_of(simd_ymmh(machine->soft, 0)), 0);
    set_ymmh(machine, 15, 5, 6);
    set_xmm(machine, 15, 7, 8);
    assert_int_equal(RUN(machine, "\xc5\xf8\x77"), NO_FAULT); /* vzeroupper */
    assert_int_equal(low_of(simd_ymmh(machine->soft, 15)), 0);
    assert_int_equal(low_of(simd_xmm(machine->soft, 15)), 7);
}

/* ---- MXCSR ---- */

#define ONE 0x3ff0000000000000u
#define SMALLEST_NORMAL 0x0010000000000000u
#define HALF 0x3fe0000000000000u
#define THREE 0x4008000000000000u
#define DIVSD "\xf2\x0f\x5e\xc1"
#define MULSD "\xf2\x0f\x59\xc1"
#define PE 0x20u
#define UE 0x10u
#define ZE 0x04u

static void flags_gather_in_mxcsr(void **state)
{
    struct soft_machine *machine = *state;
    const uint32_t host = host_simd_mxcsr();
    set_xmm(machine, 0, ONE, 0);
    set_xmm(machine, 1, 0, 0);
    assert_int_equal(RUN(machine, DIVSD "\x0f\xae\x1e"), NO_FAULT); /* stmxcsr (%rsi) */
    assert_int_equal(mxcsr(machine), MXCSR_INITIAL | ZE);
    assert_int_equal((uint32_t)soft_machine_get64(machine, DATA), MXCSR_INITIAL | ZE);
    assert_int_equal(host_simd_mxcsr(), host);
}

static void ldmxcsr_refuses_reserved_bits(void **state)
{
    struct soft_machine *machine = *state;
    soft_machine_put64(machine, DATA, 0x11f80);
    assert_int_equal(RUN(machine, "\x0f\xae\x16"), EXCEPTION_GP);
    soft_machine_put64(machine, DATA, 0xffff);
    assert_int_equal(RUN(machine, "\x0f\xae\x16"), NO_FAULT);
    assert_int_equal(mxcsr(machine), 0xffff);
}

static void an_unmasked_exception_is_raised_before_the_result(void **state)
{
    struct soft_machine *machine = *state;
    set_xmm(machine, 0, ONE, 0);
    set_xmm(machine, 1, 0, 0);
    simd_set_mxcsr(machine->soft, MXCSR_INITIAL & ~(ZE << MXCSR_MASKS_SHIFT));
    assert_int_equal(RUN(machine, DIVSD), EXCEPTION_XM);
    assert_int_equal(low_of(simd_xmm(machine->soft, 0)), ONE);
    assert_int_equal(mxcsr(machine) & MXCSR_FLAGS, ZE);
    machine->soft->cr4 &= ~(uint64_t)MH_CR4_OSXMMEXCPT;
    assert_int_equal(RUN(machine, DIVSD), EXCEPTION_UD);
}

/* Intel SDM volume 1, 11.5.2.5: unmasked, an exact result that is tiny is reported, too. */
static void unmasked_underflow_needs_no_inexact_result(void **state)
{
    struct soft_machine *machine = *state;
    set_xmm(machine, 0, SMALLEST_NORMAL, 0);
    set_xmm(machine, 1, HALF, 0);
    assert_int_equal(RUN(machine, MULSD), NO_FAULT);
    assert_int_equal(mxcsr(machine) & MXCSR_FLAGS, 0);
    set_xmm(machine, 0, SMALLEST_NORMAL, 0);
    simd_set_mxcsr(machine->soft, MXCSR_INITIAL & ~(UE << MXCSR_MASKS_SHIFT));
    assert_int_equal(RUN(machine, MULSD), EXCEPTION_XM);
    assert_int_equal(mxcsr(machine) & MXCSR_FLAGS, UE);
}

/* Intel SDM volume 1, 11.5.3: elements that divide by zero keep others from being calculated. */
static void exceptions_before_the_calculation_come_first(void **state)
{
    struct soft_machine *machine = *state;
    set_xmm(machine, 0, ONE, ONE);
    set_xmm(machine, 1, THREE, 0);
    simd_set_mxcsr(machine->soft, MXCSR_INITIAL & ~((ZE | PE) << MXCSR_MASKS_SHIFT));
    assert_int_equal(RUN(machine, "\x66\x0f\x5e\xc1"), EXCEPTION_XM); /* divpd */
    assert_int_equal(mxcsr(machine) & MXCSR_FLAGS, ZE);
}

/* ---- the fast loop ---- */

/* addsd %xmm1, %xmm0; movsd %xmm0, (%rsi); movss 4(%rsi), %xmm2; mulpd (%rsi), %xmm0; movapd %xmm0, %xmm3;
 * movups %xmm3, 24(%rsi); addps 16(%rsi), %xmm3; unpcklpd %xmm1, %xmm3; movaps 24(%rsi), %xmm0, which is not aligned */
#define MIXTURE                                                                                                        \
    "\xf2\x0f\x58\xc1\xf2\x0f\x11\x06\xf3\x0f\x10\x56\x04\x66\x0f\x59\x06\x66\x0f\x28\xd8"                             \
    "\x0f\x11\x5e\x18\x0f\x58\x5e\x10\x66\x0f\x14\xd9\x0f\x28\x46\x18"

static void start_mixture(struct soft_machine *machine)
{
    memset(machine->soft->xsave + XSAVE_XMM, 0, XSAVE_LEGACY_END - XSAVE_XMM);
    memset(machine->ram.host + DATA, 0x3f, 64);
    set_xmm(machine, 0, ONE, 1);
    set_xmm(machine, 1, THREE, 2);
    simd_set_mxcsr(machine->soft, MXCSR_INITIAL);
}

/* Steps use the handlers. */
static void the_fast_loop_does_what_handlers_do(void **state)
{
    struct soft_machine *machine = *state;
    uint8_t stepped[MH_XSAVE_SIZE], memory[64];
    start_mixture(machine);
    soft_machine_code(machine, CODE, MIXTURE HLT);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(soft_machine_run(machine, CPU_STEP), CPU_EXIT_STEP);
    memcpy(stepped, machine->soft->xsave, sizeof stepped);
    memcpy(memory, machine->ram.host + DATA, sizeof memory);
    start_mixture(machine);
    assert_int_equal(RUN(machine, MIXTURE), EXCEPTION_GP);
    assert_memory_equal(machine->soft->xsave, stepped, sizeof stepped);
    assert_memory_equal(machine->ram.host + DATA, memory, sizeof memory);
}

/* ---- MMX ---- */

static void mmx_makes_all_x87_registers_valid(void **state)
{
    struct soft_machine *machine = *state;
    machine->soft->gpr[MH_RAX] = 0x123456789abcdef0;
    assert_int_equal(RUN(machine, "\xd9\xe8\x48\x0f\x6e\xd8"), NO_FAULT); /* fld1; movq %rax, %mm3 */
    assert_int_equal(xsave_get16(machine->soft, XSAVE_FSW), 0);
    assert_int_equal(machine->soft->xsave[XSAVE_FTW], 0xff);
    assert_int_equal(xsave_get64(machine->soft, XSAVE_ST + 3 * 16), 0x123456789abcdef0);
    assert_int_equal(xsave_get16(machine->soft, XSAVE_ST + 3 * 16 + 8), 0xffff);
    assert_int_equal(xsave_get64(machine->soft, XSAVE_ST + 7 * 16), 1ull << 63); /* what fld1 pushed is mm7 */
    assert_int_equal(RUN(machine, "\x0f\x77"), NO_FAULT);                        /* emms */
    assert_int_equal(machine->soft->xsave[XSAVE_FTW], 0);
}

/* ---- FXSAVE, XSAVE ---- */

static void fxsave_and_fxrstor_keep_registers(void **state)
{
    struct soft_machine *machine = *state;
    set_xmm(machine, 9, 1, 2);
    simd_set_mxcsr(machine->soft, 0x9fc0);
    assert_int_equal(RUN(machine, "\xd9\xe8\x48\x0f\xae\x06"), NO_FAULT); /* fld1; fxsave64 (%rsi) */
    uint8_t before[XSAVE_LEGACY_END];
    memcpy(before, machine->soft->xsave, sizeof before);
    assert_memory_equal(machine->ram.host + DATA, before, sizeof before);
    set_xmm(machine, 9, 0, 0);
    simd_set_mxcsr(machine->soft, MXCSR_INITIAL);
    assert_int_equal(RUN(machine, "\xdb\xe3\x48\x0f\xae\x0e"), NO_FAULT); /* fninit; fxrstor64 (%rsi) */
    assert_memory_equal(machine->soft->xsave, before, sizeof before);
    machine->soft->gpr[MH_RSI] = DATA + 8;
    assert_int_equal(RUN(machine, "\x0f\xae\x0e"), EXCEPTION_GP);
}

static void xsave_marks_what_is_not_initial(void **state)
{
    struct soft_machine *machine = *state;
    if (!has_avx(machine))
        skip();
    machine->soft->gpr[MH_RAX] = 7;
    machine->soft->gpr[MH_RDX] = 0;
    assert_int_equal(RUN(machine, "\x0f\xae\x26"), NO_FAULT); /* xsave (%rsi) */
    assert_int_equal(soft_machine_get64(machine, DATA + XSAVE_HEADER), 0);
    set_ymmh(machine, 3, 1, 2);
    assert_int_equal(RUN(machine, "\xd9\xe8\x0f\xae\x26"), NO_FAULT); /* fld1; xsave (%rsi) */
    assert_int_equal(soft_machine_get64(machine, DATA + XSAVE_HEADER), MH_XCR0_X87 | MH_XCR0_AVX);
    assert_int_equal(soft_machine_get64(machine, DATA + XSAVE_YMMH + 3 * 16), 1);
    machine->soft->gpr[MH_RAX] = MH_XCR0_SSE; /* the other bits stay */
    set_xmm(machine, 0, 1, 2);
    assert_int_equal(RUN(machine, "\x0f\xae\x26"), NO_FAULT);
    assert_int_equal(soft_machine_get64(machine, DATA + XSAVE_HEADER), 7);
}

static void xrstor_initializes_what_the_header_leaves_out(void **state)
{
    struct soft_machine *machine = *state;
    if (!has_avx(machine))
        skip();
    set_xmm(machine, 1, 1, 2);
    set_ymmh(machine, 1, 3, 4);
    machine->soft->gpr[MH_RAX] = 7;
    machine->soft->gpr[MH_RDX] = 0;
    soft_machine_put64(machine, DATA + XSAVE_MXCSR, 0x3f80);
    soft_machine_put64(machine, DATA + XSAVE_XMM + 16, 9);
    soft_machine_put64(machine, DATA + XSAVE_HEADER, MH_XCR0_SSE);
    assert_int_equal(RUN(machine, "\xd9\xe8\x0f\xae\x2e"), NO_FAULT); /* fld1; xrstor (%rsi) */
    assert_int_equal(low_of(simd_xmm(machine->soft, 1)), 9);
    assert_int_equal(low_of(simd_ymmh(machine->soft, 1)), 0);
    assert_int_equal(machine->soft->xsave[XSAVE_FTW], 0);
    assert_int_equal(mxcsr(machine), 0x3f80);
}

/* Intel SDM volume 1, 13.8.1 */
static void xrstor_refuses_bad_headers(void **state)
{
    struct soft_machine *machine = *state;
    if (!has_avx(machine))
        skip();
    machine->soft->gpr[MH_RAX] = 7;
    soft_machine_put64(machine, DATA + XSAVE_HEADER, 8); /* a component XCR0 does not have */
    assert_int_equal(RUN(machine, "\x0f\xae\x2e"), EXCEPTION_GP);
    soft_machine_put64(machine, DATA + XSAVE_HEADER, 7);
    soft_machine_put64(machine, DATA + XSAVE_HEADER + 8, 1); /* XCOMP_BV of the standard form */
    assert_int_equal(RUN(machine, "\x0f\xae\x2e"), EXCEPTION_GP);
    soft_machine_put64(machine, DATA + XSAVE_HEADER + 8, 0);
    assert_int_equal(RUN(machine, "\x0f\xae\x2e"), NO_FAULT);
    machine->soft->gpr[MH_RSI] = DATA + 16;
    assert_int_equal(RUN(machine, "\x0f\xae\x2e"), EXCEPTION_GP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_instruction_needs_its_registers_enabled, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(encodings_that_do_not_exist_raise_ud, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(sse_wants_aligned_memory_and_avx_does_not, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(a_fault_leaves_registers_alone, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(a_mask_of_avx_suppresses_faults, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(maskmovdqu_checks_all_bytes, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(a_gather_keeps_what_it_has_loaded, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(sse_keeps_the_upper_half_and_vex_clears_it, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(flags_gather_in_mxcsr, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(ldmxcsr_refuses_reserved_bits, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(an_unmasked_exception_is_raised_before_the_result, set_up,
                                        soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(unmasked_underflow_needs_no_inexact_result, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(exceptions_before_the_calculation_come_first, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(the_fast_loop_does_what_handlers_do, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(mmx_makes_all_x87_registers_valid, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(fxsave_and_fxrstor_keep_registers, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(xsave_marks_what_is_not_initial, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(xrstor_initializes_what_the_header_leaves_out, set_up, soft_machine_tear_down),
        cmocka_unit_test_setup_teardown(xrstor_refuses_bad_headers, set_up, soft_machine_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
