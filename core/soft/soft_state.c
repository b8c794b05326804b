/*
 * Registers and state, in and out. Values that come from elsewhere are checked as the instructions check them that
 * load the registers, so that the rest of the processor can rely on them: 64-bit code, with paging.
 */
#include "soft_state.h"

#include "soft_flags.h"
#include "soft_mem.h"
#include "soft_system.h"
#include "soft_walk.h"
#include "x86/exceptions.h"
#include "x86/msrs.h"
#include "x86/xsave.h"

#define CR0_BITS 0xe005003full /* PE MP EM TS ET NE WP AM NW CD PG */
#define CR0_LONG (MH_CR0_PE | MH_CR0_PG)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR3_LOW_BITS 0xfffull /* PWT and PCD, or a PCID; the rest is ignored */
#define EFER_LONG (MH_EFER_LME | MH_EFER_LMA)
#define EFER_BITS (MH_EFER_SCE | EFER_LONG | MH_EFER_NXE)
#define CR8_MAX 15u

/* Attributes of a segment: present, code, and 64-bit with D clear. */
#define CODE_64_MASK 0x6098u
#define CODE_64 0x2098u

#define XSAVE_MXCSR 24u
#define MXCSR_BITS 0xffffu

static enum mh_status refuse(struct mh_error *err, const char *name, uint64_t value, const char *reason)
{
    return mh_fail(err, MH_ERR_HOST, "cannot set %s to 0x%llx: %s", name, (unsigned long long)value, reason);
}

/* ---- what the registers can hold ---- */

static enum mh_status check_control(const struct soft_cpu *cpu, const struct mh_x86_system *system,
                                    struct mh_error *err)
{
    uint64_t cr0 = system->cr0, cr3 = system->cr3, cr4 = system->cr4, efer = system->efer;
    if ((cr0 & CR0_LONG) != CR0_LONG)
        return refuse(err, "CR0", cr0, "the processor only runs with protection and paging");
    if ((cr0 & ~CR0_BITS) != 0 || ((cr0 & CR0_NW) != 0 && (cr0 & CR0_CD) == 0))
        return refuse(err, "CR0", cr0, "reserved bits are set, or NW without CD");
    if ((cr3 & ~CR3_LOW_BITS & ~cpu->physical_mask) != 0)
        return refuse(err, "CR3", cr3, "the address is longer than physical addresses are");
    if ((cr4 & MH_CR4_PAE) == 0 || (cr4 & ~soft_cr4_existing(cpu)) != 0)
        return refuse(err, "CR4", cr4, "PAE is clear, or bits of features are set that the processor does not have");
    if (system->cr8 > CR8_MAX)
        return refuse(err, "CR8", system->cr8, "it has four bits");
    if ((efer & EFER_LONG) != EFER_LONG || (efer & ~(uint64_t)EFER_BITS) != 0)
        return refuse(err, "EFER", efer, "the processor only runs in long mode, or reserved bits are set");
    return MH_OK;
}

static enum mh_status check_segments(const struct mh_x86_system *system, struct mh_error *err)
{
    const struct {
        const char *name;
        uint64_t base;
    } bases[] = {{"the base of FS", system->seg[MH_FS].base},     {"the base of GS", system->seg[MH_GS].base},
                 {"the base of LDTR", system->seg[MH_LDTR].base}, {"the base of TR", system->seg[MH_TR].base},
                 {"the base of GDTR", system->gdt.base},          {"the base of IDTR", system->idt.base}};
    for (unsigned i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (!soft_is_canonical(bases[i].base))
            return refuse(err, bases[i].name, bases[i].base, "the address is not canonical");
    }
    uint16_t attributes = system->seg[MH_CS].attributes;
    if ((attributes & CODE_64_MASK) != CODE_64)
        return refuse(err, "the attributes of CS", attributes, "the processor only runs 64-bit code");
    return MH_OK;
}

static enum mh_status check_mxcsr(uint32_t mxcsr, struct mh_error *err)
{
    return (mxcsr & ~MXCSR_BITS) == 0 ? MH_OK : refuse(err, "MXCSR", mxcsr, "reserved bits are set");
}

/* ---- groups ---- */

