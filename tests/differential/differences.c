/*
 * Comparing two outcomes. What is not compared, and why:
 *
 * - The P bit of a page fault's error code for addresses no program can have: Linux sets it always.
 * - MXCSR_MASK and the reserved bytes of the XSAVE area.
 * - The RPL of null selectors in DS, ES, FS and GS: the IRET by which Linux enters the signal handler clears it.
 */
#include "outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define XSAVE_FCW 0u
#define XSAVE_FSW 2u
#define XSAVE_FTW 4u
#define XSAVE_FOP 6u
#define XSAVE_FIP 8u
#define XSAVE_FDP 16u
#define XSAVE_MXCSR 24u
#define XSAVE_ST 32u
#define XSAVE_XMM 160u
#define XSAVE_HEADER 512u
#define XSAVE_YMMH 576u
#define ST_BYTES 10u
#define MXCSR_PE 0x20
#define OPERAND_MAX 1024
#define VECTOR_SIMD 19
#define VECTOR_BREAKPOINT 3
#define USER_END 0x7ffffffff000ull /* TASK_SIZE_MAX of Linux */

/* A field of the XSAVE area, or `count` of them every 16 bytes. */
struct field {
    const char *name;
    unsigned offset, size, count;
};

static const struct field fields[] = {
    {"fcw", XSAVE_FCW, 2, 1},     {"fsw", XSAVE_FSW, 2, 1},      {"ftw", XSAVE_FTW, 1, 1},
    {"fop", XSAVE_FOP, 2, 1},     {"fip", XSAVE_FIP, 8, 1},      {"fdp", XSAVE_FDP, 8, 1},
    {"mxcsr", XSAVE_MXCSR, 4, 1}, {"st", XSAVE_ST, ST_BYTES, 8}, {"xmm", XSAVE_XMM, 16, 16},
    {"ymmh", XSAVE_YMMH, 16, 16},
};

#define FIELDS (sizeof fields / sizeof fields[0])

