/*
 * Saving and restoring x87, SSE and AVX registers: LDMXCSR, STMXCSR, FXSAVE, FXRSTOR and the XSAVE family (Intel SDM
 * volume 1, 10.5 and chapter 13).
 *
 * cpu->xsave has the layout of the standard form and always holds the values, so that saving is copying by parts. AVX
 * is the only extended component, and stands at the same place in the compacted form.
 *
 * XINUSE. When a processor considers a component to be in its initial configuration is up to the processor. Ours
 * compares the registers with the initial values: that depends on nothing but the state itself, so that it is the same
 * whichever way a machine came there.
 */
#include "soft_simd.h"
#include "soft_walk.h"

#define EXCEPTION_STACK 12
#define EXCEPTION_ALIGNMENT 17
#define RFLAGS_AC 0x40000u
#define FCW_INITIAL 0x037fu
#define AREA_ALIGNMENT 64u
#define FXSAVE_ALIGNMENT 16u
#define FXSAVE_SIZE 512u
#define HEADER_SIZE 64u
#define COMPACTED (1ull << 63)

/* A run of bytes in the area, and the components it belongs to. */
struct part {
    uint64_t components;
    uint16_t offset, length;
};

static const struct part parts[] = {
    {MH_XCR0_X87, XSAVE_FCW, XSAVE_MXCSR - XSAVE_FCW},
    {MH_XCR0_SSE | MH_XCR0_AVX, XSAVE_MXCSR, XSAVE_ST - XSAVE_MXCSR},
    {MH_XCR0_X87, XSAVE_ST, XSAVE_XMM - XSAVE_ST},
    {MH_XCR0_SSE, XSAVE_XMM, XSAVE_LEGACY_END - XSAVE_XMM},
    {MH_XCR0_AVX, XSAVE_YMMH, MH_XSAVE_SIZE - XSAVE_YMMH},
};

#define PARTS (sizeof parts / sizeof parts[0])
#define PART_MXCSR 1u

/* ---- MXCSR ---- */

enum soft_result simd_ldmxcsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_allowed(cpu, insn, simd_kind(insn)))
        return simd_refuse(cpu, insn);
    uint32_t value;
    if (!soft_read32(cpu, insn->segment, soft_address(cpu, insn), &value))
        return soft_mem_result(cpu);
    if ((value & ~MXCSR_ALLOWED) != 0)
        return soft_raise_error(cpu, EXCEPTION_GP, 0);
    simd_set_mxcsr(cpu, value);
    return SOFT_NEXT;
}

enum soft_result simd_stmxcsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_allowed(cpu, insn, simd_kind(insn)))
        return simd_refuse(cpu, insn);
    simd_sync_mxcsr(cpu);
    if (!soft_write32(cpu, insn->segment, soft_address(cpu, insn), xsave_get32(cpu, XSAVE_MXCSR)))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

/* ---- x87 state in memory ---- */

/* Without REX.W pointers have 32 bits and a selector, which is 0 (CPUID.(7,0):EBX bit 13). */
static void shorten_pointers(uint8_t *area)
{
    memset(area + XSAVE_FIP + 4, 0, 4);
    memset(area + XSAVE_FDP + 4, 0, 4);
}

/* A copy of the registers as FXSAVE and XSAVE store them. */
static void copy_registers(struct soft_cpu *cpu, const struct soft_insn *insn, uint8_t *area)
{
    simd_sync_mxcsr(cpu);
    xsave_set32(cpu, XSAVE_MXCSR_MASK, MXCSR_ALLOWED);
    memcpy(area, cpu->xsave, MH_XSAVE_SIZE);
    if (!insn->rex_w)
        shorten_pointers(area);
}

/* Give the x87 registers in cpu->xsave the form that loading them gives: ES and B follow from the other bits, and so
 * on. */
static void normalize_x87(struct soft_cpu *cpu)
{
    uint64_t flags = MH_RFLAGS_FIXED;
    host_x87_call(cpu->xsave, NULL, host_x87_nothing, &flags);
    xsave_set32(cpu, XSAVE_MXCSR_MASK, MXCSR_ALLOWED);
}

static void reset_x87(uint8_t *area)
{
    memset(area, 0, XSAVE_MXCSR);
    memset(area + XSAVE_ST, 0, XSAVE_XMM - XSAVE_ST);
    area[XSAVE_FCW] = FCW_INITIAL & 0xff;
    area[XSAVE_FCW + 1] = FCW_INITIAL >> 8;
}

/*
 * The checks of an area's address: canonical form first, then #AC where alignment is checked and the address is no
 * multiple of 4, else #GP(0). False: return SOFT_FAULT.
 */