static void read_system(const struct soft_cpu *cpu, struct mh_x86_system *system)
{
    memcpy(system->seg, cpu->seg, sizeof system->seg);
    system->gdt = cpu->gdt;
    system->idt = cpu->idt;
    system->cr0 = cpu->cr0;
    system->cr2 = cpu->cr2;
    system->cr3 = cpu->cr3;
    system->cr4 = cpu->cr4;
    system->cr8 = cpu->cr8;
    system->efer = cpu->efer;
}

static enum mh_status write_system(struct soft_cpu *cpu, const struct mh_x86_system *system, struct mh_error *err)
{
    enum mh_status status = check_control(cpu, system, err);
    if (status == MH_OK)
        status = check_segments(system, err);
    if (status != MH_OK)
        return status;
    memcpy(cpu->seg, system->seg, sizeof cpu->seg);
    cpu->gdt = system->gdt;
    cpu->idt = system->idt;
    cpu->cr0 = system->cr0 | MH_CR0_ET;
    cpu->cr2 = system->cr2;
    cpu->cr3 = system->cr3;
    cpu->cr4 = system->cr4;
    cpu->cr8 = system->cr8;
    cpu->efer = system->efer;
    soft_tlb_flush(cpu);
    soft_update_attention(cpu);
    return MH_OK;
}

static void read_general(const struct soft_cpu *cpu, struct mh_x86_general *general)
{
    memcpy(general->gpr, cpu->gpr, sizeof general->gpr);
    general->rip = cpu->rip;
    general->rflags = soft_rflags(cpu);
}

static void write_general(struct soft_cpu *cpu, const struct mh_x86_general *general)
{
    memcpy(cpu->gpr, general->gpr, sizeof cpu->gpr);
    if (cpu->rip != general->rip)
        cpu->repeating = false;
    cpu->repeat_at = UINT64_MAX; /* a repeated comparison starts again, as after an interrupt */
    cpu->rip = general->rip;
    soft_set_rflags(cpu, general->rflags);
}

static void read_msrs(const struct soft_cpu *cpu, struct mh_x86_msrs *msrs)
{
    *msrs = cpu->msrs;
    msrs->tsc += cpu->instructions;
}

static enum mh_status check_msr_addresses(const struct mh_x86_msrs *msrs, struct mh_error *err)
{
    uint64_t address = 0;
    const char *name = x86_msr_not_canonical(msrs, &address);
    return name != NULL ? refuse(err, name, address, "the address is not canonical") : MH_OK;
}

/* What WRMSR takes of those that a debugger names; the others have the values they were read with. */
static enum mh_status write_msrs(struct soft_cpu *cpu, const struct mh_x86_msrs *msrs, struct mh_error *err)
{
    enum mh_status status = check_msr_addresses(msrs, err);
    if (status == MH_OK && msrs->sfmask > UINT32_MAX)
        status = refuse(err, "FMASK", msrs->sfmask, "it has 32 bits");
    if (status == MH_OK && !soft_pat_is_valid(msrs->pat))
        status = refuse(err, "PAT", msrs->pat, "each byte is a memory type: 0, 1, 4, 5, 6 or 7");
    if (status != MH_OK)
        return status;
    cpu->msrs = *msrs;
    cpu->msrs.tsc -= cpu->instructions;
    return MH_OK;
}

static enum mh_status write_fpu(struct soft_cpu *cpu, const struct mh_x86_fpu *fpu, struct mh_error *err)
{
    enum mh_status status = check_mxcsr(fpu->mxcsr, err);
    if (status == MH_OK)
        x86_xsave_from_fpu(cpu->xsave, cpu->cpuid->xcr0, fpu);
    return status;
}

enum mh_status soft_read_regs(struct cpu *cpu, unsigned groups, struct mh_x86_regs *regs, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    (void)err;
    if ((groups & MH_REGS_GENERAL) != 0)
        read_general(soft, &regs->general);
    if ((groups & MH_REGS_SYSTEM) != 0)
        read_system(soft, &regs->system);
    if ((groups & MH_REGS_FPU) != 0)
        x86_xsave_to_fpu(soft->xsave, soft->cpuid->xcr0, &regs->fpu);
    if ((groups & MH_REGS_MSRS) != 0)
        read_msrs(soft, &regs->msrs);
    return MH_OK;
}

