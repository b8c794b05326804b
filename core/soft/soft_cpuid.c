/*
 * Instructions that ask the processor about itself: CPUID, time stamps, XCR0 (Intel SDM volume 2). Nothing of the
 * host's shows: time is the number of retired instructions.
 */
#include "soft_handlers.h"
#include "soft_system.h"

#define OSXSAVE (1u << 27) /* CPUID.1:ECX */
#define APIC (1u << 9)     /* CPUID.1:EDX */
#define APIC_BASE_ENABLE 0x800u
#define XSAVE_LEAF 0xdu
#define XSAVE_LEGACY_SIZE 576u

static void load_pair(struct soft_cpu *cpu, uint64_t value)
{
    cpu->gpr[MH_RAX] = (uint32_t)value;
    cpu->gpr[MH_RDX] = value >> 32;
}

/*
 * What depends on registers: whether the system uses XSAVE, how large its area is with the current XCR0, and whether
 * the APIC is enabled (Intel SDM volume 3, 11.4.3): there is none, but KVM says so too, whatever CPUID it was given.
 */
static void add_current(const struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    if (leaf == 1 && (cpu->cr4 & MH_CR4_OSXSAVE))
        result[2] |= OSXSAVE;
    if (leaf == 1 && (cpu->msrs.apic_base & APIC_BASE_ENABLE))
        result[3] |= APIC;
    if (leaf == XSAVE_LEAF && subleaf <= 1 && cpu->cpuid->xcr0 != 0)
        result[1] = cpu->xcr0 & MH_XCR0_AVX ? MH_XSAVE_SIZE : XSAVE_LEGACY_SIZE;
}

enum soft_result soft_op_cpuid(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    const uint32_t leaf = (uint32_t)cpu->gpr[MH_RAX], subleaf = (uint32_t)cpu->gpr[MH_RCX];
    uint32_t result[4];
    x86_cpuid_query(cpu->cpuid, leaf, subleaf, result);
    add_current(cpu, leaf, subleaf, result);
    cpu->gpr[MH_RAX] = result[0];
    cpu->gpr[MH_RBX] = result[1];
    cpu->gpr[MH_RCX] = result[2];
    cpu->gpr[MH_RDX] = result[3];
    return SOFT_NEXT;
}

/* ---- time stamps ---- */

static bool may_read_tsc(const struct soft_cpu *cpu)
{
    return soft_cpl(cpu) == 0 || !(cpu->cr4 & SOFT_CR4_TSD);
}

enum soft_result soft_op_rdtsc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!may_read_tsc(cpu))
        return soft_gp0(cpu);
    if ((cpu->request->report & CPU_REFUSE_CLOCK) != 0)
        return soft_unsupported(cpu, insn, SOFT_READS_CLOCK);
    load_pair(cpu, cpu->msrs.tsc + cpu->instructions);
    return SOFT_NEXT;
}

enum soft_result soft_op_rdtscp(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!x86_cpuid_has(cpu->cpuid, X86_FEATURE_RDTSCP))
        return soft_raise(cpu, VECTOR_UD);
    const enum soft_result result = soft_op_rdtsc(cpu, insn);
    if (result == SOFT_NEXT)
        cpu->gpr[MH_RCX] = (uint32_t)cpu->msrs.tsc_aux;
    return result;
}

enum soft_result soft_op_rdpid(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    if (!x86_cpuid_has(cpu->cpuid, X86_FEATURE_RDPID))
        return soft_raise(cpu, VECTOR_UD);
    cpu->gpr[insn->rm] = (uint32_t)cpu->msrs.tsc_aux;
    return SOFT_NEXT;
}

/* There is no performance counter to name. */
enum soft_result soft_op_rdpmc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    return soft_gp0(cpu);
}

/* ---- XCR0 ---- */

enum soft_result soft_op_xgetbv(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    (void)insn;
    const uint32_t index = (uint32_t)cpu->gpr[MH_RCX];
    if (!(cpu->cr4 & MH_CR4_OSXSAVE))
        return soft_raise(cpu, VECTOR_UD);
    if (index == 0)
        load_pair(cpu, cpu->xcr0);
    else if (index == 1 && x86_cpuid_has(cpu->cpuid, X86_FEATURE_XGETBV1))
        load_pair(cpu, cpu->xcr0 & soft_xinuse(cpu));
    else
        return soft_gp0(cpu);
    return SOFT_NEXT;
}

/* x87 is always on, and AVX needs SSE. */
static bool is_valid_xcr0(const struct soft_cpu *cpu, uint64_t value)
{
    if ((value & ~cpu->cpuid->xcr0) != 0 || !(value & MH_XCR0_X87))
        return false;
    return !(value & MH_XCR0_AVX) || (value & MH_XCR0_SSE);
}

enum soft_result soft_op_xsetbv(struct soft_cpu *cpu, const struct soft_insn *insn)
{
    const uint64_t value = (uint32_t)cpu->gpr[MH_RAX] | cpu->gpr[MH_RDX] << 32;
    if (!(cpu->cr4 & MH_CR4_OSXSAVE))
        return soft_raise(cpu, VECTOR_UD);
    if (soft_is_unprivileged(cpu) || (uint32_t)cpu->gpr[MH_RCX] != 0 || !is_valid_xcr0(cpu, value))
        return soft_gp0(cpu);
    cpu->xcr0 = value;
    return soft_done(cpu, insn);
}