static bool is_aligned(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned alignment)
{
    const uint64_t address = soft_address(cpu, insn);
    const bool checks = address % sizeof(uint32_t) != 0 && soft_cpl(cpu) == 3 && (cpu->rflags & RFLAGS_AC) != 0 &&
                        (cpu->cr0 & MH_CR0_AM) != 0;
    if (address % alignment == 0)
        return true;
    if (!soft_is_canonical(address))
        soft_raise_error(cpu, insn->segment == MH_SS ? EXCEPTION_STACK : EXCEPTION_GP, 0);
    else
        soft_raise_error(cpu, checks ? EXCEPTION_ALIGNMENT : EXCEPTION_GP, 0);
    return false;
}

/* ---- FXSAVE, FXRSTOR ---- */

/* #UD, #NM and alignment. False: return SOFT_FAULT. */
static bool fxsave_allowed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_has_feature(cpu, FXSR))
        soft_raise(cpu, EXCEPTION_UD);
    else if ((cpu->cr0 & (CR0_EM | CR0_TS)) != 0)
        soft_raise(cpu, EXCEPTION_NM);
    else
        return is_aligned(cpu, insn, FXSAVE_ALIGNMENT);
    return false;
}

enum soft_result simd_fxsave(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!fxsave_allowed(cpu, insn))
        return SOFT_FAULT;
    if (!soft_probe(cpu, insn->segment, soft_address(cpu, insn), FXSAVE_SIZE, true))
        return soft_mem_result(cpu);
    uint8_t area[MH_XSAVE_SIZE];
    copy_registers(cpu, insn, area);
    if (!soft_write(cpu, insn->segment, soft_address(cpu, insn), area, XSAVE_LEGACY_END))
        return soft_mem_result(cpu);
    return SOFT_NEXT;
}

enum soft_result simd_fxrstor(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!fxsave_allowed(cpu, insn))
        return SOFT_FAULT;
    uint8_t area[FXSAVE_SIZE];
    if (!soft_read(cpu, insn->segment, soft_address(cpu, insn), area, sizeof area))
        return soft_mem_result(cpu);
    uint32_t mxcsr;
    memcpy(&mxcsr, area + XSAVE_MXCSR, sizeof mxcsr);
    if ((mxcsr & ~MXCSR_ALLOWED) != 0)
        return soft_raise_error(cpu, EXCEPTION_GP, 0);
    if (!insn->rex_w)
        shorten_pointers(area);
    simd_set_mxcsr(cpu, mxcsr);
    memcpy(cpu->xsave, area, XSAVE_LEGACY_END);
    normalize_x87(cpu);
    return SOFT_NEXT;
}

/* ---- XINUSE ---- */

static bool is_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool is_x87_initial(const struct soft_cpu *cpu)
{
    return xsave_get16(cpu, XSAVE_FCW) == FCW_INITIAL && is_zero(cpu->xsave + XSAVE_FSW, XSAVE_MXCSR - XSAVE_FSW) &&
           is_zero(cpu->xsave + XSAVE_ST, XSAVE_XMM - XSAVE_ST);
}

uint64_t soft_xinuse(const struct soft_cpu *cpu)
{
    uint64_t in_use = 0;
    if (!is_x87_initial(cpu))
        in_use |= MH_XCR0_X87;
    if (!is_zero(cpu->xsave + XSAVE_XMM, XSAVE_LEGACY_END - XSAVE_XMM))
        in_use |= MH_XCR0_SSE;
    if (!is_zero(cpu->xsave + XSAVE_YMMH, MH_XSAVE_SIZE - XSAVE_YMMH))
        in_use |= MH_XCR0_AVX;
    return in_use;
}

/* ---- XSAVE, XSAVEOPT, XSAVEC ---- */

/* #UD, #NM and alignment. False: return SOFT_FAULT. */
static bool xsave_allowed(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!simd_has_feature(cpu, simd_info(insn)->feature[SIMD_LEGACY]) || (cpu->cr4 & MH_CR4_OSXSAVE) == 0)
        soft_raise(cpu, EXCEPTION_UD);
    else if ((cpu->cr0 & CR0_TS) != 0)
        soft_raise(cpu, EXCEPTION_NM);
    else
        return is_aligned(cpu, insn, AREA_ALIGNMENT);
    return false;
}

/* RFBM: the components that EDX:EAX asks for and XCR0 has. */
static uint64_t requested(const struct soft_cpu *cpu)
{
    return (cpu->gpr[MH_RDX] << 32 | (uint32_t)cpu->gpr[MH_RAX]) & cpu->xcr0;
}

/*
 * Can what the instruction may touch be reached? The header always, the legacy region for any component of `legacy`,
 * the extended region for AVX; each as a whole, whatever is saved there in the end.
 */