static const char *const gpr_names[MH_GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

void outcome_write_out_initial(uint8_t xsave[MH_XSAVE_SIZE])
{
    uint8_t present = xsave[XSAVE_HEADER];
    if ((present & MH_XCR0_X87) == 0) {
        memset(xsave, 0, XSAVE_MXCSR);
        memset(xsave + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
        xsave[XSAVE_FCW] = 0x7f;
        xsave[XSAVE_FCW + 1] = 3;
    }
    if ((present & MH_XCR0_SSE) == 0)
        memset(xsave + XSAVE_XMM, 0, 256);
    if ((present & MH_XCR0_AVX) == 0)
        memset(xsave + XSAVE_YMMH, 0, 256);
    memset(xsave + XSAVE_HEADER, 0, 64);
}

static bool is_tolerated(const struct field *field, const uint8_t *a, const uint8_t *b, unsigned tolerated)
{
    bool is_x87 = field->offset < XSAVE_MXCSR || field->offset == XSAVE_ST;
    bool only_pe = ((a[XSAVE_MXCSR] ^ b[XSAVE_MXCSR]) & ~MXCSR_PE) == 0;
    return (is_x87 && (tolerated & TOLERATE_X87) != 0) ||
           (field->offset == XSAVE_MXCSR &&
            ((tolerated & TOLERATE_MXCSR) != 0 || (only_pe && (tolerated & TOLERATE_PE) != 0)));
}

static bool xsave_equal(const uint8_t *a, const uint8_t *b, unsigned tolerated)
{
    for (unsigned i = 0; i < FIELDS; i++)
        for (unsigned k = 0; k < fields[i].count; k++)
            if (memcmp(a + fields[i].offset + k * 16, b + fields[i].offset + k * 16, fields[i].size) != 0 &&
                !is_tolerated(&fields[i], a, b, tolerated))
                return false;
    return true;
}

bool outcome_xsave_difference(const uint8_t a[MH_XSAVE_SIZE], const uint8_t b[MH_XSAVE_SIZE], char *text, size_t size)
{
    uint8_t x[MH_XSAVE_SIZE], y[MH_XSAVE_SIZE];
    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    outcome_write_out_initial(x);
    outcome_write_out_initial(y);
    for (unsigned i = 0; i < FIELDS; i++)
        for (unsigned k = 0; k < fields[i].count; k++) {
            const unsigned at = fields[i].offset + k * 16;
            uint64_t first[2] = {0}, second[2] = {0};
            if (memcmp(x + at, y + at, fields[i].size) == 0)
                continue;
            memcpy(first, x + at, fields[i].size);
            memcpy(second, y + at, fields[i].size);
            snprintf(text, size, "%s %u: %" PRIx64 " %016" PRIx64 ", %" PRIx64 " %016" PRIx64, fields[i].name, k,
                     first[1], first[0], second[1], second[0]);
            return true;
        }
    return false;
}

static uint32_t error_code_to_compare(const struct outcome *outcome, unsigned tolerated)
{
    if (outcome->vector == 14 && (outcome->cr2 >= USER_END || (tolerated & TOLERATE_CR2) != 0))
        return outcome->error_code | 1;
    return outcome->error_code;
}

static bool selectors_equal(uint16_t native, uint16_t soft)
{
    return native == soft || (native == 0 && soft < 4);
}

static bool cr2_equal(const struct outcome *native, const struct outcome *soft, unsigned tolerated)
{
    int32_t apart = (int32_t)(native->cr2 - soft->cr2); /* operands with 32-bit addresses end at 4 GB and go on at 0 */
    return native->cr2 == soft->cr2 || ((tolerated & TOLERATE_CR2) != 0 && apart < OPERAND_MAX && apart > -OPERAND_MAX);
}

static bool registers_equal(const struct outcome *native, const struct outcome *soft)
{
    return native->rip == soft->rip && native->rflags == soft->rflags &&
           memcmp(native->gpr, soft->gpr, sizeof native->gpr) == 0 && native->fs_base == soft->fs_base &&
           native->gs_base == soft->gs_base && native->cs == soft->cs && native->ss == soft->ss &&
           selectors_equal(native->ds, soft->ds) && selectors_equal(native->es, soft->es) &&
           selectors_equal(native->fs, soft->fs) && selectors_equal(native->gs, soft->gs);
}

bool outcome_equal(const struct outcome *native, const struct outcome *soft, unsigned tolerated)
{
    if (native->kind == OUTCOME_HUNG && (tolerated & TOLERATE_HANG) != 0)
        return true;
    if (native->kind != soft->kind)
        return false;
    if (native->kind == OUTCOME_HUNG)
        return true;
    if (native->vector == VECTOR_BREAKPOINT)
        tolerated = 0;
    tolerated &= native->vector == VECTOR_SIMD ? TOLERATE_PE : ~TOLERATE_PE;
    return native->vector == soft->vector &&
           error_code_to_compare(native, tolerated) == error_code_to_compare(soft, tolerated) &&
           cr2_equal(native, soft, tolerated) && registers_equal(native, soft) &&
           xsave_equal(native->xsave, soft->xsave, tolerated);
}

static void print_bytes(const uint8_t *bytes, unsigned size)
{
    for (unsigned i = size; i-- > 0;)
        printf("%02x", bytes[i]);
}

static void print_field(const struct field *field, unsigned index, const uint8_t *start, const uint8_t *native,
                        const uint8_t *soft)
{
    unsigned at = field->offset + index * 16;
    if (memcmp(native + at, soft + at, field->size) == 0)
        return;
    printf("  %s", field->name);
    if (field->count > 1)
        printf("%u", index);
    printf(": host ");
    print_bytes(native + at, field->size);
    printf("\n  %*s soft ", (int)strlen(field->name) + (field->count > 1 ? 2 + (index > 9) : 1), "");
    print_bytes(soft + at, field->size);
    printf("  start ");
    print_bytes(start + at, field->size);
    printf("\n");
}

static void print_value(const char *name, uint64_t native, uint64_t soft)
{
    if (native != soft)
        printf("  %s: host %" PRIx64 " soft %" PRIx64 "\n", name, native, soft);
}

static void print_start(const struct start *start)
{
    printf("  start:");
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        printf("%s%s=%" PRIx64, i == 8 ? "\n    " : " ", gpr_names[i], start->gpr[i]);
    printf("\n    rip=%" PRIx64 " rflags=%" PRIx64 " fs=%" PRIx64 " gs=%" PRIx64, start->rip, start->rflags,
           start->fs_base, start->gs_base);
    for (unsigned i = 0; i < FIELDS; i++)
        if (fields[i].count == 1) {
            printf(" %s=", fields[i].name);
            print_bytes(start->xsave + fields[i].offset, fields[i].size);
        }
    printf("\n");
}

static void print_kind(const char *side, const struct outcome *outcome)
{
    if (outcome->kind == OUTCOME_EXCEPTION)
        printf("  %s: vector %u error %x cr2 %" PRIx64 " rip %" PRIx64 " rflags %" PRIx64 "\n", side, outcome->vector,
               outcome->error_code, outcome->cr2, outcome->rip, outcome->rflags);
    else
        printf("  %s: %s; at %" PRIx64 "\n", side, outcome->kind == OUTCOME_HUNG ? "does not end" : outcome->text,
               outcome->rip);
}

void outcome_print_difference(const struct start *start, const struct outcome *native, const struct outcome *soft)
{
    print_start(start);
    print_kind("host", native);
    print_kind("soft", soft);
    if (native->kind != soft->kind)
        return;
    print_value("rflags", native->rflags, soft->rflags);
    for (unsigned i = 0; i < MH_GPR_COUNT; i++)
        print_value(gpr_names[i], native->gpr[i], soft->gpr[i]);
    print_value("fs_base", native->fs_base, soft->fs_base);
    print_value("gs_base", native->gs_base, soft->gs_base);
    print_value("cs", native->cs, soft->cs);
    print_value("ss", native->ss, soft->ss);
    print_value("ds", native->ds, soft->ds);
    print_value("es", native->es, soft->es);
    print_value("fs", native->fs, soft->fs);
    print_value("gs", native->gs, soft->gs);
    for (unsigned i = 0; i < FIELDS; i++)
        for (unsigned k = 0; k < fields[i].count; k++)
            print_field(&fields[i], k, start->xsave, native->xsave, soft->xsave);
}