enum mh_status soft_write_regs(struct cpu *cpu, unsigned groups, const struct mh_x86_regs *regs, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    enum mh_status status = MH_OK;
    if ((groups & MH_REGS_SYSTEM) != 0)
        status = write_system(soft, &regs->system, err);
    if (status == MH_OK && (groups & MH_REGS_GENERAL) != 0)
        write_general(soft, &regs->general);
    if (status == MH_OK && (groups & MH_REGS_FPU) != 0)
        status = write_fpu(soft, &regs->fpu, err);
    if (status == MH_OK && (groups & MH_REGS_MSRS) != 0)
        status = write_msrs(soft, &regs->msrs, err);
    return status;
}

/* ---- all of it ---- */

enum mh_status soft_save(struct cpu *cpu, struct mh_cpu_state *state, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    (void)err;
    *state = (struct mh_cpu_state){.msrs = soft->msrs,
                                   .xcr0 = soft->xcr0,
                                   .dr6 = soft->dr6,
                                   .dr7 = soft->dr7,
                                   .pending = soft->pending,
                                   .shadow = soft->shadow,
                                   .is_repeating = soft->repeating};
    read_general(soft, &state->general);
    read_system(soft, &state->system);
    memcpy(state->dr, soft->dr, sizeof state->dr);
    memcpy(state->xsave, soft->xsave, sizeof state->xsave);
    state->msrs.tsc += soft->instructions;
    if (soft->debug_hits != 0 && !state->pending.valid) {
        state->dr6 |= soft->debug_hits;
        state->pending = (struct mh_x86_pending){.valid = true, .vector = EXCEPTION_DEBUG};
    }
    return MH_OK;
}

static enum mh_status check_state(const struct mh_cpu_state *state, struct mh_error *err)
{
    uint32_t mxcsr;
    enum mh_status status = check_msr_addresses(&state->msrs, err);
    if (status != MH_OK)
        return status;
    memcpy(&mxcsr, state->xsave + XSAVE_MXCSR, sizeof mxcsr);
    return check_mxcsr(mxcsr, err);
}

/*
 * XCR0 always has x87, and AVX only with SSE (Intel SDM volume 1, 13.3). A processor without XSAVE has no XCR0: the
 * state says 0 then.
 */
static enum mh_status check_xcr0(const struct soft_cpu *cpu, uint64_t xcr0, struct mh_error *err)
{
    if (cpu->cpuid->xcr0 == 0 && xcr0 == 0)
        return MH_OK;
    if ((xcr0 & ~(cpu->cpuid->xcr0 | MH_XCR0_X87)) != 0)
        return refuse(err, "XCR0", xcr0, "the processor does not have these registers");
    if ((xcr0 & MH_XCR0_X87) == 0 || (xcr0 & (MH_XCR0_SSE | MH_XCR0_AVX)) == MH_XCR0_AVX)
        return refuse(err, "XCR0", xcr0, "x87 is missing, or SSE beside AVX");
    return MH_OK;
}

/* What belongs to the place in the program that was left. */
static void forget_progress(struct soft_cpu *cpu)
{
    cpu->io_pending = false;
    cpu->repeating = false;
    cpu->watch_hit = false;
    cpu->cr3_written = false;
    cpu->traps_by_new_tf = false;
    cpu->debug_hits = 0;
}

enum mh_status soft_restore(struct cpu *cpu, const struct mh_cpu_state *state, struct mh_error *err)
{
    struct soft_cpu *soft = (struct soft_cpu *)cpu;
    enum mh_status status = check_state(state, err);
    if (status == MH_OK)
        status = check_xcr0(soft, state->xcr0, err);
    if (status == MH_OK)
        status = write_system(soft, &state->system, err);
    if (status != MH_OK)
        return status;
    forget_progress(soft);
    soft->msrs = state->msrs;
    soft->msrs.tsc -= soft->instructions;
    soft->xcr0 = state->xcr0;
    memcpy(soft->dr, state->dr, sizeof soft->dr);
    soft->dr6 = state->dr6;
    soft->dr7 = state->dr7;
    soft->pending = state->pending;
    soft->shadow = state->shadow & (MH_SHADOW_STI | MH_SHADOW_MOV_SS);
    memcpy(soft->xsave, state->xsave, sizeof soft->xsave);
    soft_xsave_loaded(soft);
    write_general(soft, &state->general);
    soft->repeating = state->is_repeating;
    soft_update_attention(soft);
    return MH_OK;
}