static bool probe_area(struct soft_cpu *cpu, const struct soft_insn *insn, uint64_t legacy, bool for_write)
{
    const uint64_t rfbm = requested(cpu);
    const unsigned start = (rfbm & legacy) != 0 ? 0 : XSAVE_HEADER;
    const unsigned end = (rfbm & MH_XCR0_AVX) != 0 ? MH_XSAVE_SIZE : XSAVE_YMMH;
    return soft_probe(cpu, insn->segment, soft_address(cpu, insn) + start, end - start, for_write);
}

/* Write the parts that are wanted and `header_length` bytes of the header, after probe_area(). */
static enum soft_result write_area(struct soft_cpu *cpu, const struct soft_insn *insn, const uint8_t *area,
                                   const bool *wanted, unsigned header_length)
{
    const uint64_t address = soft_address(cpu, insn);
    if (!soft_write(cpu, insn->segment, address + XSAVE_HEADER, area + XSAVE_HEADER, header_length))
        return soft_mem_result(cpu);
    for (size_t i = 0; i < PARTS; i++)
        if (wanted[i] &&
            !soft_write(cpu, insn->segment, address + parts[i].offset, area + parts[i].offset, parts[i].length))
            return soft_mem_result(cpu);
    return SOFT_NEXT;
}

static void want_parts(uint64_t components, bool *wanted)
{
    for (size_t i = 0; i < PARTS; i++)
        wanted[i] = (parts[i].components & components) != 0;
}

/* XSAVE and XSAVEOPT: of XSTATE_BV, bits that were not requested stay. XSAVEOPT leaves out what is not in use. */
static enum soft_result save_standard(struct soft_cpu *cpu, const struct soft_insn *insn, bool optimize)
{
    if (!xsave_allowed(cpu, insn))
        return SOFT_FAULT;
    const uint64_t rfbm = requested(cpu), in_use = soft_xinuse(cpu);
    uint64_t state;
    if (!probe_area(cpu, insn, MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX, true) ||
        !soft_read_for_write(cpu, insn->segment, soft_address(cpu, insn) + XSAVE_HEADER, &state, sizeof state))
        return soft_mem_result(cpu);
    state = (state & ~rfbm) | (rfbm & in_use);
    uint8_t area[MH_XSAVE_SIZE];
    copy_registers(cpu, insn, area);
    memcpy(area + XSAVE_HEADER, &state, sizeof state);
    bool wanted[PARTS];
    want_parts(optimize ? rfbm & in_use : rfbm, wanted);
    wanted[PART_MXCSR] = (rfbm & (MH_XCR0_SSE | MH_XCR0_AVX)) != 0;
    return write_area(cpu, insn, area, wanted, sizeof state);
}

enum soft_result simd_xsave(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return save_standard(cpu, insn, false);
}

enum soft_result simd_xsaveopt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    return save_standard(cpu, insn, true);
}

/* XSAVEC reads nothing, and counts SSE as in use when MXCSR is not initial. */
enum soft_result simd_xsavec(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!xsave_allowed(cpu, insn))
        return SOFT_FAULT;
    if (!probe_area(cpu, insn, MH_XCR0_X87 | MH_XCR0_SSE, true))
        return soft_mem_result(cpu);
    uint8_t area[MH_XSAVE_SIZE];
    copy_registers(cpu, insn, area);
    const uint64_t rfbm = requested(cpu);
    uint64_t in_use = soft_xinuse(cpu);
    if (xsave_get32(cpu, XSAVE_MXCSR) != MXCSR_INITIAL)
        in_use |= MH_XCR0_SSE;
    const uint64_t header[2] = {rfbm & in_use, rfbm | COMPACTED};
    memcpy(area + XSAVE_HEADER, header, sizeof header);
    bool wanted[PARTS];
    want_parts(header[0], wanted);
    wanted[PART_MXCSR] = (header[0] & MH_XCR0_SSE) != 0;
    return write_area(cpu, insn, area, wanted, sizeof header);
}

/* ---- XRSTOR ---- */

struct restore {
    uint64_t rfbm;
    uint64_t state; /* XSTATE_BV */
    bool compacted;
    bool loads_mxcsr;
    uint8_t area[MH_XSAVE_SIZE];
};

/* Is the header legal (Intel SDM volume 1, 13.8)? */
static bool is_header_valid(struct soft_cpu *cpu, const uint8_t *header, struct restore *restore)
{
    uint64_t layout;
    memcpy(&restore->state, header, sizeof restore->state);
    memcpy(&layout, header + 8, sizeof layout);
    restore->compacted = (layout & COMPACTED) != 0 && simd_has_feature(cpu, XSAVEC);
    if (!restore->compacted)
        return (restore->state & ~cpu->xcr0) == 0 && is_zero(header + 8, 16);
    return (layout & ~(cpu->xcr0 | COMPACTED)) == 0 && (restore->state & ~layout) == 0 &&
           is_zero(header + 16, HEADER_SIZE - 16);
}

/* Is this part read from memory? The standard form reads MXCSR whatever XSTATE_BV is. */
static bool is_part_loaded(const struct restore *restore, size_t part)
{
    if (part == PART_MXCSR)
        return restore->loads_mxcsr;
    return (parts[part].components & restore->rfbm & restore->state) != 0;
}

static bool read_area(struct soft_cpu *cpu, const struct soft_insn *insn, struct restore *restore)
{
    for (size_t i = 0; i < PARTS; i++)
        if (is_part_loaded(restore, i) && !soft_read(cpu, insn->segment, soft_address(cpu, insn) + parts[i].offset,
                                                     restore->area + parts[i].offset, parts[i].length))
            return false;
    return true;
}

static void restore_registers(struct soft_cpu *cpu, const struct soft_insn *insn, struct restore *restore)
{
    if ((restore->state & MH_XCR0_X87) == 0)
        reset_x87(restore->area);
    else if (!insn->rex_w)
        shorten_pointers(restore->area);
    for (size_t i = 0; i < PARTS; i++)
        if (i != PART_MXCSR && (parts[i].components & restore->rfbm) != 0)
            memcpy(cpu->xsave + parts[i].offset, restore->area + parts[i].offset, parts[i].length);
    if ((restore->rfbm & MH_XCR0_X87) != 0)
        normalize_x87(cpu);
}

static uint32_t restored_mxcsr(const struct restore *restore)
{
    uint32_t mxcsr = MXCSR_INITIAL;
    if (restore->loads_mxcsr)
        memcpy(&mxcsr, restore->area + XSAVE_MXCSR, sizeof mxcsr);
    return mxcsr;
}

enum soft_result simd_xrstor(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!xsave_allowed(cpu, insn))
        return SOFT_FAULT;
    struct restore restore = {.rfbm = requested(cpu)};
    uint8_t header[HEADER_SIZE];
    if (!probe_area(cpu, insn, MH_XCR0_X87 | MH_XCR0_SSE | MH_XCR0_AVX, false) ||
        !soft_read(cpu, insn->segment, soft_address(cpu, insn) + XSAVE_HEADER, header, sizeof header))
        return soft_mem_result(cpu);
    if (!is_header_valid(cpu, header, &restore))
        return soft_raise_error(cpu, EXCEPTION_GP, 0);
    const bool has_mxcsr = (restore.rfbm & (restore.compacted ? MH_XCR0_SSE : MH_XCR0_SSE | MH_XCR0_AVX)) != 0;
    restore.loads_mxcsr = has_mxcsr && (!restore.compacted || (restore.state & MH_XCR0_SSE) != 0);
    if (!read_area(cpu, insn, &restore))
        return soft_mem_result(cpu);
    const uint32_t mxcsr = restored_mxcsr(&restore);
    if ((mxcsr & ~MXCSR_ALLOWED) != 0)
        return soft_raise_error(cpu, EXCEPTION_GP, 0);
    if (has_mxcsr)
        simd_set_mxcsr(cpu, mxcsr);
    restore_registers(cpu, insn, &restore);
    return SOFT_NEXT;
}

/* ---- state from elsewhere ---- */

void soft_xsave_loaded(struct soft_cpu *cpu)
{
    const uint64_t state = xsave_get64(cpu, XSAVE_HEADER);
    if ((state & MH_XCR0_X87) == 0)
        reset_x87(cpu->xsave);
    if ((state & MH_XCR0_SSE) == 0)
        memset(cpu->xsave + XSAVE_XMM, 0, XSAVE_LEGACY_END - XSAVE_XMM);
    if ((state & MH_XCR0_AVX) == 0)
        memset(cpu->xsave + XSAVE_YMMH, 0, MH_XSAVE_SIZE - XSAVE_YMMH);
    memset(cpu->xsave + XSAVE_LEGACY_END, 0, XSAVE_HEADER + HEADER_SIZE - XSAVE_LEGACY_END);
    xsave_set64(cpu, XSAVE_HEADER, MH_XCR0_X87 | MH_XCR0_SSE | (cpu->cpuid->xcr0 & MH_XCR0_AVX));
    xsave_set32(cpu, XSAVE_MXCSR, xsave_get32(cpu, XSAVE_MXCSR) & MXCSR_ALLOWED);
    normalize_x87(cpu);
}
